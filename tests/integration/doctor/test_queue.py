"""What can be wrong with what a queue holds: made on a real server, found, mended, and worked off by a real worker."""

from __future__ import annotations

import pytest

from streamq import stats
from streamq.keys import GROUP
from streamq.transitions import Park
from tests.conftest import wait_until
from tests.integration.doctor.conftest import Doctor, delete_consumer, take_as
from tests.seeds import Seed
from tests.workshop import Workshop


def drained(shop: Workshop, *ended: int) -> None:
    """A real worker finishes all that is there; these tasks have run to their end, once."""
    worker = shop.start("w1", "--drain")
    assert worker.ended() == 0, worker.log
    assert shop.count("end") == dict.fromkeys(ended, 1)


def counts_additions(shop: Workshop) -> bool:
    """Whether the server counts what was ever added to a stream (Redis 6.2 does not)."""
    return b"entries-added" in shop.link.call("XINFO", "STREAM", shop.keys["default"])


def test_a_fresh_queue_and_one_at_work_have_nothing_wrong(shop: Workshop, doctor: Doctor) -> None:
    """Waiting, scheduled, running, parked and dead tasks are where they belong."""
    assert doctor().worse == {}
    shop.send_numbered("work", range(5))
    shop.send_numbered("work", range(5, 8), {"delay": "1h"})
    shop.send_numbered("hold", [8], {"unique": "k"})
    assert doctor().worse == {"workers": "no worker is alive, and 6 tasks wait for one"}
    shop.start("w1", slots=2)
    shop.happened("start", 8)
    for n in range(5):
        shop.happened("end", n)
    assert doctor().worse == {}
    assert doctor("--repair").worse == {}
    shop.open()
    shop.happened("end", 8)


def test_tasks_of_a_deleted_consumer_are_found_and_brought_again(shop: Workshop, doctor: Doctor) -> None:
    """XGROUP DELCONSUMER throws pending entries away: nothing would ever bring them."""
    shop.send_numbered("work", range(3), {"max_deliveries": 1})
    addresses = take_as(shop, "gone-1", 3)
    delete_consumer(shop, "gone-1")
    found = doctor()
    assert found.status == 1
    assert found.level("orphaned-entries") == "fault"
    assert found.findings["orphaned-entries"]["subjects"] == addresses
    assert "--repair" in found.findings["orphaned-entries"]["mend"]
    mended = doctor("--repair")
    assert mended.ok
    assert mended.findings["orphaned-entries"]["mended"].startswith("3 parked")
    again = doctor()
    assert again.level("orphaned-entries") == "ok"
    assert again.level("counts") == "ok"
    drained(shop, 0, 1, 2)
    assert shop.settled().dead == 0, "the hand-out that went astray is forgiven"


def test_a_finished_run_of_an_orphan_that_was_brought_again_is_refused(shop: Workshop, doctor: Doctor) -> None:
    """Whoever holds on to it has lost it: the lost hand-out raises the count."""
    shop.send_numbered("work", [0])
    [task] = shop.run.take("slow-1", 1, 1, "hdl").tasks
    delete_consumer(shop, "slow-1")
    assert doctor("--repair").ok
    [again] = shop.run.take("slow-1", 1, 1, "hdl").tasks
    assert (again.address, again.count, again.deliveries) == (task.address, 2, 1)
    assert shop.run.settle("slow-1", "slow", 1000, "x", "w1 1", [(task.address, task.count)]) == [task.address]


def test_a_task_that_was_acknowledged_and_left_is_found(shop: Workshop, doctor: Doctor) -> None:
    """XACK without XDEL, with what was known of the task kept."""
    shop.send_numbered("work", [0])
    [task] = shop.run.take("w1-a", 1, 1, "hdl").tasks
    shop.run.park("w1-a", [Park(task.address, task.count, 0, "retry", b'{"delivery":1}')])
    take_as(shop, "w1-a")
    shop.link.call("XACK", shop.keys["default"], GROUP, task.address[1:])
    assert doctor().level("orphaned-entries") == "fault"
    assert doctor("--repair").ok
    [again] = shop.run.take("w1-b", 1, 1, "hdl").tasks
    assert (again.count, again.forgiven) == (3, 1)
    assert b'{"delivery":1}' in again.attempts


