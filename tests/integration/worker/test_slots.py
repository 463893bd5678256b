"""Slots run one handler after another, and nothing of one is seen by the next; on the loop each has its turn."""

from __future__ import annotations

import itertools

import pytest

from tests.workshop import Workshop

TRACES = """
import asyncio, contextvars, time
from jobs import app, note, Context

seen = contextvars.ContextVar("seen", default=0)

@app.task
def leave(n: int, *, ctx: Context) -> None:
    note("found" if seen.get() else "clean", n, ctx)
    seen.set(n)

@app.task
async def aleave(n: int, *, ctx: Context) -> None:
    note("found" if seen.get() else "clean", n, ctx)
    seen.set(n)

@app.task
async def cancel(n: int, *, ctx: Context) -> None:
    asyncio.current_task().cancel()
    note("end", n, ctx)

@app.task
async def wait(n: int, *, ctx: Context) -> None:
    note("start", n, ctx)
    await asyncio.sleep(0.02)
    note("end", n, ctx)

@app.task
async def later(n: int, *, ctx: Context) -> None:
    asyncio.get_running_loop().call_later(0.05, asyncio.current_task().cancel)
    note("end", n, ctx)

@app.task
async def turn(n: int, *, ctx: Context) -> None:
    for _ in range(20):
        note("turn", n, ctx)
        await asyncio.sleep(0)

@app.task
async def tiny(n: int, *, ctx: Context) -> None:
    note("tiny", n, ctx)

@app.task
async def rude(n: int, *, ctx: Context) -> None:
    time.sleep(0.001)
    note("rude", n, ctx)
"""


@pytest.fixture
def traces(shop: Workshop) -> Workshop:
    """A workshop with tasks that leave traces."""
    shop.module("traces", TRACES)
    return shop


@pytest.mark.parametrize("task", ["leave", "aleave"])
def test_a_context_variable_is_not_seen_by_the_next_task(traces: Workshop, task: str) -> None:
    """One slot, so that the same thread or loop runs all of them."""
    traces.send_numbered(task, range(1, 6))
    traces.start(tasks="traces")
    traces.settled()
    assert traces.count("clean") == dict.fromkeys(range(1, 6), 1)


def test_a_cancellation_that_a_task_did_not_wait_for_hits_no_other(traces: Workshop) -> None:
    """It has asked for its own end and returned; the tasks behind it in the same slot wait in peace."""
    traces.send("cancel", {"n": 1})
    traces.send_numbered("wait", range(2, 5))
    traces.start("w1", "--prefetch", "5", tasks="traces")
    figures = traces.settled()
    assert (figures.finished_total, figures.failed_total) == (4, 0)
    assert traces.count("end") == dict.fromkeys(range(1, 5), 1)


def test_a_slot_that_is_cancelled_while_it_sleeps_works_on(traces: Workshop) -> None:
    """A task left a timer behind that cancels what it believes to be itself; all that the worker has is one slot."""
    traces.send("later", {"n": 1})
    worker = traces.start(tasks="traces")
    traces.settled()
    for n in range(2, 8):
        traces.send("tiny", {"n": n})
        traces.settled()
    assert traces.count("tiny") == dict.fromkeys(range(2, 8), 1)
    assert worker.stop() == 0


def test_tasks_that_never_wait_leave_others_their_turn(traces: Workshop) -> None:
    """Hundreds of tasks that block the loop stand in the buffer, and one that lets go of it again and again goes on all along."""
    traces.send("turn", {"n": 1})
    traces.send_numbered("rude", range(2, 800))
    traces.start("w1", "--prefetch", "1000", slots=2, tasks="traces")
    traces.settled()
    events = [line.event for line in traces.ledger]
    last = len(events) - events[::-1].index("turn") - 1
    between = [len(list(group)) for event, group in itertools.groupby(events[events.index("turn") : last]) if event == "rude"]
    assert max(between) < 100
