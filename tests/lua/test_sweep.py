"""`sweep` and `beat`: leases and heartbeats that ran out, and the times at which time alone proves nothing."""

from __future__ import annotations

import json

import pytest

from tests.lua.bench import Bench
from tests.lua.state import After

LEASE = 30_000


@pytest.fixture
def steady(bench: Bench) -> Bench:
    """A queue whose fleet has been beating for long: nothing holds the sweep back."""
    bench.run.beat(LEASE, "run", LEASE, [("w0-z", b"{}", "")])
    bench.client.hset(bench.keys["control"], "hold", 0)
    return bench


def silence(bench: Bench, ms: int) -> None:
    """Let nobody have beaten for so long."""
    for field in ("beat", "quiet"):
        bench.client.hincrby(bench.keys["control"], field, -ms)


def end_hold(bench: Bench) -> None:
    """Let the time of the hold be over."""
    bench.client.hset(bench.keys["control"], "hold", bench.clock())


def expire(bench: Bench, consumer: str) -> None:
    """Let a heartbeat have expired."""
    bench.run.beat(LEASE, "run", LEASE, [(consumer, b"{}", "")])
    bench.client.zadd(bench.keys["workers"], {consumer: bench.clock() - 1})


def test_a_lease_that_ran_out_is_recovered(steady: Bench) -> None:
    """Parked, due now, with a crash: nobody can say what had become of it; a young one is left alone."""
    old, young = steady.held("w1-a"), steady.held("w1-a")
    steady.idle("w1-a", old, LEASE)
    now = steady.clock()
    with steady.changing() as changed:
        assert steady.run.sweep(LEASE, 0) == (1, 0, False)
    record, attempt = changed[f"attempts {old.address}"].split("\n")
    assert record == "1 0 1 0"
    assert json.loads(attempt)["error"] == "lease lost: not renewed in time"
    assert changed[f"retry:default {old.address}"] == After(now)
    assert changed[f"pending {old.address}"] is None
    assert changed["stats reaped"] == changed["stats failed"] == 1
    assert steady.state[f"pending {young.address}"] == "w1-a 1"


def test_the_longest_lease_of_the_fleet_counts(steady: Bench) -> None:
    """A worker with a lease of two minutes is not robbed by one with half a minute."""
    task = steady.held("w1-a")
    steady.run.beat(120_000, "run", 120_000, [("w1-a", b"{}", "")])
    steady.idle("w1-a", task, 119_000)
    assert steady.run.sweep(LEASE, 0).reaped == 0
    steady.idle("w1-a", task, 120_000)
    assert steady.run.sweep(LEASE, 0).reaped == 1


def test_a_heartbeat_that_stopped_is_not_waited_out(steady: Bench) -> None:
    """Its tasks of all streams are recovered at once, whatever their idle time, and it leaves the fleet."""
    heads = ["h", "d", "l", "d;+1;;"]
    steady.send(*heads)
    steady.take_due(many=4)
    expire(steady, "w1-a")
    assert steady.run.sweep(LEASE, 0).reaped == 4
    assert not [name for name in steady.state if "w1-a" in name]


def test_a_heartbeat_that_goes_on_or_never_was_is_no_reason(steady: Bench) -> None:
    """A stranger in the group that never beat loses only what its lease has run out for."""
    steady.held("w1-a")
    steady.held("stranger")
    steady.run.beat(LEASE, "run", LEASE, [("w1-a", b"{}", "")])
    assert steady.run.sweep(LEASE, 0).reaped == 0


def test_young_entries_do_not_hide_old_ones(steady: Bench) -> None:
    """Sixty young entries ahead of forty old ones, three a sweep: the cursor is kept, and all forty are found."""
    steady.send(*["d"] * 100)
    tasks = steady.take(want=100)
    for task in tasks[60:]:
        steady.idle("w1-a", task, LEASE)
    reaped = [steady.run.sweep(LEASE, 0, 3).reaped for _ in range(20)]
    assert sum(reaped) == 40


def test_one_sweep_a_period(steady: Bench) -> None:
    """Who comes second in a period does nothing; a clock that stepped back does not stop the sweeps."""
    task = steady.held("w1-a")
    assert steady.run.sweep(LEASE, 60_000).reaped == 0
    steady.idle("w1-a", task, LEASE)
    with steady.changing() as changed:
        assert steady.run.sweep(LEASE, 60_000) == (0, 0, False)
    assert changed == {}
    steady.client.hset(steady.keys["control"], "sweep", steady.clock() + 3_600_000)
    assert steady.run.sweep(LEASE, 60_000).reaped == 1


