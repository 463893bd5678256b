"""The fence: only the run that holds a task, by consumer and delivery count, may finish, park, bury or renew it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamq.replies import Handed
from streamq.transitions import Park, ParkKind
from tests.lua.bench import Bench

Verb = Callable[[Bench, str, Handed], bool]


def settle(bench: Bench, consumer: str, task: Handed) -> bool:
    """Finish; whether it was accepted."""
    return bench.settle(consumer, task) == []


def retry(bench: Bench, consumer: str, task: Handed) -> bool:
    """Retry; whether it was accepted."""
    return bench.park(consumer, task, "retry") == []


def release(bench: Bench, consumer: str, task: Handed) -> bool:
    """Hand back; whether it was accepted."""
    return bench.park(consumer, task, "release") == []


def bury(bench: Bench, consumer: str, task: Handed) -> bool:
    """Bury; whether it was accepted."""
    return bench.bury(consumer, task)


VERBS = [settle, retry, release, bury]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("head", ["d", "d;+1;;"])
def test_a_late_worker_is_refused(bench: Bench, verb: Verb, head: str) -> None:
    """Sequence: taken, reaped, taken again by another: the first run changes nothing, whoever it says it is."""
    bench.send(head)
    tasks = bench.take_due()
    [late] = tasks
    bench.run.reap("w1-a", "killed")
    [task] = bench.take("w2-b")
    with bench.changing() as changed:
        assert not verb(bench, "w1-a", late)
        assert not verb(bench, "w1-a", task)
        assert not verb(bench, "w2-b", late)
    assert changed == {"stats fenced": 3}
    assert verb(bench, "w2-b", task)


@pytest.mark.parametrize("verb", VERBS)
def test_the_same_worker_after_a_lost_lease_is_refused_for_its_first_run(bench: Bench, verb: Verb) -> None:
    """Sequence: taken, reaped, taken again by the same consumer: the count tells the runs apart."""
    late = bench.held()
    bench.run.reap("w1-a", "killed")
    [task] = bench.take("w1-a")
    assert not verb(bench, "w1-a", late)
    assert verb(bench, "w1-a", task)


@pytest.mark.parametrize("verb", VERBS)
def test_a_reaped_task_that_waits_is_nobodys(bench: Bench, verb: Verb) -> None:
    """Sequence: taken, reaped, not taken again."""
    late = bench.held()
    bench.run.reap("w1-a", "killed")
    with bench.changing() as changed:
        assert not verb(bench, "w1-a", late)
    assert changed == {"stats fenced": 1}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("first", VERBS)
def test_what_has_ended_or_was_given_back_is_not_ended_twice(bench: Bench, first: Verb, verb: Verb) -> None:
    """The same call once more, or another: refused."""
    task = bench.held()
    assert first(bench, "w1-a", task)
    with bench.changing() as changed:
        assert not verb(bench, "w1-a", task)
    assert changed == {"stats fenced": 1}


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_group_means_not_held(bench: Bench, verb: Verb) -> None:
    """Sequence: taken, group destroyed: refused, not an error, although another task of the call is held."""
    task = bench.held()
    bench.destroy_group()
    assert not verb(bench, "w1-a", task)


@pytest.mark.parametrize("verb", ["settle", "park"])
def test_one_lost_group_does_not_refuse_the_rest(bench: Bench, verb: str) -> None:
    """Sequence: tasks of two streams, one group destroyed, one call for both: the other stream's task passes."""
    bench.send("h", "d")
    high, default = bench.take()
    bench.destroy_group("high")
    if verb == "settle":
        assert bench.settle("w1-a", high, default) == [high.address]
    else:
        parks = [Park(task.address, task.count, 0, "retry") for task in (high, default)]
        assert bench.run.park("w1-a", parks) == [high.address]
    assert f"pending {default.address}" not in bench.state


def test_the_stream_is_part_of_the_fence(bench: Bench) -> None:
    """Two streams give out the same entry id: settling one leaves the other."""
    for name in ("high", "default"):
        bench.client.xadd(bench.keys[name], {"task": "x", "args": "{}"}, id="5-5")
    bench.take()
    assert bench.run.settle("w1-a", "w1", 1, "x", "", [("h5-5", 1)]) == []
    assert bench.run.settle("w1-a", "w1", 1, "x", "", [("h5-5", 1)]) == ["h5-5"]
    assert "default d5-5" in bench.state
    assert bench.run.settle("w1-a", "w1", 1, "x", "", [("d5-5", 1)]) == []


def test_the_count_rises_with_each_hand_out_and_never_falls(bench: Bench) -> None:
    """Retry, hand-back, snooze, unknown and crash: each hand-out after it has the next count; what is forgiven is kept apart."""
    task = bench.held()
    seen = [(task.count, task.forgiven)]
    kinds: tuple[ParkKind, ...] = ("retry", "release", "snooze", "unknown")
    for kind in kinds:
        assert bench.park("w1-a", task, kind) == []
        [task] = bench.take()
        seen.append((task.count, task.forgiven))
    bench.run.reap("w1-a", "killed")
    [task] = bench.take()
    seen.append((task.count, task.forgiven))
    bench.run.reap("w1-a", "killed", started=[])
    [task] = bench.take()
    seen.append((task.count, task.forgiven))
    assert seen == [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3), (6, 3), (7, 4)]


def test_a_renewal_keeps_the_count_and_takes_nothing_back(bench: Bench) -> None:
    """Sequence: taken, reaped, taken by another, renewed by the first: it holds nothing and changes nothing."""
    task = bench.held()
    [held] = bench.run.renew("w1-a")
    assert (held.address, held.count) == (task.address, 1)
    bench.run.reap("w1-a", "killed")
    bench.take("w2-b")
    with bench.changing() as changed:
        assert bench.run.renew("w1-a") == []
    assert changed == {}
