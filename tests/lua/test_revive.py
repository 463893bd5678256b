"""`revive`: a dead letter goes back as a new entry under its first id, all forgiven, its attempts kept."""

from __future__ import annotations

import pytest

from tests.lua.bench import Bench


@pytest.mark.parametrize(("head", "name"), [("h", "high"), ("l;+1;;", "low")])
def test_a_revived_task(bench: Bench, head: str, name: str) -> None:
    """A new entry of its priority with its id and fields; attempts and place kept; the letter goes."""
    task = bench.held(head=head)
    bench.park("w1-a", task, attempt=b'{"delivery":1}')
    [task] = bench.take()
    bench.bury("w1-a", task, attempt=b'{"delivery":2}')
    with bench.changing() as changed:
        state, address = bench.run.revive(task.address)
    assert state == "ok"
    assert changed == {
        f"{name} {address}": {"id": task.address, "task": "image", "args": "{}"},
        f"moved {task.address}": address,
        f"attempts {address}": '0 0 0 0\n{"delivery":1}\n{"delivery":2}',
        f"dead {task.address}": None,
        f"dead:ids {task.address}": None,
        "stats revived": 1,
    }
    [again] = bench.take()
    assert (again.address, again.deliveries, again.crashes) == (address, 1, 0)


def test_it_lives_and_dies_again_under_its_id(bench: Bench) -> None:
    """Three times: always one letter, one place, attempts of all its lives."""
    task = bench.held()
    task_id = task.address
    for life in range(3):
        bench.bury("w1-a", task, attempt=b"%d" % life)
        letter = bench.state[f"dead {task_id}"]
        assert letter["attempts"] == "\n".join(str(i) for i in range(life + 1))
        assert letter["deliveries"] == "1"
        assert bench.run.revive(task_id)[0] == "ok"
        [task] = bench.take()
    state = bench.state
    assert [name for name in state if name.startswith("moved")] == [f"moved {task_id}"]
    assert state[f"moved {task_id}"] == task.address
    assert bench.run.revive(task_id) == ("unknown", "")
    assert bench.run.cancel(task_id, "ana") == "running"
    assert not [name for name in bench.state if name.startswith(("moved", "dead", "attempts", "default"))]


def test_reserved_fields_and_a_past_expiry_are_dropped(bench: Bench) -> None:
    """`id`, `due`, `priority` of an earlier life; `expires` where it is over; all others stay, in order, binary ones too."""
    now = bench.clock()
    flat: list[str | bytes | int] = [
        "task",
        "x",
        "due",
        "5",
        "k\xff",
        b"\xff\x00",
        "priority",
        "h",
        "expires",
        5,
        "args",
        "{}",
        "id",
        "y",
    ]
    bench.link.call("XADD", bench.keys["default"], "*", *flat)
    bench.link.call("XADD", bench.keys["default"], "*", "task", "y", "expires", now + 60_000, "expires", "soon")
    for task in bench.take():
        bench.bury("w1-a", task)
        assert bench.run.revive(task.address)[0] == "ok"
    first, second = bench.take()
    assert first.fields[2:] == [b"task", b"x", "k\xff".encode(), b"\xff\x00", b"args", b"{}"]
    assert second.fields[2:] == [b"task", b"y", b"expires", b"%d" % (now + 60_000)]


def test_the_bound_does_not_stop_it(bench: Bench) -> None:
    """A queue that is full takes its own back."""
    task = bench.held()
    bench.bury("w1-a", task)
    assert len(bench.send("d", bound=1)) == 1
    assert bench.run.revive(task.address)[0] == "ok"


def test_an_expired_task_can_be_revived(bench: Bench) -> None:
    """It counts as revived like any other, so that the figures still add up."""
    task = bench.held(head="d;;+1;")
    bench.pass_time(2)
    bench.bury("w1-a", task, reason="expired", failed=False, not_started=True)
    assert bench.run.revive(task.address)[0] == "ok"
    assert bench.take()[0].fields[2:] == [b"task", b"image", b"args", b"{}"]


def test_a_letter_without_attempts(bench: Bench) -> None:
    """Leaves no record behind."""
    task = bench.held()
    bench.bury("w1-a", task, attempt=b"")
    bench.run.revive(task.address)
    assert not [name for name in bench.state if name.startswith("attempts")]