def test_a_gap_between_beats_holds_the_sweep_back(steady: Bench) -> None:
    """Nobody beat for two thirds of a heartbeat (a pause, a stopped host): for one lease nothing is reaped by time."""
    task = steady.held("w1-a")
    steady.idle("w1-a", task, LEASE)
    expire(steady, "w2-b")
    silence(steady, LEASE * 2 // 3 + 1)
    now = steady.run.beat(LEASE, "run", LEASE, [("w0-z", b"{}", "")])
    assert steady.run.sweep(LEASE, 0) == (0, 0, True)
    assert steady.state["control hold"] == After(now + LEASE)
    end_hold(steady)
    assert steady.run.sweep(LEASE, 0).reaped == 1


@pytest.mark.parametrize("change", ["another run", "a step back"])
def test_a_restart_or_a_step_back_holds_the_sweep_back(steady: Bench, change: str) -> None:
    """Downtime counts as idle time; after a step back no interval means anything."""
    task = steady.held("w1-a")
    steady.idle("w1-a", task, LEASE)
    if change == "a step back":
        silence(steady, -3_600_000)
    steady.run.beat(LEASE, "other" if change == "another run" else "run", LEASE, [("w0-z", b"{}", "")])
    assert steady.run.sweep(LEASE, 0) == (0, 0, True)


def test_a_sweep_before_the_first_beat_after_a_gap_is_held_back(steady: Bench) -> None:
    """Sequence: the server was down for long, and the sweep's timer comes before anybody's beat: everybody looks dead."""
    task = steady.held("w1-a")
    expire(steady, "w1-a")
    steady.idle("w1-a", task, LEASE)
    silence(steady, LEASE)
    assert steady.run.sweep(LEASE, 0) == (0, 0, True)
    assert steady.run.sweep(LEASE, 0) == (0, 0, True)
    assert steady.state[f"pending {task.address}"] == "w1-a 1"


def test_the_hold_lasts_for_the_longest_lease(steady: Bench) -> None:
    """Sequence: leases of 2 min and 1 s, server restarts, the short one beats first: the long one has its time to come back."""
    steady.run.beat(120_000, "run", 120_000, [("w1-a", b"{}", "")])
    task = steady.held("w1-a")
    steady.idle("w1-a", task, 120_000)
    now = steady.run.beat(1000, "other", 1000, [("w2-b", b"{}", "")])
    assert steady.state["control hold"] == After(now + 120_000)
    assert steady.run.sweep(1000, 0) == (0, 0, True)
    end_hold(steady)
    assert steady.run.sweep(1000, 0).reaped == 1


def test_a_consumer_that_is_known_to_be_dead_is_reaped_while_held_back(steady: Bench) -> None:
    """A supervisor that saw its child die, or a process that is gone, needs no time as a proof."""
    task = steady.held("w1-a")
    steady.run.beat(LEASE, "other", LEASE, [("w0-z", b"{}", "")])
    assert steady.run.sweep(LEASE, 0).held_back
    assert steady.run.reap("w1-a", "killed").crashed == 1
    assert [again.address for again in steady.take("w2-b")] == [task.address]


def test_missing_groups_are_made_while_held_back(bench: Bench) -> None:
    """The reap timer makes them, whatever the time."""
    for name in ("high", "default", "low", "later"):
        bench.destroy_group(name)
    bench.send("d")
    assert bench.run.sweep(LEASE, 0).held_back
    assert all(bench.client.xinfo_groups(bench.keys[name]) for name in ("high", "default", "low", "later"))


def test_producer_lanes_go_after_an_hour(steady: Bench) -> None:
    """By bounded scans over many sweeps; younger ones stay, and so does whatever sends in between."""
    now = steady.clock()
    old = {f"old{i}": f"1 {now - 3_600_001} d1-0+0" for i in range(2000)}
    young = {f"young{i}": f"1 {now - 3_500_000} d1-0+0" for i in range(1000)}
    steady.client.hset(steady.keys["producers"], mapping=old | young)  # type: ignore[arg-type]
    for _ in range(60):
        steady.run.sweep(LEASE, 0)
    left = {name.split()[1] for name in steady.state if name.startswith("producers")}
    assert left == young.keys()


def test_a_suspect_that_is_due_is_told(steady: Bench) -> None:
    """The sweep of any worker tells it, so that somebody starts a quarantine."""
    steady.held("w1-a")
    steady.run.reap("w1-a", "killed")
    steady.take("w1-a")
    steady.run.reap("w1-a", "killed")
    assert steady.run.sweep(LEASE, 60_000).suspects_due == 1
    assert steady.run.sweep(LEASE, 60_000).suspects_due == 1


@pytest.mark.parametrize("head", ["d", "d;+1;;"])
def test_deleted_entries_vanish(steady: Bench, head: str) -> None:
    """XDEL behind our back while pending: no record, no pending row, no zset member is left of it."""
    steady.send(head)
    tasks = steady.take_due()
    steady.park("w1-a", tasks[0])
    [task] = steady.take("w1-a")
    steady.idle("w1-a", task, LEASE)
    steady.client.xdel(steady.keys.stream(task.address[0]), task.address[1:])
    assert steady.run.sweep(LEASE, 0).reaped == 0
    assert not [name for name in steady.state if task.address in name]


def test_beat_tells_the_time_and_registers(bench: Bench) -> None:
    """Expiry, card with the lease, running lines."""
    now = bench.run.beat(LEASE, "run", 90_000, [("w1-a", b'{"x":1}', "\nd1-0 5"), ("w1-b", b"{}", "")])
    state = bench.state
    assert state["workers w1-a"] == state["workers w1-b"] == now + 90_000
    assert state["fleet w1-a"] == '30000 {"x":1}'
    assert state["running w1-a"] == f"{now}\nd1-0 5"
