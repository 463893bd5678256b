"""`take` and the blocked read's `admit`: due before new, counts that go on, nothing handed out twice."""

from __future__ import annotations

from tests.lua.bench import Bench


def test_new_tasks_are_pending_with_count_one(bench: Bench) -> None:
    """A new task is handed out with its fields, pending under its consumer with count 1."""
    [address] = bench.send("d")
    with bench.changing() as changed:
        [task] = bench.take("w1-a")
    assert (task.address, task.count, task.forgiven) == (address, 1, 0)
    assert task.fields == [b"task", b"image", b"args", b"{}"]
    assert changed == {f"pending {address}": "w1-a 1"}
