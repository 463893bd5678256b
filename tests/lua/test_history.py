"""The history of endings: the newest ones are kept, and not more, whatever the size of the groups that they came in."""

from __future__ import annotations

import pytest

from tests.lua.bench import Bench
from tests.lua.servers import Server
from tests.lua.state import pairs


def finish(bench: Bench, many: int) -> None:
    """Settle so many tasks in one call."""
    bench.send(*["d"] * many)
    assert bench.settle("w1-a", *bench.take(want=many)) == []


@pytest.fixture
def short(script_server: Server, bench: Bench) -> Bench:
    """The same queue with a history of 20."""
    bench.run.history = 20
    return bench


def test_the_newest_are_kept(short: Bench) -> None:
    """One by one: exactly as many as asked."""
    for _ in range(30):
        finish(short, 1)
    assert len(short.state["ended"]) == 20


def test_groups_are_kept_whole(short: Bench) -> None:
    """Groups of seven: at least the newest twenty, and none that is older than these as a whole."""
    for _ in range(10):
        finish(short, 7)
    assert len(short.state["ended"]) == 21


def test_singles_make_room_for_groups(short: Bench) -> None:
    """Sequence: twenty single endings, then groups: each group pushes out as many as it brings, not two."""
    for _ in range(20):
        finish(short, 1)
    finish(short, 15)
    assert len(short.state["ended"]) == 20
    finish(short, 15)
    assert len(short.state["ended"]) == 30
    finish(short, 40)
    assert len(short.state["ended"]) == 40


def test_a_shorter_history_takes_effect_at_once(short: Bench) -> None:
    """The setting was lowered: the next ending drops what is too old."""
    for _ in range(20):
        finish(short, 1)
    short.run.history = 5
    finish(short, 1)
    assert len(short.state["ended"]) == 5
    short.run.history = 0
    finish(short, 1)
    assert short.state["ended"] == []
    short.run.history = 5
    for _ in range(7):
        finish(short, 1)
    assert len(short.state["ended"]) == 5


def test_a_history_that_somebody_deleted_begins_anew(short: Bench) -> None:
    """What is remembered of the oldest entry is a hint, not a truth."""
    for _ in range(20):
        finish(short, 1)
    short.client.delete(short.keys["ended"])
    for _ in range(30):
        finish(short, 1)
    assert len(short.state["ended"]) == 20


def test_counters_of_a_minute_go_after_an_hour(bench: Bench) -> None:
    """Whoever opens a minute drops the minutes that are an hour old, all their fields, and keeps the others."""
    finish(bench, 1)
    minute = bench.clock() // 60_000
    old, young = minute - 60, minute - 58
    names = [f"{name}{i}" for name in "wr" for i in range(64)] + ["since", "finished", "failed", "dead"]
    bench.client.delete(bench.keys["minutes"])
    for at in (old, young):
        bench.client.hset(bench.keys["minutes"], mapping={f"{at}:{name}": 1 for name in names})
    bench.client.hset(bench.keys["minutes"], "open", f"{old} {young}")
    finish(bench, 1)
    fields = pairs(bench.link.call("HGETALL", bench.keys["minutes"]))
    first, *_ = opened = fields["open"].split()
    assert (int(first), len(opened)) == (young, 2)
    kept = {field.partition(":")[0] for field in fields}
    assert str(old) not in kept
    assert str(young) in kept


def test_a_minute_is_opened_once(bench: Bench) -> None:
    """A second ending in the same minute adds to its figures."""
    finish(bench, 2)
    finish(bench, 3)
    state = bench.state
    assert state["minutes finished"] == state["stats finished"] == 5
