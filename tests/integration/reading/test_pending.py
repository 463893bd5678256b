"""What hangs is found, whoever holds it and however much else is pending."""

from __future__ import annotations

import pytest

from streamq import held, pending
from streamq.pending import Pending, View, Wanted
from streamq.replies import Handed
from tests.seeds import LEASE_MS, Life, Seed

WANTED = Wanted(max_deliveries=5, lease_ms=LEASE_MS, unknown_ms=86_400_000)


def view(seed: Seed, **wanted: object) -> View:
    """What is pending now."""
    return pending.read(seed.run, WANTED._replace(**wanted))  # type: ignore[arg-type]


def the_one(seed: Seed, **wanted: object) -> Pending:
    """The only task that is pending."""
    [task] = view(seed, **wanted).tasks
    return task


def ids(found: View | list[Handed]) -> list[str]:
    """The ids of tasks, in order."""
    return [task.address for task in (found.tasks if isinstance(found, View) else found)]


def test_nothing_is_pending(seed: Seed) -> None:
    """Also where no stream was ever made."""
    seed.client.delete(*[seed.keys[name] for name in ("high", "default", "low", "later")])
    found = view(seed)
    assert found == View([], found.now_ms, pending=0, retrying=0, stuck=0, looked=0, alive=0, paused=False)


def test_a_running_task(seed: Seed) -> None:
    """All that is known of it, from the pending list, its entry and the heartbeat of its worker."""
    task = seed.held("w1-a", max="3")
    started = seed.now() - 4_000
    seed.worker("w1-a", runs=[(task.address, started)])
    found = the_one(seed)
    assert (found.id, found.task, found.args) == (task.address, "image", {"source": "a.jpg"})
    assert (found.worker, found.consumer, found.alive, found.worker_state) == ("w1", "w1-a", True, "alive")
    assert found.started_ms == started
    assert found.running_ms is not None
    assert 4_000 <= found.running_ms < 10_000
    assert found.idle_ms is not None
    assert found.idle_ms + (found.lease_left_ms or 0) == LEASE_MS
    assert (found.deliveries, found.max_deliveries, found.state, found.due_ms) == (1, 3, "running", None)
    assert found.next.startswith("lease renewed in")


def test_the_limit_is_the_tasks_own_then_the_workers_then_the_configurations(seed: Seed) -> None:
    """As at the hand-out."""
    seed.held("w1-a", max="3")
    seed.held("w1-a")
    seed.held("w1-a", task="video")
    seed.worker("w1-a", limits={"image": 7})
    assert sorted(task.max_deliveries for task in view(seed).tasks) == [3, 5, 7]


@pytest.mark.parametrize("life", ["dead", "lost"])
def test_what_a_lost_worker_holds_is_stuck(seed: Seed, life: Life) -> None:
    """However fresh its lease is."""
    seed.held("w1-a")
    seed.worker("w1-a", life)
    seed.worker("w2-b")
    seed.rested()
    found = the_one(seed, stuck=True)
    assert (found.state, found.alive, found.worker_state) == ("stuck", False, life)
    assert found.next.endswith("handed on within a second (delivery 2 of 5)")


def test_a_task_whose_lease_ran_out_is_stuck(seed: Seed) -> None:
    """Although its worker beats."""
    task = seed.held("w1-a")
    seed.worker("w1-a")
    seed.rested()
    seed.idle("w1-a", [task], LEASE_MS + 5_000)
    found = the_one(seed, stuck=True)
    assert (found.state, found.alive, found.lease_left_ms) == ("stuck", True, 0)
    assert found.next == "its lease ran out 5s ago: handed on within a second (delivery 2 of 5)"


def test_recovery_by_time_rests_when_the_fleet_has_just_come_back(seed: Seed) -> None:
    """For one lease, as the first heartbeat after a gap has it."""
    task = seed.held("w1-a")
    seed.worker("w1-a")
    seed.idle("w1-a", [task], LEASE_MS + 5_000)
    assert the_one(seed).next == "its lease ran out 5s ago: handed on in 30s (delivery 2 of 5)"


