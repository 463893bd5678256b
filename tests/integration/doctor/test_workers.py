"""Workers that were lost, tasks that hang, consumers that nobody knows: made with real workers where they tell something."""

from __future__ import annotations

import signal

import pytest

from streamq.keys import GROUP
from tests.integration.doctor.conftest import Doctor, take_as, until
from tests.seeds import Life, Seed
from tests.workshop import Workshop


def test_tasks_without_a_worker_are_told(shop: Workshop, doctor: Doctor) -> None:
    """A warning, with what to do; scheduled ones wait for their time, not for a worker."""
    shop.send_numbered("work", [0], {"delay": "1h"})
    assert doctor().level("workers") == "ok"
    shop.send_numbered("work", range(2))
    found = doctor()
    assert found.findings["workers"]["what"] == "no worker is alive, and 2 tasks wait for one"
    assert "streamq consume" in found.findings["workers"]["mend"]
    shop.start("w1")
    shop.happened("end", 1)
    assert "1 worker alive" in doctor().findings["workers"]["what"]


@pytest.mark.parametrize("life", ["lost", "dead"])
def test_a_lost_worker_with_tasks_is_told(shop: Workshop, seed: Seed, doctor: Doctor, life: Life) -> None:
    """Its heartbeat expired, or its process is gone: its tasks are stuck until somebody lives to recover them."""
    shop.send_numbered("work", [0])
    [address] = take_as(shop, "w0-a")
    seed.worker("w0-a", life, lease_ms=1000)  # for as long nothing is recovered by time
    found = doctor()
    assert found.level("lost-workers") == "warning"
    assert found.findings["lost-workers"]["subjects"] == ["w0-a"]
    assert "1 task in their hands" in found.findings["lost-workers"]["what"]
    assert found.level("stuck-tasks") == "warning"
    assert found.findings["stuck-tasks"]["subjects"] == [address]
    shop.start("w1", "--lease", "1s")
    shop.happened("end", 0)
    until(doctor, "lost-workers", "ok")
    assert doctor().level("stuck-tasks") == "ok"


def test_a_halted_worker_is_told(shop: Workshop, doctor: Doctor) -> None:
    """Its process is there and does not move."""
    shop.send_numbered("hold", [0])
    worker = shop.start("w1", "--lease", "1s")
    shop.happened("start", 0)
    assert doctor().level("lost-workers") == "ok"
    worker.signal_group(signal.SIGSTOP)
    found = until(doctor, "lost-workers", "warning")
    assert "stopped" in found.findings["lost-workers"]["what"]
    worker.signal_group(signal.SIGCONT)
    shop.open()
    shop.happened("end", 0)


def test_a_task_that_runs_for_hours_is_noted(shop: Workshop, seed: Seed, doctor: Doctor) -> None:
    """As the heartbeat of its worker tells."""
    shop.send_numbered("hold", [0])
    [address] = take_as(shop, "w1-a")
    seed.worker("w1-a", runs=[(address, seed.now() - 2 * 3_600_000)])
    found = doctor()
    assert found.level("long-tasks") == "note"
    assert found.findings["long-tasks"]["subjects"] == [address]
    assert "2h" in found.findings["long-tasks"]["what"]


def test_a_task_that_no_worker_knows_is_told(shop: Workshop, doctor: Doctor) -> None:
    """Until one comes that knows it."""
    shop.send("mystery", {"n": 0})
    shop.start("w1")
    found = until(doctor, "unknown-tasks", "warning")
    assert "knows mystery" in found.findings["unknown-tasks"]["what"]
    shop.module("more", "from jobs import app, note\n@app.task\ndef mystery(n: int) -> None:\n    note('end', n)\n")
    shop.start("w2", tasks="more")
    shop.happened("end", 0)
    assert doctor().level("unknown-tasks") == "ok"


def test_a_consumer_that_nobody_knows_is_found_and_deleted(shop: Workshop, doctor: Doctor) -> None:
    """When it has not been seen for a lease; the reaper's own stays."""
    shop.configure(worker={"lease": "1s"})
    for name in ("high", "default"):
        shop.link.call("XGROUP", "CREATECONSUMER", shop.keys[name], GROUP, "old-1")
    shop.link.call("XGROUP", "CREATECONSUMER", shop.keys["default"], GROUP, "~reap")
    found = until(doctor, "leftover-consumers", "note")
    assert found.findings["leftover-consumers"]["subjects"] == ["old-1"]
    mended = doctor("--repair")
    assert mended.findings["leftover-consumers"]["mended"] == "1 deleted"
    assert doctor().level("leftover-consumers") == "ok"
    names = [row[1] for row in shop.link.call("XINFO", "CONSUMERS", shop.keys["default"], GROUP)]
    assert names == [b"~reap"]


def test_a_consumer_that_was_seen_a_moment_ago_is_left_alone(shop: Workshop, doctor: Doctor) -> None:
    """It may be about to read: whoever is deleted then loses what it is given."""
    shop.link.call("XGROUP", "CREATECONSUMER", shop.keys["default"], GROUP, "new-1")
    found = doctor("--repair")
    assert found.level("leftover-consumers") == "ok"
    assert [row[1] for row in shop.link.call("XINFO", "CONSUMERS", shop.keys["default"], GROUP)] == [b"new-1"]


def test_a_stranger_that_holds_tasks_is_told_and_left_alone(shop: Workshop, doctor: Doctor) -> None:
    """Deleting it would lose them; a real worker takes them over."""
    shop.configure(worker={"lease": "1s"})
    shop.send_numbered("work", [0])
    take_as(shop, "stranger-1")
    found = doctor("--repair")
    assert found.level("foreign-consumers") == "warning"
    assert found.findings["foreign-consumers"]["subjects"] == ["stranger-1"]
    assert shop.link.call("XPENDING", shop.keys["default"], GROUP)[0] == 1
    shop.start("w1", "--lease", "1s")
    shop.happened("end", 0)
    assert doctor().level("foreign-consumers") == "ok"
