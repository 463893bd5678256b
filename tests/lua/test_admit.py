"""`admit`: what a blocked read brought below a mark is looked up before it starts; what it brings by mistake stays as it was."""

from __future__ import annotations

import pytest

from streamq.replies import Handed, parse_read
from streamq.transitions import reading
from tests.lua.bench import Bench
from tests.lua.state import After


def blocked_read(bench: Bench, consumer: str = "w2-b") -> list[Handed]:
    """What the blocked read of an idle process brings, with its look at the marks behind it."""
    read, control = bench.link.batch(reading(bench.keys, consumer, 10, block_ms=1))
    tasks, watch = parse_read(bench.keys, read, control)
    assert not tasks or watch.marks
    return tasks


@pytest.fixture
def stray(bench: Bench) -> Handed:
    """A task that was parked with count 3, and that a blocked read has brought again with count 1."""
    task = bench.held()
    for _ in range(2):
        bench.park("w1-a", task)
        [task] = bench.take()
    bench.park("w1-a", task, delay_ms=60_000)
    bench.destroy_group()
    bench.run.open()
    [stray] = blocked_read(bench)
    assert (stray.address, stray.count) == (task.address, 1)
    return stray


def test_a_parked_task_is_given_back_to_its_zset(bench: Bench, stray: Handed) -> None:
    """A blocked read passed the mark and brought a parked task: admit takes it off the pending list, nothing else."""
    with bench.changing() as changed:
        assert bench.run.admit("w2-b", [stray.address]) == []
    assert changed == {f"pending {stray.address}": None}


def test_a_known_task_goes_on_counting(bench: Bench) -> None:
    """A task that ran when its group went is admitted with the count that follows its record."""
    bench.park("w1-a", bench.held(), attempt=b'{"delivery":1}')
    [task] = bench.take()
    bench.destroy_group()
    bench.run.open()
    [again] = blocked_read(bench)
    assert bench.run.admit("w2-b", [again.address]) == [(task.address, 2, 0, 0, 0, b'{"delivery":1}')]
    assert bench.state[f"pending {task.address}"] == "w2-b 2"


def test_a_new_task_is_admitted_as_it_is(bench: Bench) -> None:
    """What nothing is known of starts with count 1, beside a task that is parked."""
    bench.park("w1-a", bench.held(), delay_ms=60_000)
    [address] = bench.send("d")
    bench.destroy_group()
    bench.run.open()
    _, task = blocked_read(bench)
    assert task.address == address
    with bench.changing() as changed:
        assert bench.run.admit("w2-b", [task.address]) == [(task.address, 1, 0, 0, 0, b"")]
    assert changed == {}


def test_what_the_consumer_does_not_hold_is_not_admitted(bench: Bench) -> None:
    """Neither another consumer's entry nor one that is gone."""
    task = bench.held("w1-a")
    assert bench.run.admit("w2-b", [task.address, "d1-1"]) == []


def test_a_suspect_is_not_admitted(bench: Bench) -> None:
    """Sequence: two crashes, runs in quarantine, group destroyed, blocked read: it goes back to the suspects."""
    bench.held()
    bench.run.reap("w1-a", "killed")
    bench.take()
    bench.run.reap("w1-a", "killed")
    suspect, _, _ = bench.run.quarantine("q-a")
    assert suspect is not None
    bench.destroy_group()
    bench.run.open()
    [again] = blocked_read(bench)
    now = bench.clock()
    with bench.changing() as changed:
        assert bench.run.admit("w2-b", [again.address]) == []
    assert changed == {f"pending {again.address}": None, f"suspects:default {again.address}": After(now)}


def test_a_stray_whose_reader_died_is_parked_as_before(bench: Bench, stray: Handed) -> None:
    """Sequence: parked with count 3, destroyed, brought by a blocked read, reader killed before admit: nothing is counted."""
    with bench.changing() as changed:
        bench.run.reap("w2-b", "killed")
    assert changed == {f"pending {stray.address}": None}


def test_a_stray_that_is_handed_back_is_parked_as_before(bench: Bench, stray: Handed) -> None:
    """Sequence: parked with count 3, destroyed, brought by a blocked read of a stopping worker: its release changes nothing."""
    with bench.changing() as changed:
        assert bench.park("w2-b", stray, "release") == []
    assert changed == {f"pending {stray.address}": None}


def test_a_stray_stays_parked_although_it_is_due(bench: Bench, stray: Handed) -> None:
    """Sequence: brought by a blocked read whose reader died, then the mark goes and the task is due: it is not forgotten."""
    bench.take("w3-c")
    bench.run.hasten(stray.address)
    assert bench.take("w3-c") == []
    bench.run.reap("w2-b", "killed")
    bench.run.hasten(stray.address)
    [task] = bench.take("w3-c")
    assert (task.address, task.count, task.crashes) == (stray.address, 4, 0)


def test_a_stray_whose_lease_ran_out_is_parked_as_before(bench: Bench, stray: Handed) -> None:
    """The same when a sweep finds it."""
    bench.run.beat(1, "run", 60_000, [])
    bench.client.hset(bench.keys["control"], "hold", 0)
    bench.idle("w2-b", stray, 60_000)
    with bench.changing() as changed:
        bench.run.sweep(1000, 0)
    assert changed[f"pending {stray.address}"] is None
    assert {name for name in changed if not name.startswith("control")} == {f"pending {stray.address}"}


def test_a_stray_of_a_running_task_counts_on_when_its_reader_died(bench: Bench) -> None:
    """Sequence: count 2 running, destroyed, brought by a blocked read as 1, reader killed: the record says 3, it fell never."""
    bench.park("w1-a", bench.held())
    [task] = bench.take()
    bench.park("w1-a", task)
    bench.take()
    bench.destroy_group()
    bench.run.open()
    blocked_read(bench)
    bench.run.reap("w2-b", "killed", started=[])
    assert bench.state[f"attempts {task.address}"] == "3 1 0 0"
    [again] = bench.take("w3-c")
    assert (again.count, again.forgiven) == (4, 1)


def test_a_stray_of_a_running_task_counts_on_when_it_is_handed_back(bench: Bench) -> None:
    """The same for a hand-back: the hand-out is counted and forgiven."""
    bench.park("w1-a", bench.held())
    [task] = bench.take()
    bench.park("w1-a", task)
    bench.take()
    bench.destroy_group()
    bench.run.open()
    [stray] = blocked_read(bench)
    assert bench.park("w2-b", stray, "release") == []
    assert bench.state[f"attempts {task.address}"] == "3 1 0 0"
