"""The settler of a process on its own: what a run that is over leaves behind, on the server and in the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from streamq.config import load
from streamq.registry import Registry
from streamq.server.connect import Link
from streamq.transitions import Transitions
from streamq.worker.judge import Judge
from streamq.worker.prefetch import Prefetch
from streamq.worker.run import Run, ServerClock, Taking
from streamq.worker.settle import Settler
from streamq.worker.shared import Shared
from streamq.worker.table import Table
from tests.conftest import wait_until
from tests.workshop import Workshop

CONSUMER = "w1-1"
registry = Registry()


@registry.task
def work(n: int) -> None:
    """A task."""


class Process:
    """What a process has beside its slots.

    Args:
        shop: where it works.
    """

    def __init__(self, shop: Workshop) -> None:
        self.run = shop.run
        self.link = Link(shop.endpoint)
        self.settings = load(cwd="/", environ={})
        self.shared = Shared(
            consumer=CONSUMER, worker="w1", settings=self.settings, clock=ServerClock(), held={}, taking=Taking(),
            table=Table.create(4), prefetch=Prefetch(), room=threading.Event(), on_fatal=print, on_spent=print,
        )  # fmt: skip
        self.settler = Settler(Transitions(self.link, shop.keys), self.shared)

    def take(self) -> Run:
        """Take a task, and hold it."""
        [handed] = self.run.take(CONSUMER, 1, 1, "d").tasks
        run = Judge(registry, self.settings)(handed, self.run.now_ms(), time.monotonic(), time.monotonic())
        assert isinstance(run, Run)
        run.row = self.shared.table.start(run, time.monotonic(), self.settler.backoff_of)
        self.shared.held[run.address] = run
        return run


@pytest.fixture
def process(shop: Workshop) -> Iterator[Process]:
    """A process, its settler not started yet."""
    process = Process(shop)
    yield process
    process.shared.table.close()
    process.link.close()


def test_a_task_that_came_back_while_it_was_handed_back_keeps_its_new_run(shop: Workshop, process: Process) -> None:
    """Its old run is settled late, and takes nothing off the process but itself: what runs and is not held is handed back."""
    shop.send("work", {"n": 1})
    old = process.take()
    shop.run.reap(CONSUMER, "silent")
    new = process.take()
    assert (old.address, old.count, new.count) == (new.address, 1, 2)
    process.settler.hand_back(old)
    process.settler.start()
    wait_until(lambda: shop.stats.fenced_total == 1, "the hand-back of the old run is refused")
    process.settler.ended(new)
    process.settler.stop()
    assert process.shared.held == {}
    assert shop.settled().finished_total == 1


def test_results_that_are_refused_together_are_told_in_one_line(
    shop: Workshop, process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of a worker that was stopped for long, while others took over what it ran."""
    shop.send_numbered("work", [1, 2, 3])
    runs = [process.take() for _ in range(3)]
    shop.run.reap(CONSUMER, "silent")
    for run in runs:
        process.settler.ended(run)
    process.settler.start()
    process.settler.stop()
    assert shop.stats.fenced_total == 3
    [line] = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    said = "3 tasks: leases lost, each result refused: other workers have the tasks, or they were cancelled: "
    assert line == said + ", ".join(run.address for run in runs)


def test_of_two_runs_of_a_task_the_old_one_goes_alone(shop: Workshop, process: Process) -> None:
    """Refused or not, it is forgotten, and the other is held."""
    shop.send("work", {"n": 1})
    old = process.take()
    shop.run.reap(CONSUMER, "silent")
    new = process.take()
    old.error = ValueError("too late")
    process.settler.ended(old)
    process.settler.start()
    process.settler.stop()
    assert list(process.shared.held.values()) == [new]
    assert shop.stats.running == 1
