"""The server's view of what a process holds against its own: lost runs are told, lost replies made good, and nothing else."""

from __future__ import annotations

import threading
import time
from typing import Any, cast

import pytest

from streamq.config import load
from streamq.registry import Registry
from streamq.transitions import Park
from streamq.wire import Task
from streamq.worker.compare import Comparison
from streamq.worker.control import Pending
from streamq.worker.prefetch import Prefetch
from streamq.worker.run import Run, ServerClock, Taking
from streamq.worker.shared import Shared
from streamq.worker.table import Table

registry = Registry()


@registry.task
def plain(n: int) -> None:
    """A sync task."""


@registry.task
async def on_loop(n: int) -> None:
    """An async task."""


class Endings:
    """Takes what is handed back."""

    def __init__(self) -> None:
        self.parks: list[Park] = []
        self.put = self.parks.append


class Bench:
    """A comparison, and what it does."""

    def __init__(self) -> None:
        self.endings = Endings()
        self.cancelled: list[str] = []
        self.shared = Shared(
            consumer="w1-1", worker="w1", settings=load(cwd="/", environ={}), clock=ServerClock(), held={}, taking=Taking(),
            table=cast("Table", None), prefetch=Prefetch(), room=threading.Event(), on_fatal=print, on_spent=print,
        )  # fmt: skip
        self.compare = Comparison(self.shared, cast("Any", self.endings), self.cancelled.append)

    def hold(self, address: str, task: str = "plain") -> Run:
        """Let the process have a run."""
        definition = registry.get(task)
        assert definition is not None
        now = time.monotonic()
        run = Run(address, 1, 1, 5, b"", Task(address, address, task, b"{}"), definition, 0, 0.0, now, now)
        self.shared.held[address] = run
        return run

    def told(self, *addresses: str, asked: float | None = None) -> None:
        """Let the server say, when asked just now, that these are held."""
        self.compare(Pending(time.monotonic() if asked is None else asked, [(address, 2, 0) for address in addresses]))

    @property
    def handed_back(self) -> list[str]:
        """The addresses that were handed back."""
        return [park.address for park in self.endings.parks]


@pytest.fixture
def bench() -> Bench:
    """A process that holds nothing."""
    return Bench()


def test_what_both_know_is_left_alone(bench: Bench) -> None:
    """However often it is told."""
    run = bench.hold("d1-0")
    for _ in range(3):
        bench.told("d1-0")
    assert (run.lost, bench.handed_back) == (False, [])


def test_what_the_server_does_not_know_is_lost(bench: Bench) -> None:
    """An async run is cancelled."""
    sync, asynchronous = bench.hold("d1-0"), bench.hold("d2-0", "on_loop")
    bench.told()
    assert (sync.lost, asynchronous.lost, asynchronous.cancelled) == (True, True, True)
    assert bench.cancelled == ["d2-0"]


def test_what_is_lost_together_is_told_in_one_line(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """With how many there are and the first of them; a single task has a line of its own."""
    bench.hold("d1-0")
    bench.told()
    for n in range(2, 10):
        bench.hold(f"d{n}-0")
    bench.told()
    alone, together = [record.getMessage() for record in caplog.records]
    assert alone == "plain d1-0: lease lost, or cancelled; its result will be refused"
    said, _, named = together.rpartition(": ")
    assert said == "8 tasks: leases lost to other workers, or cancelled; their results will be refused"
    assert named == "plain d2-0, plain d3-0, plain d4-0, plain d5-0, plain d6-0 and 3 more"


def test_what_was_taken_after_the_question_or_has_ended_is_not_lost(bench: Bench) -> None:
    """The answer is older than the one, and the other may just have been settled."""
    asked = time.monotonic()
    young, ended = bench.hold("d1-0"), bench.hold("d2-0")
    bench.told(asked=asked)
    ended.ended = True
    bench.told("d1-0")
    assert not young.lost
    assert not ended.lost


def test_what_nobody_knows_is_handed_back_when_the_server_says_it_again(bench: Bench) -> None:
    """With the server's count, after a second question."""
    bench.told("d1-0")
    assert bench.handed_back == []
    bench.told("d1-0")
    assert bench.endings.parks == [Park("d1-0", 2, 0, "release")]
    bench.told("d1-0")
    assert len(bench.handed_back) == 1
    bench.told("d1-0")
    assert len(bench.handed_back) == 2


def test_answers_that_have_piled_up_count_as_one(bench: Bench) -> None:
    """A handler had held the interpreter; the questions were all asked before the first answer was read."""
    asked = time.monotonic()
    for _ in range(5):
        bench.told("d1-0", asked=asked)
    assert bench.handed_back == []


def test_a_reply_that_may_still_be_on_its_way_is_waited_for(bench: Bench) -> None:
    """The take that could have brought it began before it was first noticed and has not ended."""
    bench.shared.taking.since = time.monotonic()
    for _ in range(3):
        bench.told("d1-0")
    assert bench.handed_back == []
    bench.shared.taking.since = time.monotonic()
    bench.told("d1-0")
    assert bench.handed_back == ["d1-0"]


def test_what_has_turned_up_is_forgotten(bench: Bench) -> None:
    """And noticed anew should it be unknown again."""
    bench.told("d1-0")
    bench.hold("d1-0")
    bench.told("d1-0")
    del bench.shared.held["d1-0"]
    bench.told("d1-0")
    assert bench.handed_back == []


def test_a_run_that_was_handed_out_again_is_ours_again(bench: Bench) -> None:
    """Answers to older questions do not make it lost a second time; an async one that was cancelled stays lost."""
    sync, asynchronous = bench.hold("d1-0"), bench.hold("d2-0", "on_loop")
    asked = time.monotonic()
    bench.told()
    sync.regain(1, asked)
    asynchronous.regain(1, asked)
    bench.told(asked=asked)
    assert not sync.lost
    assert asynchronous.lost