def test_a_lease_is_as_long_as_the_longest_of_the_fleet(seed: Seed) -> None:
    """A worker with a longer one might hold it."""
    task = seed.held("w1-a")
    seed.worker("w1-a")
    seed.run.beat(LEASE_MS * 4, "run", LEASE_MS, [("w2-b", b"{}", "")])
    seed.idle("w1-a", [task], LEASE_MS * 2)
    assert the_one(seed).state == "running"


def test_a_strangers_task_is_stuck_when_its_lease_has_run_out(seed: Seed) -> None:
    """A consumer that never beat is neither alive nor dead."""
    task = seed.held("somebody")
    found = the_one(seed)
    assert (found.worker, found.alive, found.state) == ("somebody", None, "running")
    seed.idle("somebody", [task], LEASE_MS)
    assert the_one(seed).state == "stuck"


def test_stuck_ones_first_then_the_longest_running_then_retries_by_time(seed: Seed) -> None:
    """The order in which somebody wants to look at them."""
    seed.send(8)
    later, sooner, *tasks = seed.take("w1-a", 8)
    seed.park("w1-a", later, delay_ms=60_000)
    seed.park("w1-a", sooner, "snooze", delay_ms=30_000)
    now = seed.now()
    told = [(tasks[0].address, now - 1_000), (tasks[1].address, now - 9_000), (tasks[2].address, now - 5_000)]
    seed.worker("w1-a", runs=told)
    seed.idle("w1-a", [tasks[3]], LEASE_MS * 2)
    seed.idle("w1-a", [tasks[4]], LEASE_MS * 3)
    expected = [tasks[4], tasks[3], tasks[1], tasks[2], tasks[0], tasks[5], sooner, later]
    found = view(seed)
    assert ids(found) == ids(expected)
    assert (found.stuck, found.pending, found.retrying, found.looked) == (2, 6, 2, 6)
    assert ids(view(seed, limit=3)) == ids(expected[:3])
    assert ids(view(seed, stuck=True)) == ids(expected[:2])
    assert ids(view(seed, idle_ms=LEASE_MS * 3)) == ids(expected[:1])


def test_a_retry_says_when_and_why(seed: Seed) -> None:
    """With the error of its last attempt."""
    seed.park("w1-a", seed.held("w1-a"), delay_ms=40_000)
    found = the_one(seed)
    assert (found.state, found.worker, found.alive, found.deliveries) == ("retrying", None, None, 1)
    assert found.due_ms is not None
    assert 30_000 < found.due_ms - seed.now() <= 40_000
    assert found.error == "OSError: full"
    assert found.next == "retry in 40s (delivery 2 of 5)"


def test_what_was_forgiven_does_not_count(seed: Seed) -> None:
    """A hand-back is no delivery."""
    seed.worker("w1-a")
    seed.park("w1-a", seed.held("w1-a"), "release")
    [task] = seed.take("w1-a")
    assert (task.count, the_one(seed).deliveries, the_one(seed).count) == (2, 1, 2)


def test_suspects_and_scheduled_tasks_that_failed_are_retrying(seed: Seed) -> None:
    """Every zset of tasks that have been handed out before is looked at, and no scheduled one."""
    seed.send(1, "h;+50000;;")
    seed.send(1, "h;+1;;")
    [scheduled] = _due(seed)
    seed.park("w1-a", scheduled, delay_ms=60_000)
    seed.send(1, "l")
    for consumer in ("w2-a", "w2-b"):
        seed.take(consumer)
        seed.crash(consumer)
    suspect, again = view(seed).tasks
    assert (suspect.priority, suspect.crashes) == ("low", 2)
    assert suspect.next == "due, waits: no worker is alive (delivery 3 of 5), alone: 2 workers died with it"
    assert (again.priority, again.id) == ("high", scheduled.address)


def _due(seed: Seed) -> list[Handed]:
    """What was scheduled and has become due."""
    while not (tasks := seed.take("w1-a")):
        pass
    return tasks


