"""`reap`, `claim` and `leave`: what a dead consumer held is parked, due now, counted as far as it had started."""

from __future__ import annotations

import json

import pytest

from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.server.reply import Forbidden
from streamq.transitions import Transitions
from tests.lua.bench import Bench
from tests.lua.state import After

WHY = "worker killed by signal 9"


def test_what_had_started_counts_as_a_crash(bench: Bench) -> None:
    """Of two tasks one had started: it has an attempt and a crash, the other is forgiven; the consumer is gone."""
    bench.run.beat(1000, "run", 60_000, [("w1-a", b"{}", "")])
    bench.send("d", "h")
    innocent, guilty = bench.take()
    now = bench.clock()
    with bench.changing() as changed:
        reaped = bench.run.reap("w1-a", WHY, started=[(guilty.address, 1700)])
    assert reaped == (1, 1, False)
    count, attempt = changed.pop(f"attempts {guilty.address}").split("\n")
    assert count == "1 0 1 0"
    assert json.loads(attempt) == {"delivery": 1, "worker": "w1", "started_ms": 1700, "ended_ms": After(now), "error": WHY}
    assert changed == {
        f"pending {guilty.address}": None,
        f"pending {innocent.address}": None,
        f"retry:default {guilty.address}": After(now),
        f"retry:high {innocent.address}": After(now),
        f"attempts {innocent.address}": "1 1 0 0",
        "stats failed": 1,
        "stats reaped": 2,
        "minutes failed": 1,
        "workers w1-a": None,
        "fleet w1-a": None,
        "running w1-a": None,
    }


def test_where_nobody_knows_all_had_started(bench: Bench) -> None:
    """With the times of the last heartbeat, where it told any."""
    bench.send("d", "d")
    first, second = bench.take()
    bench.run.beat(1000, "run", 60_000, [("w1-a", b"{}", f"\n{first.address} 1234\nx{second.address} 99")])
    assert bench.run.reap("w1-a", WHY) == (2, 0, False)
    state = bench.state
    assert json.loads(state[f"attempts {first.address}"].split("\n")[1])["started_ms"] == 1234
    assert json.loads(state[f"attempts {second.address}"].split("\n")[1])["started_ms"] is None


def test_another_consumers_tasks_are_left_alone(bench: Bench) -> None:
    """Only the consumer named."""
    task = bench.held("w2-b")
    with bench.changing() as changed:
        assert bench.run.reap("w1-a", WHY) == (0, 0, False)
    assert changed == {}
    assert bench.settle("w2-b", task) == []


def test_a_batch_at_a_time(bench: Bench) -> None:
    """More than a batch: says that there is more, and the consumer stays until all is recovered."""
    bench.send(*["h", "d", "l"] * 5)
    bench.take(want=15)
    lefts = []
    while True:
        crashed, _, left = bench.run.reap("w1-a", WHY, batch=4)
        lefts.append((crashed, left))
        if not left:
            break
    assert lefts == [(4, True), (4, True), (4, True), (3, False)]
    assert len(bench.take("w2-b", want=15)) == 15


def test_a_scheduled_task_is_parked_among_its_own(bench: Bench) -> None:
    """Of `later`: in `again` of its priority, not in `retry`."""
    bench.send("l;+1;;")
    tasks = bench.take_due()
    bench.run.reap("w1-a", WHY)
    assert f"again:low {tasks[0].address}" in bench.state


def test_two_crashes_make_a_suspect_and_failures_do_not(bench: Bench) -> None:
    """Sequence: five failures, one crash, five hand-backs: ordinary; one crash more: only quarantine hands it out."""
    task = bench.held()
    for _ in range(5):
        bench.park("w1-a", task)
        [task] = bench.take()
    bench.run.reap("w1-a", WHY)
    [task] = bench.take()
    for _ in range(5):
        bench.park("w1-a", task, "release")
        [task] = bench.take()
    bench.run.reap("w1-a", WHY, started=[])
    [task] = bench.take()
    assert task.crashes == 1
    bench.run.reap("w1-a", WHY)
    assert bench.take() == []
    suspect, due, next_due = bench.run.quarantine("q-a")
    assert suspect is not None
    assert (suspect.address, suspect.crashes, due, next_due) == (task.address, 2, 0, 0)
    assert suspect.count == task.count + 1
    bench.park("q-a", suspect, delay_ms=60_000)
    assert bench.take() == []
    assert bench.run.quarantine("q-a")[:2] == (None, 0)


