"""`cancel`, `hasten`, `purge`, `pause` and `discard`: what a person orders, whatever state the task is in."""

from __future__ import annotations

import pytest

from streamq.keys import sent_ms
from tests.lua.bench import Bench
from tests.lua.state import After


def gone(bench: Bench, address: str) -> bool:
    """Whether nothing names a task any more, but history and the lane that sent it."""
    return not [name for name in bench.state if address in name]


def test_a_waiting_task_is_cancelled(bench: Bench) -> None:
    """Entry and key go; one ending, counted as cancelled."""
    [address] = bench.send("d;;;u", key="k")
    with bench.changing() as changed:
        assert bench.run.cancel(address, "ana") == "cancelled"
    assert changed == {
        f"default {address}": None,
        "unique k": None,
        "stats cancelled": 1,
        "stats endings": 1,
        "ended": [f"{address}\tcancelled\t0\t0\t0\timage"],
    }


@pytest.mark.parametrize("head", ["h", "l;+1;;"])
def test_a_running_task_is_cancelled_and_its_finish_fenced_off(bench: Bench, head: str) -> None:
    """The run is told by its own settle, which is refused."""
    task = bench.held(head=head)
    assert bench.run.cancel(task.address, "ana") == "running"
    assert gone(bench, task.address)
    assert bench.settle("w1-a", task) == [task.address]
    assert bench.state["ended"] == [f"{task.address}\tcancelled\t0\t0\t1\timage"]


@pytest.mark.parametrize("head", ["d;+60000;;", "d", "h;+1;;"])
def test_a_parked_task_is_cancelled(bench: Bench, head: str) -> None:
    """Scheduled or waiting for its retry, of any stream: no zset keeps it, its record goes."""
    if head == "d;+60000;;":
        [address] = bench.send(head)
    else:
        task = bench.held(head=head)
        address = task.address
        bench.park("w1-a", task, delay_ms=60_000)
    assert bench.run.cancel(address, "ana") == "cancelled"
    assert gone(bench, address)


@pytest.mark.parametrize("head", ["d", "h;+1;;"])
def test_a_suspect_is_cancelled(bench: Bench, head: str) -> None:
    """While it waits for quarantine."""
    task = bench.held(head=head)
    bench.run.reap("w1-a", "killed")
    bench.take()
    bench.run.reap("w1-a", "killed")
    assert [name for name in bench.state if name.startswith("suspects")]
    assert bench.run.cancel(task.address, "ana") == "cancelled"
    assert gone(bench, task.address)


def test_a_revived_task_is_cancelled_by_its_id_and_by_its_address(bench: Bench) -> None:
    """Either way key and place in `moved` go, and the ending names the id."""
    for by_address in (False, True):
        [task_id] = bench.send("d;;;u", key="k")
        bench.bury("w1-a", bench.take()[0])
        _, address = bench.run.revive(task_id)
        assert bench.run.cancel(address if by_address else task_id, "ana") == "cancelled"
        state = bench.state
        assert state["ended"][-1].split("\t")[:2] == [task_id, "cancelled"]
        assert not [name for name in state if name.split()[0] in {"unique", "moved", "attempts", "default"}]


def test_what_has_ended_or_never_was_is_not_cancelled(bench: Bench) -> None:
    """Dead, finished, unknown: said so, nothing changes."""
    dead, finished = bench.held(), bench.held()
    bench.bury("w1-a", dead)
    bench.settle("w1-a", finished)
    with bench.changing() as changed:
        assert bench.run.cancel(dead.address, "ana") == "dead"
        assert bench.run.cancel(finished.address, "ana") == "unknown"
        assert bench.run.cancel("d1-1", "ana") == "unknown"
        assert bench.run.cancel("x1-1", "ana") == "unknown"
        assert bench.run.cancel("", "ana") == "unknown"
        assert bench.run.hasten("x1-1") == "unknown"
    assert changed == {}


@pytest.mark.parametrize(
    "task_id", ["d", "d5", "d-", "dx-1", "d99999999999999999999999-0", "d1-1-1", "d1-1 ", "d-1-1", "d+", "d(1-1"]
)
def test_a_text_that_is_no_id_is_unknown(bench: Bench, task_id: str) -> None:
    """It neither finds another entry nor is an error of the server."""
    bench.client.xadd(bench.keys["default"], {"task": "x"}, id="5-0")
    with bench.changing() as changed:
        assert bench.run.cancel(task_id, "ana") == "unknown"
        assert bench.run.hasten(task_id) == "unknown"
        assert bench.run.locate(task_id)[2] is None
        assert bench.run.revive(task_id) == ("unknown", "")
    assert changed == {}


