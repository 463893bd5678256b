"""A single task is begun by the thread that has fetched it, in the seat of a slot, and another thread fetches on."""

from __future__ import annotations

import signal

import pytest

from tests.conftest import wait_until
from tests.workshop import WorkerProcess, Workshop

SYNC = """
import contextvars, time
from jobs import LOOK, Context, is_open, note
from streamq import App

app = App()
seen = contextvars.ContextVar("seen", default=0)

@app.task
def work(n: int, *, ctx: Context) -> None:
    note("start", n, ctx)
    note("end", n, ctx)

@app.task
def hold(n: int, *, ctx: Context) -> None:
    note("start", n, ctx)
    while not is_open(n):
        time.sleep(LOOK)
    note("end", n, ctx)

@app.task
def leave(n: int, *, ctx: Context) -> None:
    note("found" if seen.get() else "clean", n, ctx)
    seen.set(n)
"""


@pytest.fixture(autouse=True)
def module(shop: Workshop) -> None:
    """A module with sync handlers only."""
    shop.module("sync", SYNC)


def start(shop: Workshop, name: str = "w1", *options: str, slots: int = 1) -> WorkerProcess:
    """Start a worker that has these."""
    return shop.start(name, *options, slots=slots, tasks="sync")


def test_there_are_never_more_than_slots(shop: Workshop) -> None:
    """Tasks come one by one, and each begins as soon as one before it has ended, whoever runs it."""
    start(shop, slots=2)
    for n in range(1, 6):
        shop.send_numbered("hold", [n])
        if n <= 2:
            shop.happened("start", n)
    for n in range(1, 6):
        wait_until(lambda n=n: len(shop.lines("start")) == min(5, n + 1), "as many run as there are slots")  # type: ignore[misc]
        shop.open(n)
        shop.happened("end", n)
    figures = shop.settled()
    assert (figures.finished_total, figures.fenced_total) == (5, 0)
    running = most = 0
    for line in shop.ledger:
        running += {"start": 1, "end": -1}.get(line.event, 0)
        most = max(most, running)
    assert most == 2


def test_it_fetches_on_while_a_task_lasts(shop: Workshop) -> None:
    """Both fetching threads can be in a task, one after the other, and be back again."""
    start(shop, slots=4)
    for n in (1, 2, 3):
        shop.send_numbered("hold", [n])
        shop.happened("start", n)
        shop.send_numbered("work", [10 * n])
        shop.happened("end", 10 * n)
    shop.open()
    assert shop.settled().finished_total == 6


def test_asked_to_stop_it_hands_back_what_is_buffered_behind_its_own_task(shop: Workshop) -> None:
    """At once, not when the task has ended."""
    worker = start(shop, "w1", "--prefetch", "3")
    shop.send_numbered("hold", [1])
    shop.happened("start", 1)
    shop.send_numbered("work", [2, 3])
    wait_until(lambda: shop.stats.running == 3, "two are buffered")
    worker.signal(signal.SIGTERM)
    wait_until(lambda: shop.stats.running == 1, "they are handed back")
    assert not shop.lines("end")
    shop.open()
    assert worker.ended() == 0
    assert shop.count("end") == {1: 1}
    start(shop, "w2")
    assert shop.settled().finished_total == 3


def test_what_a_handler_leaves_behind_is_not_found(shop: Workshop) -> None:
    """A fetching thread begins each task of its own in a fresh context, as slots do."""
    start(shop, slots=2)
    for n in range(1, 6):
        shop.send_numbered("leave", [n])
        wait_until(lambda n=n: shop.stats.finished_total == n, "it has ended")  # type: ignore[misc]
    assert len(shop.lines("clean")) == 5
