"""What was handed back before it began is told to wait, by everything that tells: nobody may think that it has failed."""

from __future__ import annotations

import pytest

from streamq import browse, listing, pending, stats
from streamq.browse import State
from streamq.pending import Wanted
from streamq.stats import Waiting
from tests.conftest import wait_until
from tests.seeds import LEASE_MS, Seed

VIEW = Wanted(max_deliveries=5, lease_ms=LEASE_MS, unknown_ms=86_400_000)


def state_of(seed: Seed, task_id: str) -> State:
    """The state of the only task, as `task show`, `tasks`, `pending` and `stats` tell it; they agree."""
    [record] = browse.find(seed.run, [task_id], max_deliveries=5)
    states: list[State] = [state for state in listing.STATES if list(listing.Tasks(seed.run, listing.Wanted((state,))))]
    assert states == [record.state]
    figures = stats.counts(seed.run)
    counted = {"waiting": figures.waiting.total, "retrying": figures.retrying, "scheduled": figures.scheduled}
    assert counted == dict.fromkeys(counted, 0) | {record.state: 1}
    view = pending.read(seed.run, VIEW)
    assert view.retrying == len(view.tasks) == (record.state == "retrying")
    return record.state


def pass_a_moment(seed: Seed) -> None:
    """Until the server's clock has moved on: what is due now is due."""
    end = seed.now() + 2
    wait_until(lambda: seed.now() > end, "a moment has passed")


@pytest.mark.parametrize("head", ["h", "d", "l", "d;+1;;"])
def test_what_was_handed_back_waits(seed: Seed, head: str) -> None:
    """Of any priority, and one that had been scheduled."""
    [task_id] = seed.send(1, head)
    pass_a_moment(seed)
    [task] = seed.take("w1-a")
    seed.park("w1-a", task, "release")
    assert state_of(seed, task_id) == "waiting"
    priority = {"h": "high", "d": "default", "l": "low"}[head[0]]
    assert stats.counts(seed.run).waiting == Waiting(**({"high": 0, "default": 0, "low": 0} | {priority: 1}))


def test_what_was_recovered_before_it_began_waits(seed: Seed) -> None:
    """Its worker died while it lay in the buffer."""
    task = seed.held("w1-a")
    seed.run.reap("w1-a", "killed", started=[])
    assert state_of(seed, task.address) == "waiting"


def test_what_has_failed_is_retrying_also_when_it_is_due(seed: Seed) -> None:
    """And when it has been handed back since."""
    task = seed.held("w1-a")
    seed.park("w1-a", task)
    assert state_of(seed, task.address) == "retrying"
    [again] = seed.take("w1-a")
    seed.park("w1-a", again, "release")
    assert state_of(seed, task.address) == "retrying"


def test_what_no_worker_knows_is_retrying(seed: Seed) -> None:
    """So that `pending` says what it waits for."""
    task = seed.held("w1-a")
    seed.park("w1-a", task, "unknown")
    pass_a_moment(seed)
    assert state_of(seed, task.address) == "retrying"


def test_what_asked_for_a_pause_is_retrying_until_that_is_over(seed: Seed) -> None:
    """Then it waits: it has not failed."""
    task = seed.held("w1-a")
    seed.park("w1-a", task, "snooze", delay_ms=60_000)
    assert state_of(seed, task.address) == "retrying"
    seed.run.hasten(task.address)
    assert state_of(seed, task.address) == "waiting"


def test_those_that_retry_are_seen_behind_many_that_were_handed_back(seed: Seed) -> None:
    """However few are asked for."""
    seed.send(30)
    *back, failed = seed.take("w1-a")
    for task in back:
        seed.park("w1-a", task, "release")
    seed.park("w1-a", failed, delay_ms=60_000)
    view = pending.read(seed.run, VIEW._replace(limit=2))
    assert ([task.id for task in view.tasks], view.retrying) == ([failed.address], 1)
    waiting = listing.Tasks(seed.run, listing.Wanted(("waiting",)))
    assert {task.id for task in waiting} == {task.address for task in back}


def test_a_task_keeps_its_own_limit_when_its_workers_have_gone(seed: Seed) -> None:
    """They left word of it; a release without that limit takes the word back, and living workers know better."""
    task = seed.held("w1-a")
    seed.park("w1-a", task, "release")

    def limit() -> int | None:
        [record] = browse.find(seed.run, [task.address], max_deliveries=5)
        return record.max_deliveries

    seed.worker("w1-a", limits={"image": 1})
    assert limit() == 1
    seed.run.reap("w1-a", "gone")
    assert limit() == 1
    seed.worker("w2-a", limits={"image": 3})
    assert limit() == 3
    seed.worker("w3-a")
    seed.run.reap("w2-a", "gone")
    assert limit() == 5
    seed.run.reap("w3-a", "gone")
    assert limit() == 5


def test_pending_tells_the_limit_that_workers_have_left(seed: Seed) -> None:
    """As `task show` does."""
    seed.worker("w1-a", limits={"image": 2})
    task = seed.held("w1-a")
    seed.park("w1-a", task, delay_ms=60_000)
    seed.run.reap("w1-a", "gone")
    [shown] = pending.read(seed.run, VIEW).tasks
    assert (shown.deliveries, shown.max_deliveries) == (1, 2)


def test_a_card_that_is_none_harms_nobody(seed: Seed) -> None:
    """Whoever has beaten with it leaves as others do."""
    for card in (b"", b"[]", b"{", b'{"tasks": 7}', b'{"tasks": ["image"], "limits": [1]}'):
        seed.run.beat(LEASE_MS, "run", 60_000, [("w1-a", card, "")])
        assert not seed.run.reap("w1-a", "gone").left
        assert not seed.run.fleet()
