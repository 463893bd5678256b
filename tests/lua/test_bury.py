"""`bury`: the task stands whole in the dead letters before its entry goes."""

from __future__ import annotations

import json

import pytest

from streamq.server.reply import ReplyError
from tests.lua.bench import Bench
from tests.lua.state import entries, pairs


def test_a_dead_letter_has_all(bench: Bench) -> None:
    """The task's own fields behind eight of ours; key freed, record gone, figures raised."""
    [address] = bench.send("d;;;u", key="k")
    bench.park("w1-a", bench.take()[0], attempt=b'{"delivery":1}')
    [task] = bench.take()
    with bench.changing() as changed:
        assert bench.bury("w1-a", task, attempt=b'{"delivery":2}')
    letter = changed.pop(f"dead {address}")
    assert letter == {
        "id": address,
        "reason": "error",
        "error": "ValueError: no",
        "traceback": "Traceback",
        "deliveries": "2",
        "attempts": '{"delivery":1}\n{"delivery":2}',
        "priority": "d",
        "worker": "w1",
        "fields": {"task": "image", "args": "{}", "key": "k"},
    }
    assert changed.pop(f"dead:ids {address}") == bench.client.xinfo_stream(bench.keys["dead"])["last-generated-id"].decode()
    assert changed == {
        f"default {address}": None,
        f"pending {address}": None,
        f"attempts {address}": None,
        "unique k": None,
        "stats failed": 2,
        "stats dead": 1,
        "stats endings": 1,
        "minutes failed": 2,
        "minutes dead": 1,
        "ended": [f"{address}\tdead\t0\t0\t2\timage"],
    }


def test_a_hand_out_that_only_buries_is_not_counted(bench: Bench) -> None:
    """`deliveries` is the number of starts that count against the limit."""
    bench.park("w1-a", bench.held())
    bench.park("w1-a", bench.take()[0], "release")
    [task] = bench.take()
    assert (task.count, task.forgiven) == (3, 1)
    with bench.changing() as changed:
        assert bench.bury("w1-a", task, reason="deliveries", failed=False, not_started=True)
    assert changed[f"dead {task.address}"]["deliveries"] == "1"
    assert "stats failed" not in changed


def test_an_expired_task_counts_as_expired_only(bench: Bench) -> None:
    """It lies in the dead letters, and its ending says expired."""
    task = bench.held()
    with bench.changing() as changed:
        assert bench.bury("w1-a", task, reason="expired", failed=False, not_started=True)
    assert changed[f"dead {task.address}"]["reason"] == "expired"
    assert changed["stats expired"] == 1
    assert not {"stats dead", "stats failed", "minutes dead"} & changed.keys()
    assert changed["ended"] == [f"{task.address}\texpired\t0\t0\t0\timage"]


def test_a_scheduled_task_keeps_its_priority(bench: Bench) -> None:
    """Of `later`: the letter of its priority, not of its stream."""
    bench.send("l;+1;;")
    tasks = bench.take_due()
    bench.bury("w1-a", tasks[0])
    assert bench.state[f"dead {tasks[0].address}"]["priority"] == "l"


@pytest.mark.parametrize("key", ["dead", "dead:ids"])
def test_a_key_of_the_wrong_type_loses_nothing(bench: Bench, key: str) -> None:
    """Sequence: somebody SETs the dead letters' key, bury fails: the task is still held and can be parked."""
    task = bench.held()
    bench.client.set(bench.keys[key], "not a stream")
    for _ in range(2):
        with pytest.raises(ReplyError, match="WRONGTYPE"):
            bench.bury("w1-a", task)
    bench.client.delete(bench.keys[key])
    assert bench.state[f"pending {task.address}"] == "w1-a 1"
    assert f"default {task.address}" in bench.state
    assert bench.bury("w1-a", task)
    assert f"default {task.address}" not in bench.state


def test_an_entry_with_thousands_of_fields_is_kept_whole(bench: Bench) -> None:
    """More than a script can pass on: its fields stand as one JSON array, and nothing of them is missing."""
    fields = {f"f{i}": f"v{i}" for i in range(5000)}
    bench.client.xadd(bench.keys["default"], fields)  # type: ignore[arg-type]
    [task] = bench.take()
    assert len(task.fields) == 10_000
    assert bench.bury("w1-a", task, reason="invalid")
    [(_, flat)] = entries(bench.link, bench.keys["dead"])
    kept = json.loads(pairs(flat[16:])["entry"])
    assert dict(zip(kept[::2], kept[1::2], strict=True)) == fields
    assert not [name for name in bench.state if name.startswith(("default", "pending"))]


@pytest.mark.parametrize("many", [499, 500, 501])
def test_fields_around_the_limit(bench: Bench, many: int) -> None:
    """Up to five hundred fields stand as they are, and are revived as they were."""
    flat: list[bytes] = [value for i in range(many) for value in (b"%d\xff" % i, b"\x00")]
    bench.link.call("XADD", bench.keys["default"], "*", *flat)
    [task] = bench.take()
    assert bench.bury("w1-a", task, reason="invalid")
    assert bench.run.revive(task.address)[0] == "ok"
    [again] = bench.take()
    if many <= 500:
        assert again.fields == [b"id", task.address.encode(), *flat]
    else:
        assert again.fields[:3] == [b"id", task.address.encode(), b"entry"]


def test_strange_bytes_stand_as_they_are(bench: Bench) -> None:
    """Binary fields, an error with newlines, a task's name with tabs: the letter keeps them, the history stays one line."""
    flat = [b"task", b"a\tb\nc", b"args", b"\xff\x00", b"\xfe", b"", b"task", b"twice"]
    bench.link.call("XADD", bench.keys["default"], "*", *flat)
    [task] = bench.take()
    assert bench.bury("w1-a", task, error="x\n\0é", traceback="\x1b[0m", task="a\tb\nc")
    [(_, letter)] = entries(bench.link, bench.keys["dead"])
    assert letter[16:] == flat
    assert letter[5] == "x\n\0é".encode()
    assert bench.state["ended"] == [f"{task.address}\tdead\t0\t0\t1\ta_b_c"]


def test_a_field_id_that_no_moved_task_has_is_a_field_like_any_other(bench: Bench) -> None:
    """Sequence: two strangers' entries with the same `id`, both buried: two letters, each found by its own address."""
    for _ in range(2):
        bench.client.xadd(bench.keys["default"], {"task": "x", "args": "{}", "id": "42"})
    tasks = bench.take()
    for task in tasks:
        assert bench.bury("w1-a", task)
    state = bench.state
    assert all(state[f"dead {task.address}"]["fields"]["id"] == "42" for task in tasks)
    assert "dead:ids 42" not in state
    assert all(bench.run.revive(task.address)[0] == "ok" for task in tasks)


def test_an_entry_deleted_behind_our_back_vanishes(bench: Bench) -> None:
    """Nothing is left to be buried: no letter, no figures."""
    task = bench.held()
    bench.client.xdel(bench.keys["default"], task.address[1:])
    with bench.changing() as changed:
        assert bench.bury("w1-a", task)
    assert changed == {f"pending {task.address}": None}
