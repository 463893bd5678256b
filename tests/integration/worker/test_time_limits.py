"""A task that runs for longer than its limit is stopped, whatever it does, and its neighbours do not pay for it."""

from __future__ import annotations

from tests.conftest import wait_until
from tests.workshop import Workshop


def test_a_sync_task_over_its_limit_is_ended_with_its_process(shop: Workshop) -> None:
    """A failed attempt with reason `timeout`, retried up to its limit; what else the process held is handed back uncounted."""
    [late] = shop.send("hold", {"n": 1}, timeout="300ms", max_deliveries=2)
    [neighbour] = shop.send("hold", {"n": 2})
    worker = shop.start(slots=2)
    shop.happened("start", 2)
    wait_until(lambda: shop.dead, lambda: f"the late one is dead\n{worker.log}")
    shop.open(2)
    figures = shop.settled()
    letter = shop.dead[late]
    assert (letter["reason"], letter["deliveries"], len(letter["attempts"])) == ("timeout", 2, 2)
    assert {attempt["error"] for attempt in letter["attempts"]} == {"TimedOut: the run took longer than its limit of 0.3 s"}
    assert {attempt["worker"] for attempt in letter["attempts"]} == {"w1"}
    assert all(attempt["ended_ms"] - attempt["started_ms"] >= 300 for attempt in letter["attempts"])
    assert {line.delivery for line in shop.lines("start", 2)} == {1}
    shown = shop.locate(neighbour)
    assert (shown["deliveries"], shown["attempts"]) == (1, [])
    assert (figures.finished_total, figures.dead_total, figures.failed_total) == (1, 1, 2)
    assert len({line.pid for line in shop.lines("start", 1)}) == 2


def test_a_task_that_holds_the_interpreter_is_ended_too(shop: Workshop) -> None:
    """Its process cannot even be asked."""
    [late] = shop.send("grip", {"n": 1, "ms": 600_000}, timeout="300ms", max_deliveries=1)
    [other] = shop.send("work", {"n": 2})
    shop.start()
    shop.settled()
    assert shop.dead[late]["reason"] == "timeout"
    assert shop.locate(other)["state"] == "finished"


def test_an_async_task_over_its_limit_is_cancelled(shop: Workshop) -> None:
    """Nobody else notices: its neighbour on the same loop runs on in the same process."""
    [late] = shop.send("ahold", {"n": 1}, timeout="300ms", max_deliveries=2)
    [neighbour] = shop.send("ahold", {"n": 2})
    shop.start(slots=2)
    wait_until(lambda: shop.dead, "the late one is dead")
    shop.open(2)
    shop.settled()
    letter = shop.dead[late]
    assert (letter["reason"], letter["deliveries"]) == ("timeout", 2)
    assert letter["error"] == "TimedOut: the run took longer than its limit of 0.3 s"
    assert shop.count("cancelled") == {1: 2}
    assert shop.count("start") == {1: 2, 2: 1}
    assert shop.locate(neighbour)["state"] == "finished"


def test_an_async_task_that_ignores_being_cancelled_is_ended_with_its_process(shop: Workshop) -> None:
    """Some seconds later; its neighbour is handed back uncounted. The error names the limit itself."""
    [late] = shop.send("stubborn", {"n": 1}, timeout="300ms", max_deliveries=1)
    [neighbour] = shop.send("ahold", {"n": 2})
    shop.start(slots=2)
    shop.happened("start", 2)
    wait_until(lambda: shop.dead, "the late one is dead")
    shop.open(2)
    shop.settled()
    letter = shop.dead[late]
    assert (letter["reason"], letter["deliveries"]) == ("timeout", 1)
    assert letter["error"] == "TimedOut: the run took longer than its limit of 0.3 s"
    shown = shop.locate(neighbour)
    assert (shown["state"], shown["deliveries"]) == ("finished", 1)


def test_an_async_task_that_ends_in_its_own_way_when_cancelled_is_taken_at_its_word(shop: Workshop) -> None:
    """It returns a result after all: finished."""
    shop.module(
        "graceful",
        "from jobs import *\n"
        "@app.task(timeout=0.3)\n"
        "async def graceful(n: int) -> str:\n"
        "    try:\n"
        "        await asyncio.sleep(600)\n"
        "    except asyncio.CancelledError:\n"
        "        return 'what there is'\n"
        "    return 'all'\n",
    )
    [task] = shop.send("graceful", {"n": 1})
    shop.start(tasks="graceful")
    shop.settled()
    assert shop.locate(task)["result"] == "what there is"
