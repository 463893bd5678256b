"""At `maxmemory` nothing new is accepted, and everything that empties the queue goes on."""

from __future__ import annotations

import pytest

from streamq.server.reply import MemoryFull
from tests.lua.bench import Bench
from tests.lua.state import After


def test_add_is_refused_and_leaves_nothing(bench: Bench) -> None:
    """Plain, delayed and unique tasks, one and many: refused at the first write."""
    with bench.full_memory(), bench.changing() as changed:
        for heads in (["d"], ["h", "l"], ["d;+1000;;"], ["d;;+1000;"], ["d;;;u"], ["h;+5;;u", "d"]):
            with pytest.raises(MemoryFull):
                bench.send(*heads, key="k")
    assert changed == {}


def test_a_refused_number_can_be_sent_again(bench: Bench) -> None:
    """The number of a refused send is not used up."""
    with bench.full_memory(), pytest.raises(MemoryFull):
        bench.send("d")
    bench.number -= 1
    assert len(bench.send("d")) == 1


def test_a_held_task_is_settled(bench: Bench) -> None:
    """Settling with result, history and figures."""
    task = bench.held(key="k")
    with bench.full_memory(), bench.changing() as changed:
        extras: list[str | bytes | int] = [1, task.address, "k", "{}"]
        assert bench.run.settle("w1-a", "w1", 60_000, "line", "w1 1", [(task.address, 1)], extras, [task.address]) == []
    assert changed[f"default {task.address}"] is None
    assert changed["stats finished"] == 1
    assert changed["ended"] == ["line"]


def test_a_late_settle_park_and_bury_are_refused_as_ever(bench: Bench) -> None:
    """Refusing counts, and counting is a write: it must not fail where nothing else was written before."""
    task = bench.held()
    bench.run.reap("w1-a", "killed")
    with bench.full_memory(), bench.changing() as changed:
        assert bench.settle("w1-a", task) == [task.address]
        assert bench.park("w1-a", task) == [task.address]
        assert bench.bury("w1-a", task) is False
    assert changed == {"stats fenced": 3}


def test_a_task_is_retried_taken_again_and_buried(bench: Bench) -> None:
    """Take, park, take, bury."""
    bench.send("d", "d;+1;;", key="k")
    with bench.full_memory():
        while len(tasks := bench.take()) < 2:
            for task in tasks:
                bench.park("w1-a", task)
        for task in tasks:
            assert bench.bury("w1-a", task)
    state = bench.state
    assert len([name for name in state if name.startswith(("dead d", "dead s"))]) == 2
    assert not [name for name in state if name.startswith(("default", "later", "pending", "attempts", "retry", "again"))]


def test_the_heartbeat_goes_on(bench: Bench) -> None:
    """A worker that cannot beat would be taken for dead."""
    with bench.full_memory():
        now = bench.run.beat(1000, "run", 5000, [("w1-a", b"{}", "")])
    assert bench.state["workers w1-a"] == now + 5000


def test_a_lease_is_renewed_and_a_dead_consumer_reaped(bench: Bench) -> None:
    """Renew, reap, claim, quarantine."""
    task = bench.held()
    with bench.full_memory():
        assert [held.address for held in bench.run.renew("w1-a")] == [task.address]
        assert bench.run.reap("w1-a", "killed").crashed == 1
        [task] = bench.take("w2-b")
        assert bench.run.claim("claimed", [(task.address, "w2-b", 2)]) == [task.address]
        suspect, _, _ = bench.run.quarantine("q-a")
        assert suspect is not None
    assert bench.state["stats reaped"] == 2


def test_a_sweep_reaps(bench: Bench) -> None:
    """A consumer whose heartbeat stopped is found at maxmemory too."""
    bench.run.beat(1, "run", 60_000, [("w2-b", b"{}", "")])
    bench.client.hset(bench.keys["control"], "hold", 0)
    task = bench.held()
    bench.client.zadd(bench.keys["workers"], {"w1-a": 1})
    with bench.full_memory():
        bench.run.beat(60_000, "run", 60_000, [])
        assert bench.run.sweep(1000, 0).reaped == 1
    assert f"retry:default {task.address}" in bench.state


def test_a_worker_can_start(bench: Bench) -> None:
    """Opening a queue whose groups are there, or not, is no reason to fail."""
    bench.send("d")
    with bench.full_memory():
        assert bench.run.open() == 0
    bench.destroy_group()
    with bench.full_memory():
        assert bench.run.open() == 1
    bench.destroy_group("high")
    with bench.full_memory():
        assert len(bench.take()) == 1
    bench.destroy_group("later")
    with bench.full_memory():
        bench.run.sweep(1000, 0)
        assert bench.run.open() == 0


def test_what_a_blocked_read_brought_is_admitted(bench: Bench) -> None:
    """A suspect that goes back to its zset needs a write."""
    bench.held()
    bench.run.reap("w1-a", "killed")
    bench.take()
    bench.run.reap("w1-a", "killed")
    assert bench.run.quarantine("q-a")[0] is not None
    bench.destroy_group()
    bench.run.open()
    bench.client.xreadgroup("workers", "w2-b", {bench.keys["default"]: ">"})
    [address] = [name.split()[1] for name in bench.state if name.startswith("pending")]
    with bench.full_memory():
        assert bench.run.admit("w2-b", [address]) == []
    assert f"suspects:default {address}" in bench.state


def test_a_person_can_empty_the_queue(bench: Bench) -> None:
    """Pause, cancel, purge, hasten, discard and leave."""
    parked = bench.held()
    bench.park("w1-a", parked, delay_ms=60_000)
    dead = bench.held()
    bench.bury("w1-a", dead)
    waiting, other = bench.send("d", "d")
    with bench.full_memory():
        now = bench.clock()
        assert bench.run.hasten(parked.address) == "ok"
        assert bench.state[f"retry:default {parked.address}"] == After(now)
        assert bench.run.cancel(waiting, "ana") == "cancelled"
        assert bench.run.purge("d", "-", 2**53, "ana")[0] == 2
        assert bench.run.discard(dead.address)
        assert bench.run.pause(paused=True)
        assert bench.run.pause(paused=False)
        assert not bench.run.reap("w1-a", "gone").left
    assert other
    assert not [name for name in bench.state if name.split()[0] in {"default", "dead", "retry:default", "attempts"}]


def test_revive_is_refused_and_leaves_the_letter(bench: Bench) -> None:
    """A revival is a new entry: refused whole, the dead letter stays."""
    task = bench.held()
    bench.bury("w1-a", task)
    with bench.full_memory(), bench.changing() as changed, pytest.raises(MemoryFull):
        bench.run.revive(task.address)
    assert changed == {}
