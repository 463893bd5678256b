"""Normal operation: tasks run at the same time on several workers, each once, with results, priorities, delays and retries."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from tests.conftest import wait_until
from tests.workshop import Workshop


def test_tasks_run_at_the_same_time_on_several_workers_and_processes(shop: Workshop) -> None:
    """Two workers of two processes of two slots: eight tasks run at one moment, sync ones; as many async ones beside them."""
    shop.send_numbered("hold", range(8))
    shop.send_numbered("ahold", range(100, 108))
    for name in ("w1", "w2"):
        shop.start(name, processes=2, slots=2)
    wait_until(lambda: len(shop.lines("start")) == 16, f"sixteen tasks run\n{shop.logs}")
    sync, asynchronous = ([line for line in shop.lines("start") if (line.n < 100) == kind] for kind in (True, False))
    for lines in (sync, asynchronous):
        assert {line.worker for line in lines} == {"w1", "w2"}
        assert len({line.pid for line in lines}) == 4
    figures = shop.checked()
    assert figures.running == 16
    assert sorted((worker.name, worker.running, worker.concurrency) for worker in figures.workers) == [
        ("w1", 4, 4), ("w1", 4, 4), ("w2", 4, 4), ("w2", 4, 4),
    ]  # fmt: skip
    shop.open()
    assert shop.settled().finished_total == 16


def test_results_of_sync_and_async_handlers_reach_who_waits(shop: Workshop) -> None:
    """A thousand jobs, each with its own result, each started once."""
    shop.start("w1", processes=2, slots=4)
    jobs = [job for task, first in (("work", 0), ("awork", 500)) for job in shop.app.send_many(task, _numbered(first, 500))]
    assert [job.result(timeout=60) for job in jobs] == list(range(1000))
    assert set(shop.count("start").values()) == {1}
    figures = shop.settled()
    assert (figures.finished_total, figures.failed_total, figures.success_rate) == (1000, 0, 1.0)


def _numbered(first: int, many: int) -> Iterator[dict[str, int]]:
    return ({"n": n} for n in range(first, first + many))


def test_no_priority_starves(shop: Workshop) -> None:
    """High comes first most of the time, and low still gets its turns while high has work."""
    for start, priority in ((0, "low"), (1000, "default"), (2000, "high")):
        shop.send_numbered("work", range(start, start + 200), {"priority": priority})
    shop.start("w1", "--prefetch", "0")
    shop.settled()
    order = [line.n // 1000 for line in shop.lines("start")]
    assert len(order) == 600
    while_high_waits = order[: max(i for i, each in enumerate(order) if each == 2)]
    shares = [while_high_waits.count(each) / len(while_high_waits) for each in (0, 1, 2)]
    assert shares[2] > shares[1] > shares[0] > 0.05
    longest_wait_of_low = max(len(list(run)) for low, run in groupby(while_high_waits, lambda each: each == 0) if not low)
    assert longest_wait_of_low <= 12
    for each in (0, 1, 2):
        numbers = [line.n for line in shop.lines("start") if line.n // 1000 == each]
        assert numbers == sorted(numbers)


def test_a_flood_of_due_tasks_and_one_of_new_ones_do_not_starve_each_other(shop: Workshop) -> None:
    """At least one in four is new, and due ones go first otherwise."""
    shop.send_numbered("work", range(200), {"delay": "1ms"})
    shop.send_numbered("work", range(1000, 1200))
    shop.start("w1", "--prefetch", "0")
    shop.settled()
    kinds = [line.n // 1000 for line in shop.lines("start")]
    both = kinds[: min(len(kinds) - kinds[::-1].index(each) for each in (0, 1))]
    assert 0.2 < both.count(1) / len(both) < 0.5


def test_delayed_tasks_are_not_early_and_not_forgotten(shop: Workshop) -> None:
    """By the server's clock; a worker that sleeps in a blocked read wakes up for them."""
    shop.start("w1")
    wait_until(lambda: shop.fleet, "the worker waits for tasks")
    ids = [shop.send("work", {"n": n}, delay=f"{n * 100}ms")[0] for n in range(1, 6)]
    assert shop.stats.scheduled > 0
    shop.settled()
    shown = [shop.locate(each) for each in ids]
    assert all(each["started_ms"] >= each["due_ms"] for each in shown if each["due_ms"])
    assert all(each["started_ms"] - each["sent_ms"] >= n * 100 for n, each in enumerate(shown, 1))
    assert [line.n for line in shop.lines("start")] == [1, 2, 3, 4, 5]


def test_a_worker_that_joins_gets_its_share(shop: Workshop) -> None:
    """Nobody hoards what others could run."""
    shop.send_numbered("work", range(200), ms=20)
    shop.start("w1", slots=2)
    shop.happened("start", 5)
    shop.start("w2", slots=2)
    shop.settled()
    assert len([line for line in shop.lines("end") if line.worker == "w2"]) > 40
    assert set(shop.count("start").values()) == {1}
