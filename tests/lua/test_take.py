"""`take` and `quarantine`: due before new, but both; counts that go on; nothing handed out twice."""

from __future__ import annotations

import pytest

from tests.lua.bench import Bench
from tests.lua.state import After


def park_due(bench: Bench, head: str, many: int) -> list[str]:
    """So many tasks that wait for a retry and are due."""
    bench.send(*[head] * many)
    tasks = bench.take_due("w9-z", many)
    for task in tasks:
        bench.park("w9-z", task)
    return [task.address for task in tasks]


def test_new_tasks_are_pending_with_count_one(bench: Bench) -> None:
    """A new task is handed out with its fields, pending under its consumer with count 1."""
    [address] = bench.send("d")
    with bench.changing() as changed:
        [task] = bench.take("w1-a")
    assert (task.address, task.count, task.forgiven) == (address, 1, 0)
    assert task.fields == [b"task", b"image", b"args", b"{}"]
    assert changed == {f"pending {address}": "w1-a 1"}


def test_a_due_task_is_taken_out_of_its_zset(bench: Bench) -> None:
    """Pending with the next count, its record kept for the time after."""
    [address] = park_due(bench, "d", 1)
    with bench.changing() as changed:
        [task] = bench.take("w1-a")
    assert (task.address, task.count) == (address, 2)
    assert changed == {f"pending {address}": "w1-a 2", f"retry:default {address}": None}


def test_what_is_not_due_is_not_taken(bench: Bench) -> None:
    """Neither scheduled nor retrying; the earliest due time is told, of all priorities."""
    now = bench.clock()
    bench.send("d;+60000;;")
    bench.park("w1-a", bench.held(head="l"), delay_ms=50_000)
    bench.park("w1-a", bench.held(head="h;+1;;"), delay_ms=70_000)
    with bench.changing() as changed:
        taken = bench.run.take("w1-a", 10, 5, "hdl")
    assert (taken.state, taken.tasks) == ("ok", [])
    assert After(now + 50_000) == taken.next_due_ms
    assert changed == {}


def test_due_ones_come_first_but_new_ones_too(bench: Bench) -> None:
    """With `due_first` below `want`, a flood of retries does not stop new tasks, nor the other way round."""
    due = park_due(bench, "d", 20)
    new = bench.send(*["d"] * 20)
    taken = [task.address for task in bench.run.take("w1-a", 8, 6, "hdl").tasks]
    assert [len(set(taken) & set(of)) for of in (due, new)] == [6, 2]
    taken = [task.address for task in bench.run.take("w1-a", 20, 6, "hdl").tasks]
    assert [len(set(taken) & set(of)) for of in (due, new)] == [6, 14]
    taken = [task.address for task in bench.run.take("w1-a", 40, 0, "hdl").tasks]
    assert [len(set(taken) & set(of)) for of in (due, new)] == [8, 4]


def test_who_was_due_first_comes_first(bench: Bench) -> None:
    """Sequence: a scheduled task is due, then ten retries are: the retries do not keep it waiting, however many come."""
    [scheduled] = bench.send("d;+1;;")
    bench.pass_time(2)
    bench.send(*["d"] * 10)
    for task in bench.run.take("w9-z", 10, 0, "d").tasks:
        assert task.address[0] == "d"
        bench.park("w9-z", task)
    bench.send(*["d"] * 10)
    [first, *_] = bench.run.take("w1-a", 8, 6, "d").tasks
    assert first.address == scheduled


def test_priorities_come_in_the_order_asked(bench: Bench) -> None:
    """Each priority whole before the next, due and new ones of it."""
    heads = ["l", "d", "h"] * 3
    bench.send(*heads)
    assert [task.address[0] for task in bench.take(want=4, order="ldh")] == ["l", "l", "l", "d"]
    assert [task.address[0] for task in bench.take(want=9, order="hd")] == ["h", "h", "h", "d", "d"]


