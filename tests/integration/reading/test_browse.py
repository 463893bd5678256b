"""One task in each of its states, on a real server."""

from __future__ import annotations

import json

import pytest

from streamq import browse
from streamq.browse import Record
from tests.conftest import wait_until
from tests.seeds import Seed


def find(seed: Seed, task_id: str) -> Record:
    """What is known of one task."""
    [record] = browse.find(seed.run, [task_id], max_deliveries=5)
    return record


def added(seed: Seed, fields: dict[bytes, bytes]) -> str:
    """Add an entry as a stranger would; returns its id as a task."""
    return f"d{seed.link.call('XADD', seed.keys['default'], '*', *[text for pair in fields.items() for text in pair]).decode()}"


def test_a_task_that_waits(seed: Seed) -> None:
    """A waiting task has its arguments, its own limits, and no deliveries."""
    [task_id] = seed.send(1, "h", task="resize", args='{"width": 3}', max="7", timeout="1500", key="k")
    record = find(seed, task_id)
    assert (record.state, record.task, record.args, record.priority) == ("waiting", "resize", {"width": 3}, "high")
    assert (record.deliveries, record.max_deliveries, record.timeout_ms, record.unique) == (0, 7, 1500, "k")
    assert record.sent_ms == int(task_id[1:].partition("-")[0])


def test_a_task_that_is_scheduled(seed: Seed) -> None:
    """A scheduled task has the priority and the due time that it was sent with."""
    [task_id] = seed.send(1, "l;+60000;;")
    record = find(seed, task_id)
    assert (task_id[0], record.state, record.priority, record.max_deliveries) == ("s", "scheduled", "low", 5)
    assert record.due_ms is not None
    assert abs(record.due_ms - (record.sent_ms or 0) - 60_000) <= 1


def test_a_scheduled_task_that_is_due_and_failed_once_is_retrying(seed: Seed) -> None:
    """Once delivered, a task of `later` waits for its retry, and is scheduled no more."""
    [task_id] = seed.send(1, "d;+1;;")
    due = find(seed, task_id).due_ms or 0
    wait_until(lambda: seed.now() > due, "the task is due")
    [task] = seed.take("w1-a", 1)
    seed.park("w1-a", task, delay_ms=60_000)
    record = find(seed, task_id)
    assert (record.state, record.deliveries, record.error) == ("retrying", 1, "OSError: full")
    assert [attempt["error"] for attempt in record.attempts] == ["OSError: full"]


def test_a_task_that_runs(seed: Seed) -> None:
    """A running task names its worker, and when it started as soon as a heartbeat has told."""
    [task_id] = seed.send()
    [task] = seed.take("worker1-abc", 1)
    record = find(seed, task_id)
    assert (record.state, record.worker, record.deliveries, record.started_ms) == ("running", "worker1", 1, None)
    seed.worker("worker1-abc", runs=[(task.address, 1234)])
    assert find(seed, task_id).started_ms == 1234


def test_a_hand_back_counts_no_delivery(seed: Seed) -> None:
    """What was handed back before it began waits, with nothing counted."""
    [task_id] = seed.send()
    [task] = seed.take("w1-a", 1)
    seed.park("w1-a", task, "release")
    record = find(seed, task_id)
    assert (record.state, record.deliveries, record.attempts, record.due_ms) == ("waiting", 0, [], None)


@pytest.mark.parametrize(("reason", "state"), [("error", "dead"), ("expired", "expired")])
def test_a_dead_letter(seed: Seed, reason: browse.State, state: str) -> None:
    """A dead letter has its reason, error, traceback and every attempt; an expired one has a state of its own."""
    [task_id] = seed.dead(1, reason, "ValueError: no image", max="3")  # type: ignore[arg-type]
    record = find(seed, task_id)
    assert (record.state, record.reason, record.error, record.worker) == (state, reason, "ValueError: no image", "w1")
    assert (record.deliveries, record.max_deliveries, record.args) == (1, 3, {"source": "a.jpg"})
    assert record.traceback is not None
    assert record.traceback.startswith("Traceback")
    assert [attempt["delivery"] for attempt in record.attempts] == [1]
    assert record.ended_ms is not None


def test_a_revived_task_keeps_its_id_and_its_attempts(seed: Seed) -> None:
    """Put back, it waits under its first id; what happened before is still told, and its deliveries begin anew."""
    [task_id] = seed.dead()
    state, address = seed.run.revive(task_id)
    record = find(seed, task_id)
    assert (state, record.id, record.state, record.deliveries) == ("ok", task_id, "waiting", 0)
    assert address != task_id
    assert len(record.attempts) == 1


def test_a_finished_task_with_a_result(seed: Seed) -> None:
    """The result is kept beside the history, which knows the task's name."""
    [task_id] = seed.send()
    [task] = seed.take("w1-a", 1)
    kept = {"result": {"output": "x.jpg"}, "attempts": [], "worker": "w1", "started_ms": 5, "ended_ms": 9, "deliveries": 1}
    line = f"{task_id}\tfinished\t5\t4\t1\timage"
    extras: list[str | bytes | int] = [1, task_id, "", json.dumps(kept)]
    assert seed.run.settle("w1-a", "w1", 60_000, line, "", [(task.address, task.count)], extras, [task_id]) == []
    record = find(seed, task_id)
    assert (record.state, record.task, record.result, record.worker) == ("finished", "image", {"output": "x.jpg"}, "w1")
    assert (record.started_ms, record.deliveries) == (5, 1)


def test_ended_tasks_are_known_from_the_history(seed: Seed) -> None:
    """Without a result, and cancelled, a task is still known by its line of history."""
    finished, cancelled = seed.send(2)
    seed.finish("w1-a", seed.take("w1-a", 1))
    assert seed.run.cancel(cancelled, "me") == "cancelled"
    records = browse.find(seed.run, [cancelled, finished, cancelled], max_deliveries=5)
    assert [(record.id, record.state, record.worker) for record in records] == [
        (cancelled, "cancelled", "me"),
        (finished, "finished", "w1"),
        (cancelled, "cancelled", "me"),
    ]


def test_nothing_is_known_of_a_task_that_never_was(seed: Seed) -> None:
    """A well-formed id that nobody gave is `unknown`."""
    assert find(seed, "d1-1") == Record(id="d1-1")


def test_an_entry_that_is_no_task_is_shown_whole(seed: Seed) -> None:
    """Garbage of other programs: its fields stand in the arguments, what is wrong with it is its error."""
    entry = added(seed, {b"\xff": b"\x1b[31m", b"task": b"x"})
    record = find(seed, entry)
    assert (record.state, record.task, record.args) == ("waiting", "x", {"\\xff": "\x1b[31m", "task": "x"})
    assert record.error == "the entry has no field 'args'"


def test_a_stranger_cannot_give_an_entry_another_id(seed: Seed) -> None:
    """A field `id` that no revival wrote names nothing."""
    [first] = seed.send()
    entry = added(seed, {b"task": b"image", b"args": b"{}", b"id": first.encode()})
    assert find(seed, entry).id == entry
    assert find(seed, first).args == {"source": "a.jpg"}


def test_the_limit_is_that_of_the_handler_where_workers_know_it(seed: Seed) -> None:
    """What a worker's card says of a task's limit goes before the configuration's."""
    [task_id] = seed.send()
    seed.worker("w1-a", limits={"image": 2})
    assert find(seed, task_id).max_deliveries == 2