def test_a_task_that_nobody_knows_says_how_long_it_waits(seed: Seed) -> None:
    """Forgiven, until a worker comes that knows it."""
    seed.worker("w1-a")
    seed.park("w1-a", seed.held("w1-a", task="video"), "unknown", delay_ms=5_000)
    assert the_one(seed).next == "no live worker knows it: dead letter in 1d unless one comes"
    seed.worker("w2-b", tasks=["video"])
    assert the_one(seed).next == "retry in 5s (delivery 1 of 5)"


def test_a_revived_task_has_its_first_id(seed: Seed) -> None:
    """Its address is another one."""
    [first] = seed.dead()
    seed.run.revive(first)
    [task] = seed.take("w1-a")
    found = the_one(seed)
    assert (found.id, found.address) == (first, task.address)
    assert first != task.address


def test_a_stranger_may_not_choose_an_id(seed: Seed) -> None:
    """A field `id` counts only where the queue itself has moved a task."""
    task = seed.held("w1-a", id="d1-0")
    assert the_one(seed).id == task.address


def test_an_entry_that_is_no_task_is_shown_as_it_is(seed: Seed) -> None:
    """Until its worker buries it."""
    seed.client.xadd(seed.keys["default"], {"task": "image", "args": "[1"})
    seed.take("w1-a")
    found = the_one(seed)
    assert (found.task, found.args) == ("image", {"task": "image", "args": "[1"})
    assert "args" in (found.error or "")


def test_a_name_filters(seed: Seed) -> None:
    """Those that run and those that wait for a retry."""
    seed.send(120)
    seed.send(2, task="video")
    *_, one, other = seed.take("w1-a", 122)
    seed.park("w1-a", other)
    assert ids(view(seed, task="video")) == [one.address, other.address]
    assert ids(view(seed, task="audio")) == []


def test_few_stuck_tasks_are_found_among_very_many(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    """No consumer hides another, and the longest runs are found beyond the rows that are read."""
    monkeypatch.setattr(held, "LOOK_MOST", 60)
    seed.send(300)
    crowd, few = seed.take("w1-a", 295), seed.take("w2-b", 5)
    now = seed.now()
    seed.worker("w1-a", runs=[(task.address, now - 1_000 - i) for i, task in enumerate(crowd)])
    seed.worker("w2-b", "dead")
    found = view(seed, limit=8)
    assert sorted(ids(found)[:5]) == sorted(ids(few))
    assert ids(found)[5:] == [task.address for task in (crowd[-1], crowd[-2], crowd[-3])]
    assert (found.pending, found.stuck, found.looked < 100) == (300, 5, True)


def test_all_that_dead_workers_hold_is_counted(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it was read or not."""
    monkeypatch.setattr(held, "LOOK_MOST", 10)
    seed.send(100)
    seed.take("w1-a", 100)
    seed.worker("w1-a", "dead")
    assert view(seed).stuck == 100


def test_claim_hands_on_what_is_stuck_and_nothing_else(seed: Seed) -> None:
    """It is due now, its crash is counted, and the late worker is fenced off."""
    seed.send(3)
    stuck, lost_meanwhile, fine = seed.take("w1-a")
    seed.worker("w1-a")
    seed.idle("w1-a", [stuck, lost_meanwhile], LEASE_MS)
    found = view(seed)
    seed.finish("w1-a", [lost_meanwhile])
    assert pending.claim(seed.run, found.tasks) == {stuck.address}
    after = view(seed)
    assert [(task.id, task.state) for task in after.tasks] == [(fine.address, "running"), (stuck.address, "retrying")]
    assert after.tasks[1].error == "lease lost: handed on by hand"
    assert seed.run.settle("w1-a", "w1", 1, "x", "", [(stuck.address, stuck.count)]) == [stuck.address]


def test_a_budget_is_shared_out() -> None:
    """Who asks for little gets it; the rest is divided."""
    assert held.shares([], 10) == []
    assert held.shares([1, 100, 2], 50) == [1, 47, 2]
    assert held.shares([100, 100, 1], 21) == [10, 10, 1]
    assert held.shares([5] * 4, 2) == [0, 0, 1, 1]
