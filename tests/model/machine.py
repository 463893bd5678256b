"""The machine: all rules together, the end of each play, and how plays are started.

`play` lets Hypothesis choose; `played` is for a test that calls the rules itself, with what Hypothesis printed of a failure. CI
plays a few thousand steps with another seed each time; by hand, for minutes or hours, on any server:

    STREAMQ_MODEL_STEPS=200000 STREAMQ_MODEL_SEED=7 STREAMQ_TEST_SERVER=/usr/bin/redis-server pytest tests/model/test_machine.py

A failure prints its shortest way there and its seed. Found sequences are kept in `test_sequences.py`; `test_planted_bugs.py`
shows that the machine sees what it is there to see.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import initialize, run_state_machine_as_test

from tests.lua.servers import Server
from tests.model.faults import Faults
from tests.model.people import People
from tests.model.producers import BULK, Spec
from tests.model.recovery import Recovery

#: Steps of one play.
LENGTH = 60
#: So often is a drain looked at before something is taken to be stuck: each time a unit passes.
DRAINS = 60


class Machine(Faults, Recovery, People):
    """All that can happen to a queue."""

    @initialize(opened=st.booleans(), specs=BULK)
    def begin(self, *, opened: bool, specs: list[Spec]) -> None:
        """A queue with something in it, whose groups have been made or not."""
        if opened:
            self.run.open()
        self._send(specs, 0, 60)
        self.examine()

    def teardown(self) -> None:
        """Everybody dies, one worker works off what there is: nothing is left, and all that was accepted has ended."""
        try:
            if self.sound:
                self.drain()
        finally:
            self.link.close()
            if not self.sound and type(self).found is None:
                type(self).found = repr(sys.exception()).partition("\\n")[0], self.steps

    def drain(self) -> None:
        """End all that lives, and look whether anything is left of it."""
        self.sound = False
        self.full = False
        self.link.call("CONFIG", "SET", "maxmemory", 0)
        self.run.pause(paused=False)
        self.paused = False
        self.frozen.clear()
        self.silent.clear()
        for consumer in sorted({task.holder for task in self.model.at.values() if task.holder is not None}):
            self.reap_one(consumer, 0, 100)
        self.run.open()
        for _ in range(DRAINS):
            self.take_some(self.workers[0], 100, 50, "hdl")
            self.take_one_suspect()
            for consumer in sorted({run.consumer for run in self.model.runs()}):
                self.settle_runs(self.model.runs(consumer))
            if not self.model.at:
                break
            self.advance(1, awake=True)
        assert not self.model.at, f"never handed out: {self.model.at}"
        self.examiner.look(thorough=True)
        state = self.examiner.state()
        left = [name for name in state if name.partition(" ")[0] in {"attempts", "unique", "moved"}]
        assert all(name.partition(" ")[2] in self.model.debris for name in left if not name.startswith("unique"))
        self.sound = True


def machine_on(server: Server) -> type[Machine]:
    """The machine on a server, its counts at zero."""
    return type("Queue", (Machine,), {"server": server, "steps": 0, "found": None})


@contextmanager
def played(server: Server) -> Iterator[Machine]:
    """A machine whose rules a test calls itself; drained at the end."""
    machine = machine_on(server)()
    try:
        yield machine
    finally:
        machine.teardown()


def play(server: Server, steps: int, number: int) -> int:
    """Let Hypothesis play about so many steps.

    Args:
        server: syncs its append-only file at each write; it is emptied for each play.
        steps: how many, in plays of `LENGTH`.
        number: the seed; the same number plays the same in the same command: Hypothesis also draws numbers that it finds in the
            modules that are loaded.

    Returns:
        How many steps there were.

    Raises:
        AssertionError: an invariant does not hold; the shortest way there is printed, and the seed.
    """
    machine = machine_on(server)
    try:
        run_state_machine_as_test(seed(number)(machine), settings=_settings(steps))
    except BaseException as error:
        error.add_note(f"STREAMQ_MODEL_SEED={number}: first found after {machine.found and machine.found[1]} steps")
        raise
    return machine.steps


def hunt(server: Server, steps: int, number: int) -> tuple[str, int] | None:
    """Play until something fails; returns what, and after how many steps. None: everything held."""
    machine = machine_on(server)
    told = settings(_settings(steps), phases=(Phase.generate,), verbosity=Verbosity.quiet)
    try:
        run_state_machine_as_test(seed(number)(machine), settings=told)
    except (Exception, pytest.fail.Exception):
        if machine.found is None:  # no step failed, but what plays them
            raise
    return machine.found


def _settings(steps: int) -> settings:
    return settings(
        max_examples=max(1, steps // LENGTH),
        stateful_step_count=LENGTH,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