@pytest.mark.parametrize("head", ["d", "d;+1;;"])
def test_a_deleted_task_leaves_without_a_trace(bench: Bench, head: str) -> None:
    """XDEL behind our back while it was parked: zset and record are cleaned, the others come."""
    deleted, other = park_due(bench, head, 2)
    bench.client.xdel(bench.keys.stream(deleted[0]), deleted[1:])
    assert [task.address for task in bench.take()] == [other]
    assert not [name for name in bench.state if deleted in name]


def test_a_parked_task_that_is_pending_is_not_taken_from_its_holder(bench: Bench) -> None:
    """Sequence: a stranger claims a parked entry; it is left with him and stays parked, so that it comes when he lets it go."""
    [address] = park_due(bench, "d", 1)
    bench.link.call("XCLAIM", bench.keys["default"], "workers", "stranger", 0, address[1:], "FORCE", "JUSTID")
    now = bench.clock()
    with bench.full_memory(), bench.changing() as changed:
        assert bench.take("w1-a") == []
    assert changed == {f"retry:default {address}": After(now + 1000)}
    bench.client.xack(bench.keys["default"], "workers", address[1:])
    bench.run.hasten(address)
    [task] = bench.take("w1-a")
    assert (task.address, task.count) == (address, 2)


def test_a_stream_that_was_deleted_is_made_anew(bench: Bench) -> None:
    """Its parked tasks are gone with it; the next ones come."""
    parked = park_due(bench, "d", 3)
    bench.client.delete(bench.keys["default"])
    assert bench.take() == []
    assert not [name for name in bench.state for address in parked if address in name]
    [address] = bench.send("d")
    assert [task.address for task in bench.take()] == [address]


def test_suspects_come_one_at_a_time(bench: Bench) -> None:
    """Quarantine gets one, however many are due; a take never gets any."""
    bench.send("h", "d", "l", "d;+1;;")
    for _ in range(2):
        bench.take_due(many=4)
        bench.run.reap("w1-a", "killed")
    assert bench.take() == []
    assert bench.run.quarantine("")[:2] == (None, 4)
    letters = []
    for left in (3, 2, 1, 0):
        task, due, _ = bench.run.quarantine("q-a")
        assert task is not None
        letters.append(task.address[0])
        assert due == left
        bench.settle("q-a", task)
    assert letters == ["h", "d", "l", "s"]
    assert bench.run.quarantine("q-a") == (None, 0, 0)


def test_quarantine_tells_when_the_next_suspect_is_due(bench: Bench) -> None:
    """So that nobody asks before."""
    bench.held()
    bench.run.reap("w1-a", "killed")
    bench.take()
    bench.run.reap("w1-a", "killed")
    task, _, _ = bench.run.quarantine("q-a")
    assert task is not None
    now = bench.clock()
    bench.park("q-a", task, delay_ms=60_000)
    _, due, next_due = bench.run.quarantine("")
    assert due == 0
    assert After(now + 60_000) == next_due


def test_a_lost_group_of_suspects_is_made_anew(bench: Bench) -> None:
    """Quarantine meets a missing group: nothing is lost, and the suspect comes once the mark is passed."""
    [address] = bench.send("d")
    for _ in range(2):
        bench.take()
        bench.run.reap("w1-a", "killed")
    bench.destroy_group()
    assert bench.run.quarantine("q-a")[0] is None
    assert bench.take() == []
    task, _, _ = bench.run.quarantine("q-a")
    assert task is not None
    assert (task.address, task.count) == (address, 3)


@pytest.mark.parametrize("stranger", ["nonsense", "d", "dx-y", "z1-0", ""])
def test_what_no_entry_can_be_called_is_taken_off_the_parked(bench: Bench, stranger: str) -> None:
    """Somebody wrote it there: it stops nobody."""
    [address] = bench.send("d")
    zset = bench.run.keys["retry:default"]
    bench.run.link.call("ZADD", zset, 1, stranger)
    assert [task.address for task in bench.take()] == [address]
    assert bench.run.link.call("ZCARD", zset) == 0
