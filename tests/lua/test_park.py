"""`park`: retry, hand-back, snooze and unknown tasks wait in a zset with all that is known of them."""

from __future__ import annotations

import json

import pytest

from streamq.transitions import PARK_MOST, Park, ParkKind
from tests.lua.bench import Bench
from tests.lua.state import After


@pytest.mark.parametrize(
    ("kind", "record", "figures"),
    [
        ("retry", "1 0 0 0", {"stats failed": 1, "stats retried": 1, "minutes failed": 1}),
        ("release", "1 1 0 0", {}),
        ("snooze", "1 1 0 0", {}),
    ],
)
@pytest.mark.parametrize("head", ["d", "h;+1;;"])
def test_a_parked_task(bench: Bench, kind: ParkKind, record: str, figures: dict[str, int], head: str) -> None:
    """Off the pending list, in the zset of its stream, its record with the attempt; figures only for a failed attempt."""
    bench.send(head)
    tasks = bench.take_due()
    [task] = tasks
    now = bench.clock()
    with bench.changing() as changed:
        assert bench.park("w1-a", task, kind, delay_ms=60_000, attempt=b'{"error":"x"}') == []
    zset = "retry:default" if head == "d" else "again:high"
    assert changed == figures | {
        f"pending {task.address}": None,
        f"{zset} {task.address}": After(now + 60_000),
        f"attempts {task.address}": record + '\n{"error":"x"}',
    }


@pytest.mark.parametrize("head", ["d", "h;+1;;"])
def test_a_task_that_is_not_to_run_beside_others(bench: Bench, head: str) -> None:
    """Forgiven, and among the suspects for once: only the quarantine hands it out; afterwards it is an ordinary one again."""
    bench.send(head)
    [task] = bench.take_due()
    assert bench.park("w1-a", task, "alone") == []
    stream = "default" if head == "d" else "later"
    assert f"suspects:{stream} {task.address}" in bench.state
    assert bench.take() == []
    suspect, _, _ = bench.run.quarantine("q-a")
    assert suspect is not None
    assert (suspect.address, suspect.count, suspect.forgiven, suspect.crashes) == (task.address, 2, 1, 0)
    bench.park("q-a", suspect, "release")
    assert [again.address for again in bench.take()] == [task.address]


def test_an_unknown_task_remembers_since_when(bench: Bench) -> None:
    """The first worker that does not know it notes the time; others and hand-backs keep it; a run that knew it clears it."""
    now = bench.clock()
    task = bench.held()
    since = []
    kinds: tuple[ParkKind, ...] = ("unknown", "unknown", "release", "snooze", "unknown", "retry")
    for kind in kinds:
        bench.park("w1-a", task, kind)
        [task] = bench.take()
        since.append(task.unknown_ms)
    assert since[0] == After(now)
    assert since[:3] == [since[0]] * 3
    assert since[3] == 0
    assert since[4] >= since[0]
    assert since[5] == 0


def test_many_tasks_in_one_call(bench: Bench) -> None:
    """More than one script call takes: all are parked."""
    bench.send(*["d"] * (PARK_MOST + 50))
    tasks = bench.take(want=1000)
    assert bench.run.park("w1-a", [Park(task.address, task.count, 60_000, "release") for task in tasks]) == []
    assert len([name for name in bench.state if name.startswith("retry:default")]) == PARK_MOST + 50


def test_attempts_are_kept_to_a_size_the_newest_first(bench: Bench) -> None:
    """Each a JSON object on its line; the oldest go when they are more than 16 KiB together, whole."""
    task = bench.held()
    for i in range(40):
        bench.park("w1-a", task, attempt=json.dumps({"delivery": i, "error": "x" * 1000}).encode())
        [task] = bench.take()
    attempts = [json.loads(line) for line in task.attempts.split(b"\n")]
    assert [attempt["delivery"] for attempt in attempts] == list(range(40 - len(attempts), 40))
    assert 14 <= len(attempts) <= 16


def test_an_attempt_that_is_too_long_by_itself_is_kept(bench: Bench) -> None:
    """The newest attempt is never dropped."""
    task = bench.held()
    for size in (10, 100_000):
        bench.park("w1-a", task, attempt=json.dumps("x" * size).encode())
        [task] = bench.take()
    assert json.loads(task.attempts) == "x" * 100_000


def test_an_entry_deleted_behind_our_back_vanishes(bench: Bench) -> None:
    """XDEL while it runs, then park: nothing of it is left once it is due."""
    task = bench.held()
    bench.client.xdel(bench.keys["default"], task.address[1:])
    assert bench.park("w1-a", task) == []
    assert bench.take() == []
    assert not [name for name in bench.state if name.split()[0] in {"retry:default", "attempts", "pending", "default"}]


@pytest.mark.parametrize("priority", [None, "", "urgent", "\0", "low"])
def test_an_entry_of_later_without_a_priority_is_an_ordinary_one(bench: Bench, priority: str | None) -> None:
    """Whatever stands there: parked in one zset, found again, hastened, cancelled."""
    fields = {"task": "x", "args": "{}", "due": "1"} | ({} if priority is None else {"priority": priority})
    entry = bench.client.xadd(bench.keys["later"], fields)  # type: ignore[arg-type]
    assert isinstance(entry, bytes)
    address = "s" + entry.decode()
    name = "low" if priority == "low" else "default"
    bench.client.zadd(bench.keys[f"scheduled:{name}"], {address: 1})
    [task] = bench.take()
    bench.park("w1-a", task, delay_ms=60_000)
    assert f"again:{name} {address}" in bench.state
    assert bench.run.hasten(address) == "ok"
    [task] = bench.take()
    bench.park("w1-a", task, delay_ms=60_000)
    assert bench.run.cancel(address, "ana") == "cancelled"
    assert not [name for name in bench.state if address in name]
