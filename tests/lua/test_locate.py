"""`locate` and `remains`: what is known of a task in each of its states, and what keeps a queue from being drained."""

from __future__ import annotations

from typing import Any

from tests.lua.bench import Bench
from tests.lua.state import After, pairs


def located(bench: Bench, task_id: str) -> dict[str, Any]:
    """The reply of locate, named."""
    names = ("now", "address", "fields", "row", "record", "due", "letter", "result", "running")
    return dict(zip(names, bench.run.locate(task_id), strict=True))


def test_a_waiting_task(bench: Bench) -> None:
    """Address and fields, nothing else."""
    now = bench.clock()
    [address] = bench.send("h")
    told = located(bench, address)
    assert After(now) == told.pop("now")
    assert told == {
        "address": address.encode(),
        "fields": [b"task", b"image", b"args", b"{}"],
        **dict.fromkeys(("row", "record", "due", "letter", "result", "running")),
    }


def test_a_running_task(bench: Bench) -> None:
    """Who holds it, how often it was handed out, and what the heartbeat told of it."""
    task = bench.held(head="l;+1;;")
    bench.run.beat(1000, "run", 500, [("w1-a", b"{}", f"\n{task.address} 77")])
    told = located(bench, task.address)
    assert [told["row"][0], told["row"][2]] == [b"w1-a", 1]
    assert told["running"].endswith(f"\n{task.address} 77".encode())


def test_a_parked_task(bench: Bench) -> None:
    """Its record and its due time."""
    task = bench.held()
    now = bench.clock()
    bench.park("w1-a", task, delay_ms=60_000, attempt=b"{}")
    told = located(bench, task.address)
    assert told["record"] == b"1 0 0 0\n{}"
    assert After(now + 60_000) == int(told["due"])
    assert told["row"] is None


def test_a_dead_and_a_revived_task(bench: Bench) -> None:
    """The letter while it is dead; after that the place where it stands now."""
    task = bench.held()
    bench.bury("w1-a", task)
    told = located(bench, task.address)
    assert told["fields"] is None
    assert pairs(told["letter"][1])["reason"] == "error"
    _, address = bench.run.revive(task.address)
    told = located(bench, task.address)
    assert told["address"] == address.encode()
    assert told["letter"] is None


def test_a_finished_and_an_unknown_task(bench: Bench) -> None:
    """The result while it is kept; else nothing."""
    task = bench.held()
    bench.run.settle("w1-a", "w1", 60_000, "x", "", [(task.address, 1)], [1, task.address, "", "r"], [task.address])
    assert located(bench, task.address)["result"] == b"r"
    told = located(bench, "d1-1")
    assert {name for name, value in told.items() if value} == {"now", "address"}


def test_what_remains(bench: Bench) -> None:
    """Each task in the one place where it is counted."""
    assert bench.run.remains() == (0, 0, 0, 0, 0, 0, False)
    suspect = bench.held()
    for _ in range(2):
        bench.run.reap("w1-a", "killed")
        bench.take()
    assert suspect.count == 1
    for head in ("d", "h;+1;;"):
        bench.park("w1-a", bench.held(head=head), "unknown", delay_ms=60_000)
    bench.park("w1-a", bench.held(head="l"), delay_ms=60_000)
    bench.held(head="h")
    bench.send("d", "l", "d;+60000;;", "h;+1;;")
    bench.pass_time(2)
    bench.run.pause(paused=True)
    assert bench.run.remains() == (2, 1, 4, 2, 1, 1, True)
