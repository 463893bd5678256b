"""`renew`: the lease of all that a consumer holds, and the truth about what that is."""

from __future__ import annotations

import pytest

from streamq.keys import STREAMS
from tests.lua.bench import Bench
from tests.lua.state import pending


def test_all_streams_are_renewed_in_one_call(bench: Bench) -> None:
    """Idle times go to zero, counts and owners stay; what was idle is told as it was before."""
    bench.send("h", "d", "l", "d;+1;;")
    tasks = bench.take_due(many=4)
    for task in tasks:
        bench.idle("w1-a", task, 60_000)
    with bench.changing() as changed:
        held = bench.run.renew("w1-a")
    assert changed == {}
    assert sorted(row.address for row in held) == sorted(task.address for task in tasks)
    assert all(row.idle_ms >= 60_000 and row.count == 1 for row in held)
    rows = [row for name in STREAMS.values() for row in pending(bench.link, bench.keys[name])]
    assert len(rows) == 4
    assert all(row.idle_ms < 60_000 for row in rows)


def test_more_than_one_page(bench: Bench) -> None:
    """A thousand tasks of one stream."""
    bench.send(*["d"] * 1000)
    assert len(bench.take(want=1000)) == 1000
    assert len({row.address for row in bench.run.renew("w1-a")}) == 1000


def test_a_missing_group_holds_nothing(bench: Bench) -> None:
    """Of that stream; what is held of the others is renewed."""
    bench.send("h", "d")
    bench.take()
    bench.destroy_group("high")
    assert [row.address[0] for row in bench.run.renew("w1-a")] == ["d"]


@pytest.mark.parametrize("many", [1, 3])
def test_a_deleted_entry_leaves_no_record(bench: Bench, many: int) -> None:
    """XDEL behind our back of a task that has a record: where the server drops it from the pending list, its record goes too."""
    bench.send(*["d"] * many)
    for task in bench.take():
        bench.park("w1-a", task)
    tasks = bench.take()
    for task in tasks[1:] or tasks:
        bench.client.xdel(bench.keys["default"], task.address[1:])
    bench.run.renew("w1-a")
    state = bench.state
    for task in tasks[1:] or tasks:
        assert (f"attempts {task.address}" in state) == (f"pending {task.address}" in state)
    assert many == 1 or f"attempts {tasks[0].address}" in state
