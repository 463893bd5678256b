"""A group that is gone: what stood in its stream is handed out again, each task once, its count not below what it was."""

from __future__ import annotations

import itertools

import pytest

from tests.lua.bench import Bench
from tests.lua.state import After


def crash(bench: Bench, address: str, times: int) -> None:
    """Let a waiting task crash a worker so often."""
    for _ in range(times):
        task, _, _ = bench.run.quarantine("q-a")
        [task] = [task] if task else bench.take("w1-a")
        assert task.address == address
        bench.run.reap("q-a" if task.crashes > 1 else "w1-a", "killed")


def test_a_parked_task_stays_parked(bench: Bench) -> None:
    """Sequence: take, park for an hour, destroy the group, take: nothing comes, the task is as it was."""
    task = bench.held()
    bench.park("w1-a", task, delay_ms=3_600_000)
    bench.destroy_group()
    with bench.changing() as changed:
        assert bench.take("w2-b") == []
    assert changed == {}


def test_a_held_task_is_handed_out_again_and_goes_on_counting(bench: Bench) -> None:
    """Sequence: take, park, take (count 2), destroy, take by another: count 2, never 1."""
    bench.park("w1-a", bench.held())
    [again] = bench.take("w1-a")
    assert again.count == 2
    bench.destroy_group()
    [restored] = bench.take("w2-b")
    assert (restored.address, restored.count) == (again.address, 2)
    assert bench.settle("w1-a", again) == [again.address]
    assert bench.settle("w2-b", restored) == []


def test_nothing_is_claimed_while_the_mark_stands(bench: Bench) -> None:
    """Sequence: a due task and two new ones, destroy, take one: `>` has not passed the due one, which is not claimed before."""
    parked = bench.held()
    bench.send("d", "d")
    bench.park("w1-a", parked)
    bench.destroy_group()
    taken = bench.run.take("w2-b", 1, 1, "d")
    assert [task.address for task in taken.tasks] != [parked.address]
    everything = taken.tasks + bench.take("w3-c")
    assert sorted(task.address for task in everything) == sorted({task.address for task in everything})
    assert len(everything) == 3
    assert not [name for name in bench.state if name.startswith("retry")]


def test_the_mark_goes_with_the_last_entry_that_it_covers(bench: Bench) -> None:
    """Once `>` has passed the mark, the control hash names it no longer."""
    bench.send("d", "d")
    bench.destroy_group()
    bench.take("w1-a")
    assert "control d" not in bench.state


def test_a_scheduled_task_is_parked_again_at_its_due_time(bench: Bench) -> None:
    """Sequence: schedule, destroy the group of `later` and its zset's knowledge stays: nothing changes."""
    bench.send("d;+3600000;;")
    bench.destroy_group("later")
    bench.run.open()
    with bench.changing() as changed:
        assert bench.take() == []
    assert changed == {"control s": None}


def test_a_running_scheduled_task_comes_back_at_once(bench: Bench) -> None:
    """Sequence: schedule, run, destroy the group of `later`: it is in no zset and nobody reads `later`; take rebuilds it."""
    bench.send("h;+1;;")
    bench.clock()
    tasks = bench.take_due()
    [first] = tasks
    bench.destroy_group("later")
    bench.run.sweep(1000, 0)
    [second] = bench.take("w2-b")
    assert (second.address, second.count) == (first.address, 1)


def test_a_retried_scheduled_task_counts_on(bench: Bench) -> None:
    """Sequence: schedule, run, retry, run (count 2), destroy the group of `later`, take: count 2."""
    bench.send("l;+1;;")
    tasks = bench.take_due()
    bench.park("w1-a", tasks[0])
    [again] = bench.take()
    assert again.count == 2
    bench.destroy_group("later")
    bench.run.sweep(1000, 0)
    [restored] = bench.take("w2-b")
    assert (restored.address, restored.count) == (again.address, 2)


def test_the_mark_of_later_goes_although_tasks_are_scheduled_all_the_time(bench: Bench) -> None:
    """Sequence: a due task in `later`, destroy its group, schedule one before each take: the due one comes nevertheless."""
    bench.send("d;+1;;")
    bench.destroy_group("later")
    bench.run.open()
    for _ in range(5):
        bench.send("d;+3600000;;")
        if bench.run.take("w1-a", 1, 1, "d").tasks:
            break
    else:
        raise AssertionError("the due task was never handed out")


def test_an_entry_of_later_with_a_due_time_that_is_none_is_due_now(bench: Bench) -> None:
    """Priorities and due times that no add wrote stop nobody: `nan` is no time, `urgent` no priority."""
    for due, priority in itertools.product(("nan", "inf", "-1", "0x10", "1e3", "", "soon"), ("urgent", "")):
        bench.client.xadd(bench.keys["later"], {"task": "image", "args": "{}", "due": due, "priority": priority})
    bench.client.xadd(bench.keys["later"], {"task": "image", "args": "{}"})
    bench.destroy_group("later")
    bench.run.open()
    assert len(bench.take(want=100)) == 15


def test_a_suspect_is_handed_to_quarantine_only(bench: Bench) -> None:
    """Sequence: two crashes, the suspect runs in quarantine, destroy, take: the neighbours are not put beside it."""
    [address] = bench.send("d")
    crash(bench, address, 2)
    suspect, _, _ = bench.run.quarantine("q-a")
    assert suspect is not None
    bench.destroy_group()
    now = bench.clock()
    assert bench.take("w2-b") == []
    assert bench.state[f"suspects:default {address}"] == After(now)
    again, _, _ = bench.run.quarantine("q-b")
    assert again is not None
    assert (again.address, again.count, again.crashes) == (address, suspect.count, 2)


def test_a_suspect_of_later_is_handed_to_quarantine_only(bench: Bench) -> None:
    """The same for a task that was sent with a delay."""
    [address] = bench.send("d;+1;;")
    tasks = bench.take_due()
    bench.run.reap("w1-a", "killed")
    crash(bench, address, 1)
    suspect, _, _ = bench.run.quarantine("q-a")
    assert suspect is not None
    assert suspect.count == 3
    assert tasks[0].address == address
    bench.destroy_group("later")
    bench.run.sweep(1000, 0)
    assert bench.take("w2-b") == []
    again, _, _ = bench.run.quarantine("q-b")
    assert again is not None
    assert (again.address, again.count) == (address, 3)


def test_entries_of_another_group_do_not_hide_a_missing_one(bench: Bench) -> None:
    """Sequence: a stranger makes a group of his own, ours is destroyed, sweep: ours is there again."""
    task = bench.held()
    bench.client.xgroup_create(bench.keys["default"], "stranger", "0")
    bench.destroy_group()
    bench.run.sweep(1000, 0)
    assert [again.address for again in bench.take("w2-b")] == [task.address]


@pytest.mark.parametrize("head", ["h", "d", "l"])
def test_a_stream_of_which_nothing_is_known_needs_no_mark(bench: Bench, head: str) -> None:
    """Sequence: tasks are sent before there was any worker: none of them is looked up; once one is parked, all of them are."""
    bench.send(head, head)
    bench.run.open()
    assert f"control {head}" not in bench.state
    bench.park("w1-a", bench.take("w1-a", want=1)[0])
    bench.destroy_group({"h": "high", "d": "default", "l": "low"}[head])
    bench.run.open()
    assert f"control {head}" in bench.state