@pytest.mark.parametrize("when", ["due", "not due"])
def test_a_forgotten_task_of_later_is_found(shop: Workshop, doctor: Doctor, when: str) -> None:
    """`later` is never read: what is in no zset is forgotten. One that is not due goes on waiting for its time."""
    [task_id] = shop.send_numbered("work", [0], {"delay": "1h"})
    shop.link.call("ZREM", shop.keys["scheduled:default"], task_id)
    if when == "due":
        shop.link.call("XDEL", shop.keys["later"], task_id[1:])
        shop.link.call("XADD", shop.keys["later"], "*", "task", "work", "args", '{"n": 0}')
    assert doctor().level("orphaned-entries") == "fault"
    assert doctor("--repair").ok
    if when == "due":
        drained(shop, 0)
    else:
        assert shop.stats.scheduled == 1
        due = shop.link.call("ZSCORE", shop.keys["scheduled:default"], task_id)
        assert int(due) > shop.run.now_ms() + 3_000_000


def test_a_parked_task_that_was_deleted_is_found_and_what_is_left_removed(shop: Workshop, doctor: Doctor) -> None:
    """And a member of a zset that is no address at all."""
    shop.send_numbered("work", range(2))
    tasks = shop.run.take("w1-a", 2, 1, "hdl").tasks
    shop.run.park("w1-a", [Park(task.address, task.count, 60_000, "retry") for task in tasks])
    shop.link.call("XDEL", shop.keys["default"], tasks[0].address[1:])
    shop.link.call("ZADD", shop.keys["retry:low"], 1, "nonsense")
    found = doctor()
    assert found.level("parked-without-entry") == "fault"
    assert set(found.findings["parked-without-entry"]["subjects"]) == {
        f"retry:default {tasks[0].address}",
        "retry:low nonsense",
    }
    mended = doctor("--repair")
    assert mended.ok
    assert mended.findings["parked-without-entry"]["mended"] == "2 removed"
    assert doctor().worse.keys() <= {"sums", "workers"}
    assert shop.link.call("HKEYS", shop.keys["attempts"]) == [tasks[1].address.encode()]
    shop.run.hasten(tasks[1].address)
    drained(shop, 1)


def test_a_task_that_was_deleted_while_it_was_held_is_found(shop: Workshop, doctor: Doctor) -> None:
    """A pending entry without a body."""
    shop.send_numbered("work", range(2))
    addresses = take_as(shop, "w1-a", 2)
    shop.link.call("XDEL", shop.keys["default"], addresses[0][1:])
    found = doctor()
    assert found.findings["pending-without-entry"]["subjects"] == [addresses[0]]
    assert found.level("pending-without-entry") == "fault"
    assert doctor("--repair").ok
    assert doctor().level("pending-without-entry") == "ok"
    assert shop.link.call("XPENDING", shop.keys["default"], GROUP)[0] == 1
    shop.run.reap("w1-a", "worker lost")
    drained(shop, 1)


def test_a_parked_task_that_another_program_claimed_is_found(shop: Workshop, doctor: Doctor) -> None:
    """Parked and pending at once."""
    shop.send_numbered("work", [0])
    [task] = shop.run.take("w1-a", 1, 1, "hdl").tasks
    shop.run.park("w1-a", [Park(task.address, task.count, 60_000, "retry")])
    shop.link.call("XCLAIM", shop.keys["default"], GROUP, "stranger-1", 0, task.address[1:], "FORCE", "JUSTID")
    found = doctor()
    assert found.level("parked-and-pending") == "warning"
    assert found.findings["parked-and-pending"]["subjects"] == [f"{task.address} stranger-1 1"]
    assert found.findings["foreign-consumers"]["subjects"] == ["stranger-1"]


