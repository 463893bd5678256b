"""`add`: accepted up to the room there is, once a number of a producer, once a unique key."""

from __future__ import annotations

import pytest

from streamq.replies import expand_ids
from streamq.server.reply import ReplyError
from tests.lua.bench import Bench
from tests.lua.state import After

PLAIN = ("d", "task", "image", "args", "{}")


def test_a_plain_task_is_an_entry_and_nothing_else(bench: Bench) -> None:
    """One entry with its fields, and the lane's number with the ids it got."""
    now = bench.clock()
    with bench.changing() as changed:
        [address] = bench.send("l")
    lane = changed.pop(f"producers {bench.lane}").split(" ", 2)
    assert lane == ["1", After(now), f"{address}+0"]
    assert changed == {f"low {address}": {"task": "image", "args": "{}"}}


def test_a_delayed_task_stands_in_later(bench: Bench) -> None:
    """Its priority and due time stand before its own fields, and it is parked."""
    now = bench.clock()
    with bench.changing() as changed:
        [relative] = bench.send("h;+60000;+90000;")
        [absolute] = bench.send(f"l;@{now + 50_000};@{now + 60_000};")
    for address, priority, due, expires in ((relative, "h", 60_000, 90_000), (absolute, "l", 50_000, 60_000)):
        entry = changed.pop(f"later {address}")
        assert list(entry) == ["priority", "due", "task", "args", "expires"]
        assert entry == {
            "priority": priority,
            "due": After(now + due),
            "task": "image",
            "args": "{}",
            "expires": After(now + expires),
        }
        name = {"h": "high", "l": "low"}[priority]
        assert changed.pop(f"scheduled:{name} {address}") == After(now + due)
    assert changed.keys() == {f"producers {bench.lane}"}


@pytest.mark.parametrize("head", ["d;@1;;", "d;+0;;", "d;+-5;;"])
def test_a_time_that_is_past_is_no_delay(bench: Bench, head: str) -> None:
    """Such a task is an ordinary one."""
    [address] = bench.send(head)
    assert address[0] == "d"
    assert bench.state[f"default {address}"] == {"task": "image", "args": "{}"}


def test_a_repeated_number_gives_the_same_ids(bench: Bench) -> None:
    """The reply was lost, the producer sends again: nothing is added."""
    tasks = [PLAIN, PLAIN]
    first = bench.add("lane", 7, 0, tasks)
    with bench.changing() as changed:
        again = bench.add("lane", 7, 0, tasks)
    assert first[0] is False
    assert again == (True, first[1])
    assert changed == {}


def test_ids_come_in_the_order_sent(bench: Bench) -> None:
    """Ranges of ids are expanded to one id a task, whatever the mixture of streams."""
    heads = ["d", "d", "h", "d", "l;+1000;;", "l;+1000;;", "h", "h", "d"]
    addresses = bench.send(*heads)
    assert [address[0] for address in addresses] == ["d", "d", "h", "d", "s", "s", "h", "h", "d"]
    state = bench.state
    names = {"d": "default", "h": "high", "s": "later"}
    assert all(f"{names[address[0]]} {address}" in state for address in addresses)
    assert len(set(addresses)) == len(heads)


def test_a_stale_number_is_an_error_and_never_ids(bench: Bench) -> None:
    """A number below the last one: the ids it got are no longer known."""
    bench.add("lane", 5, 0, [PLAIN])
    with bench.changing() as changed, pytest.raises(ReplyError, match="STALE"):
        bench.add("lane", 4, 0, [PLAIN])
    assert changed == {}


def test_an_unknown_lane_may_begin_with_any_number(bench: Bench) -> None:
    """Lanes are forgotten after an hour; whoever comes back is accepted."""
    assert len(bench.add("lane", 4711, 0, [PLAIN])[1]) == 1


def test_the_bound_takes_the_first_tasks_of_a_call(bench: Bench) -> None:
    """The bound is the sum of the four streams; what is beyond it is not accepted."""
    bench.send("h", "d", "l", "d;+1000;;")
    assert len(bench.send("d", "d", "d", bound=6)) == 2
    assert bench.send("d", bound=6) == []
    assert len([name for name in bench.state if name.split()[0] in {"high", "default", "low", "later"}]) == 6


def test_a_number_that_met_a_full_queue_is_used_up(bench: Bench) -> None:
    """Sequence: full, room is made, the same number again: still what it got the first time, nothing."""
    bench.add("lane", 1, 1, [PLAIN])
    assert bench.add("lane", 2, 1, [PLAIN]) == (False, [])
    bench.client.delete(bench.keys["default"])
    assert bench.add("lane", 2, 1, [PLAIN]) == (True, [])
    assert len(bench.add("lane", 3, 1, [PLAIN])[1]) == 1


def test_what_is_held_dead_or_parked_counts_as_it_is(bench: Bench) -> None:
    """Held and parked tasks take room, a dead letter does not."""
    task = bench.held()
    assert bench.send("d", bound=1) == []
    bench.park("w1-a", task, delay_ms=60_000)
    assert bench.send("d", bound=1) == []
    bench.run.hasten(task.address)
    [task] = bench.take()
    bench.bury("w1-a", task)
    assert len(bench.send("d", bound=1)) == 1


def test_fields_are_kept_as_they_are(bench: Bench) -> None:
    """Binary names and values, empty ones, repetitions, sizes: a hand-out brings the same bytes in the same order."""
    strange = [b"\x00\xff\r\n", b"\xfe" * 1000, b"", b"", b"task", "größe".encode(), b"task", b'{"a": "\\ud800"}', b"id", b"x"]
    bench.add("lane", 1, 0, [("d", *strange), ("d;+1;;", *strange)])
    tasks = bench.take_due(many=2)
    tasks.sort(key=lambda task: task.address[0])
    assert tasks[0].fields == strange
    assert tasks[1].fields[:3:2] == [b"priority", b"due"]
    assert tasks[1].fields[4:] == strange


def test_a_task_with_too_many_fields_is_refused_by_itself(bench: Bench) -> None:
    """Beyond what a script can pass on: the tasks before it are accepted and answered, a call that begins with it is an error."""
    fields = list(map(str, range(10_000)))
    huge, delayed = ("d", *fields), ("d;+1000;;", *fields)
    state, ids = bench.add("lane", 1, 0, [PLAIN, huge, PLAIN])
    assert (state, len(ids)) == (False, 1)
    assert bench.add("lane", 1, 0, [PLAIN, huge, PLAIN]) == (True, ids)
    for tasks in ([huge, PLAIN], [delayed]):
        with bench.changing() as changed, pytest.raises(ReplyError, match="fields"):
            bench.add("lane", 2, 0, tasks)
        assert changed == {}


def test_ids_of_any_size_come_back_exactly(bench: Bench) -> None:
    """A stranger's entry with a huge id moves the stream's last id: ids beyond 2^53 are answered digit by digit."""
    bench.client.xadd(bench.keys["default"], {"task": "x"}, id="18446744073709551000-18446744073709550000")
    ids = bench.send("d", "d")
    assert ids == [f"d18446744073709551000-{18446744073709550001 + i}" for i in range(2)]
    assert all(f"default {address}" in bench.state for address in ids)
    assert [task.address for task in bench.take()][1:] == ids


def test_expanding_ranges() -> None:
    """Ranges as `add.lua` writes them, and a holder's id behind `=`."""
    assert expand_ids("d5-0+2 h5-0+0 =d1-0 s6-9+1") == ["d5-0", "d5-1", "d5-2", "h5-0", "=d1-0", "s6-9", "s6-10"]
    assert expand_ids("") == []