@pytest.mark.parametrize(
    "name", ['w"1-a', "w\\1-a", "w\n1-a", "w\0\x7f1-a", "größe-a", "\ud800-a", "-", "noname", "~reap", "a-b-c-d"]
)
def test_attempts_stay_valid_json_whatever_a_consumer_is_called(bench: Bench, name: str) -> None:
    """Any client may join the group under any name, binary ones too; so may the reason be anything."""
    consumer = name.encode(errors="surrogatepass")
    bench.send("d")
    bench.link.call("XREADGROUP", "GROUP", "workers", consumer, "STREAMS", bench.keys["default"], ">")
    bench.run.run("reap", consumer, b'why "\\\n\xff', 10, 0)
    [task] = bench.take()
    attempt = json.loads(task.attempts.decode())
    assert attempt["delivery"] == 1
    assert all(" " <= letter <= "~" for letter in attempt["worker"] + attempt["error"])


def test_a_deleted_entry_vanishes(bench: Bench) -> None:
    """XDEL behind our back while its holder dies: nothing of it is left."""
    for head in ("d", "d;+1;;"):
        bench.send(head)
        tasks = bench.take_due()
        [task] = tasks
        bench.park("w1-a", task)
        [task] = bench.take()
        bench.client.xdel(bench.keys.stream(task.address[0]), task.address[1:])
        assert bench.run.reap("w1-a", WHY) == (0, 0, False)
        assert not [name for name in bench.state if task.address in name]


def test_claim_hands_on_only_what_still_stands_so(bench: Bench) -> None:
    """A stuck run that was seen with another count or consumer, or is gone, is left alone."""
    task = bench.held()
    runs = [(task.address, "w1-a", 2), (task.address, "w2-b", 1), ("d1-1", "w1-a", 1)]
    with bench.changing() as changed:
        assert bench.run.claim("claimed by ana", runs) == []
    assert changed == {}
    assert bench.run.claim("claimed by ana", [(task.address, "w1-a", 1)]) == [task.address]
    [again] = bench.take("w2-b")
    assert json.loads(again.attempts)["error"] == "claimed by ana"
    assert bench.state["stats failed"] == 1


def test_to_reap_nothing_throws_no_pending_entries_away(bench: Bench) -> None:
    """XGROUP DELCONSUMER would: a consumer that holds anything, in any stream, stays."""
    bench.run.beat(1000, "run", 60_000, [("w1-a", b"{}", "")])
    for head in ("h", "d", "l", "d;+1;;"):
        bench.send(head)
        tasks = bench.take_due()
        with bench.changing() as changed:
            assert bench.run.reap("w1-a", WHY, batch=0) == (0, 0, True)
        assert changed == {}
        bench.settle("w1-a", *tasks)
    with bench.changing() as changed:
        assert bench.run.reap("w1-a", WHY, batch=0) == (0, 0, False)
    assert changed == {"workers w1-a": None, "fleet w1-a": None, "running w1-a": None}
    assert bench.client.xinfo_consumers(bench.keys["default"], "workers") == []


def test_a_consumer_that_comes_back_after_it_was_reaped_works_on(bench: Bench) -> None:
    """Sequence: stopped, reaped and taken off the group, continues: late settle refused, next take and settle pass."""
    late = bench.held()
    bench.run.reap("w1-a", WHY)
    assert bench.settle("w1-a", late) == [late.address]
    [task] = bench.take("w1-a")
    assert bench.settle("w1-a", task) == []


def test_a_right_that_is_missing_is_not_taken_for_an_empty_pending_list(bench: Bench) -> None:
    """Who may not read pending lists would throw away what stands in them: he is refused, and nothing changes."""
    task = bench.held()
    bench.link.call("ACL", "SETUSER", "blind", "on", "nopass", "~*", "+@all", "-xpending")
    link = Link(Endpoint(bench.server.url.replace("unix://", "unix://blind:x@")))
    blind = Transitions(link, bench.keys)
    before = bench.state
    try:
        for call in (
            lambda: blind.reap("w1-a", WHY),
            lambda: blind.renew("w1-a"),
            lambda: blind.sweep(1000, 0),
        ):
            with pytest.raises(Forbidden):
                call()
    finally:
        link.close()
        bench.link.call("ACL", "DELUSER", "blind")
    assert bench.state.keys() - before.keys() <= {"control sweep", "control cursor:lanes"}
    assert bench.run.renew("w1-a")[0].address == task.address