def test_a_count_that_fell_is_found(shop: Workshop, doctor: Doctor) -> None:
    """XCLAIM can set any count; the one of the record is the truth."""
    shop.send_numbered("work", [0])
    [task] = shop.run.take("w1-a", 1, 1, "hdl").tasks
    shop.run.park("w1-a", [Park(task.address, task.count, 0, "retry")])
    take_as(shop, "w1-a")
    assert doctor().level("counts") == "ok"
    shop.link.call("XCLAIM", shop.keys["default"], GROUP, "w1-a", 0, task.address[1:], "RETRYCOUNT", 1, "JUSTID")
    found = doctor()
    assert found.level("counts") == "warning"
    assert found.findings["counts"]["subjects"] == [f"{task.address} w1-a 1"]


def test_what_is_left_of_tasks_that_have_gone_is_found_and_removed(shop: Workshop, seed: Seed, doctor: Doctor) -> None:
    """Records, unique keys and moved addresses; those of living tasks stay."""
    keep, gone = seed.send(1, "d;;;u", key="keep"), seed.send(1, "d;;;u", key="gone")
    [dead, dead_too] = seed.dead(2)
    seed.run.revive(dead)
    _, moved = seed.run.revive(dead_too)
    seed.client.xdel(seed.keys["default"], gone[0][1:], moved[1:])
    seed.client.hset(seed.keys["attempts"], "h1-1", "1 0 0 0")
    seed.client.hset(seed.keys["unique"], b"\xff nonsense", "no id")
    found = doctor()
    assert {found.level(name) for name in ("stale-records", "unique-keys", "moved-addresses")} == {"note"}
    assert set(found.findings["stale-records"]["subjects"]) == {"h1-1", moved}
    assert set(found.findings["unique-keys"]["subjects"]) == {"gone", "\\xff nonsense"}
    assert found.findings["moved-addresses"]["subjects"] == [dead_too]
    assert doctor("--repair").ok
    assert {doctor().level(name) for name in ("stale-records", "unique-keys", "moved-addresses")} == {"ok"}
    assert seed.client.hgetall(seed.keys["unique"]) == {b"keep": keep[0].encode()}
    assert seed.client.hkeys(seed.keys["moved"]) == [dead.encode()]
    assert len(seed.client.hkeys(seed.keys["attempts"])) == 1


def test_a_group_that_was_destroyed_is_found_and_made_anew(shop: Workshop, doctor: Doctor) -> None:
    """What was parked stays parked, what was handed out comes again."""
    shop.send_numbered("work", range(3))
    tasks = shop.run.take("w1-a", 2, 1, "hdl").tasks
    shop.run.park("w1-a", [Park(tasks[0].address, 1, 60_000, "retry")])
    shop.link.call("XGROUP", "DESTROY", shop.keys["default"], GROUP)
    found = doctor()
    assert found.level("missing-groups") == "warning"
    assert found.findings["missing-groups"]["subjects"] == ["default"]
    assert found.level("orphaned-entries") == "ok"
    assert doctor("--repair").ok
    assert doctor().level("missing-groups") == "ok"
    assert doctor().level("orphaned-entries") == "ok"
    shop.run.hasten(tasks[0].address)
    drained(shop, 0, 1, 2)


def test_a_queue_that_no_worker_has_seen_has_lost_no_group(shop: Workshop, doctor: Doctor) -> None:
    """The first worker makes them."""
    shop.link.call("DEL", *(shop.keys[name] for name in ("high", "default", "low", "later")))
    shop.send_numbered("work", [0])
    assert doctor().level("missing-groups") == "ok"
    drained(shop, 0)


def test_tasks_that_were_deleted_make_the_figures_disagree(shop: Workshop, doctor: Doctor) -> None:
    """All that came is here or has ended."""
    shop.send_numbered("work", range(3))
    shop.link.call("XDEL", shop.keys["default"], shop.link.call("XRANGE", shop.keys["default"], "-", "+")[0][0])
    found = doctor()
    assert found.level("sums") == ("warning" if counts_additions(shop) else "ok")
    if counts_additions(shop):
        assert "1 task was deleted by another program" in found.findings["sums"]["what"]