def test_hasten_makes_a_parked_task_due(bench: Bench) -> None:
    """Scheduled, retrying, or a suspect: due now; what was due before keeps its place."""
    scheduled = bench.send("d;+60000;;")[0]
    retrying = bench.held()
    bench.park("w1-a", retrying, delay_ms=60_000)
    now = bench.clock()
    for address in (scheduled, retrying.address):
        assert bench.run.hasten(address) == "ok"
    state = bench.state
    assert state[f"scheduled:default {scheduled}"] == After(now)
    assert state[f"retry:default {retrying.address}"] == After(now)
    with bench.changing() as changed:
        assert bench.run.hasten(scheduled) == "ok"
    assert changed == {}
    assert {task.address for task in bench.take()} == {scheduled, retrying.address}


def test_hasten_leaves_the_rest_alone(bench: Bench) -> None:
    """Waiting, running and dead tasks: said so."""
    dead, running = bench.held(), bench.held("w2-b")
    bench.bury("w1-a", dead)
    [waiting] = bench.send("d")
    with bench.changing() as changed:
        assert bench.run.hasten(waiting) == "waiting"
        assert bench.run.hasten(running.address) == "running"
        assert bench.run.hasten(dead.address) == "dead"
        assert bench.run.hasten("d1-1") == "unknown"
    assert changed == {}


def test_purge_takes_what_nobody_holds_and_was_sent_before(bench: Bench) -> None:
    """Waiting, retrying, scheduled and suspect tasks go; running, dead and newer ones stay; keys are freed."""
    dead = bench.held()
    bench.bury("w1-a", dead)
    running = bench.held("w2-b")
    retrying = bench.held()
    bench.park("w1-a", retrying, delay_ms=60_000)
    suspect = bench.held()
    for _ in range(2):
        bench.run.reap("w1-a", "killed")
        bench.take()
    scheduled, delayed = bench.send("d;+60000;;", "h;+1;;")
    [waiting] = bench.send("d;;;u", key="k")
    before = bench.clock() + 1
    bench.pass_time(1)
    [newer] = bench.send("d")
    purged = 0
    for letter in "hdls":
        after = "-"
        while after:
            many, after = bench.run.purge(letter, after, before, "ana", batch=2)
            purged += many
    state = bench.state
    assert purged == state["stats purged"] == 5
    assert {line.split("\t")[0] for line in state["ended"][1:]} == {
        retrying.address,
        suspect.address,
        scheduled,
        delayed,
        waiting,
    }
    assert {name.split()[1] for name in state if name.split()[0] in {"default", "later"}} == {running.address, newer}
    assert f"dead {dead.address}" in state
    assert not [name for name in state if name.split()[0].startswith(("retry", "suspects", "scheduled", "attempts", "unique"))]
    assert bench.settle("w2-b", running) == []


def test_purge_of_a_revived_task_names_its_id(bench: Bench) -> None:
    """And forgets where it had moved."""
    task = bench.held()
    bench.bury("w1-a", task)
    bench.run.revive(task.address)
    assert bench.run.purge("d", "-", 2**53, "ana") == (1, "")
    state = bench.state
    assert state["ended"][-1].split("\t")[:2] == [task.address, "cancelled"]
    assert f"moved {task.address}" not in state


def test_an_entry_sent_in_the_millisecond_of_the_purge_stays(bench: Bench) -> None:
    """`before` is exclusive."""
    [address] = bench.send("d")
    assert bench.run.purge("d", "-", sent_ms(address), "ana")[0] == 0
    assert bench.run.purge("d", "-", sent_ms(address) + 1, "ana")[0] == 1


def test_a_paused_queue_hands_nothing_out(bench: Bench) -> None:
    """Neither new nor due tasks nor suspects; what is held is settled, what is sent accepted; resumed, all goes on."""
    suspect = bench.held()
    bench.run.reap("w1-a", "killed")
    bench.take()
    bench.run.reap("w1-a", "killed")
    held = bench.held()
    parked = bench.held()
    bench.park("w1-a", parked)
    assert bench.run.pause(paused=True) is True
    assert bench.run.pause(paused=True) is False
    [new] = bench.send("d")
    with bench.changing() as changed:
        taken = bench.run.take("w1-a", 10, 5, "hdl")
        assert (taken.state, taken.tasks, taken.next_due_ms) == ("paused", [], 0)
        assert bench.run.quarantine("q-a") == (None, 0, 0)
    assert changed == {}
    assert bench.settle("w1-a", held) == []
    assert bench.run.pause(paused=False) is True
    assert bench.run.pause(paused=False) is False
    assert {task.address for task in bench.take()} == {new, parked.address}
    again, _, _ = bench.run.quarantine("q-a")
    assert again is not None
    assert again.address == suspect.address


def test_discard_throws_a_letter_away(bench: Bench) -> None:
    """Letter and index; a second time there is none."""
    task = bench.held()
    bench.bury("w1-a", task)
    with bench.changing() as changed:
        assert bench.run.discard(task.address)
    assert changed == {f"dead {task.address}": None, f"dead:ids {task.address}": None}
    assert not bench.run.discard(task.address)