def test_a_stream_that_was_deleted_makes_the_figures_disagree(shop: Workshop, doctor: Doctor) -> None:
    """Its count went with it."""
    shop.send_numbered("work", range(3))
    drained(shop, 0, 1, 2)
    assert doctor().level("sums") == "ok"
    additions = counts_additions(shop)
    shop.link.call("DEL", shop.keys["default"])
    found = doctor()
    assert found.level("sums") == ("warning" if additions else "ok")
    assert "deleted or restored" in found.findings["sums"]["what"] or not additions


def test_a_paused_queue_is_noted(shop: Workshop, doctor: Doctor) -> None:
    """And only then."""
    assert "paused" not in doctor().findings
    shop.run.pause(paused=True)
    assert doctor().level("paused") == "note"


def test_a_queue_near_its_bound_is_told(shop: Workshop, doctor: Doctor) -> None:
    """`queue.max_size`."""
    shop.configure(queue={"max_size": 10})
    shop.send_numbered("work", range(7))
    assert doctor().level("bound") == "ok"
    shop.send_numbered("work", range(7, 9))
    assert doctor().level("bound") == "note"
    shop.send_numbered("work", [9])
    assert doctor().level("bound") == "warning"
    shop.configure(queue={"max_size": 0})
    assert "without a bound" in doctor().findings["bound"]["what"]


def test_lanes_of_long_ago_are_noted_and_a_worker_sweeps_them(shop: Workshop, doctor: Doctor) -> None:
    """Nobody has swept: no worker has run for hours."""
    old = shop.run.now_ms() - 3 * 3_600_000
    shop.link.call("HSET", shop.keys["producers"], "old", f"7 {old} d1-1+0")
    found = doctor()
    assert found.level("producer-lanes") == "note"
    assert "1 lane of a sender" in found.findings["producer-lanes"]["what"]
    shop.start("w1", "--lease", "1s")
    wait_until(lambda: not shop.link.call("HEXISTS", shop.keys["producers"], "old"), "the lane is swept")
    assert doctor().level("producer-lanes") == "ok"


def test_many_are_looked_at_in_slices_and_none_is_missed(shop: Workshop, seed: Seed, doctor: Doctor) -> None:
    """Orphans, held, parked and deleted ones side by side, far more than one slice of each."""
    seed.send(3000)
    orphans = [task.address for task in seed.take("gone-1", 1500)]
    parked = seed.take("w1-a", 1000)
    seed.run.park("w1-a", [Park(task.address, task.count, 3_600_000, "retry") for task in parked])
    held = seed.take("w1-a", 300)
    delete_consumer(shop, "gone-1")
    seed.client.xdel(seed.keys["default"], *(task.address[1:] for task in parked[::100]))
    seed.client.xdel(seed.keys["default"], *(task.address[1:] for task in held[::100]))
    found = doctor()
    assert found.findings["orphaned-entries"]["what"].startswith("1,500 tasks ")
    assert found.findings["orphaned-entries"]["subjects"] == orphans[:100]
    assert found.findings["parked-without-entry"]["what"].startswith("10 parked tasks ")
    assert found.findings["stale-records"]["what"].startswith("10 records ")
    assert found.findings["pending-without-entry"]["what"].startswith("3 tasks ")
    mended = doctor("--repair")
    assert mended.ok
    assert mended.findings["orphaned-entries"]["mended"].startswith("1,500 parked")
    counts = stats.counts(seed.run)
    # What was mended waits as if it had never begun; beyond 500 of a priority that is not looked for.
    assert (counts.waiting.total, counts.running, counts.retrying) == (200 + 500, 297, 990 + 1000)
    assert doctor().worse.keys() <= {"workers", "sums", "foreign-consumers"}
