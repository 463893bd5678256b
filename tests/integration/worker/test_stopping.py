"""A worker ends when it is asked to, or when it has done what it was started for; it leaves nothing half done."""

from __future__ import annotations

import signal

import pytest

from tests.conftest import wait_until
from tests.workshop import Workshop


def test_asked_to_stop_it_finishes_what_runs_and_hands_back_the_rest(shop: Workshop) -> None:
    """What had not started is not counted; the exit status is 0."""
    running, waiting = shop.send("hold", {"n": 1}, {"n": 2})
    worker = shop.start("w1", "--prefetch", "5")
    shop.happened("start", 1)
    wait_until(lambda: shop.stats.running == 2, "both have been handed out")
    worker.signal(signal.SIGTERM)
    worker.said("stopping: 1 running")
    wait_until(lambda: shop.stats.waiting.total == 1, "the one that waits is handed back")
    shop.open(1)
    assert worker.ended() == 0
    figures = shop.checked()
    assert (figures.finished_total, figures.running, figures.waiting.total, figures.failed_total) == (1, 0, 1, 0)
    assert shop.locate(running)["state"] == "finished"
    assert shop.locate(waiting)["deliveries"] == 0
    assert not shop.fleet


def test_what_outlasts_the_grace_time_is_handed_back_uncounted(shop: Workshop) -> None:
    """And runs again elsewhere as if for the first time; it is killed, and an async handler is told no more than a sync one."""
    shop.send_numbered("hold", [1, 2])
    shop.send_numbered("ahold", [3])
    worker = shop.start("w1", "--grace", "0.3s", slots=2)
    for n in (1, 2, 3):
        shop.happened("start", n)
    assert worker.stop() == 0
    assert (shop.checked().waiting.total, shop.checked().failed_total) == (3, 0)
    assert "handed back 3 running tasks" in worker.log
    assert not shop.lines("cancelled")
    shop.open()
    shop.start("w2", slots=2)
    shop.settled()
    assert {line.delivery for line in shop.lines("start")} == {1}


def test_a_second_ctrl_c_hands_back_at_once(shop: Workshop) -> None:
    """The signals go to the whole group, as a terminal sends them; children leave them to the supervisor."""
    shop.send_numbered("hold", [1])
    worker = shop.start()
    shop.happened("start", 1)
    worker.signal_group(signal.SIGINT)
    worker.said("once more hands them back at once")
    assert worker.process.poll() is None
    worker.signal_group(signal.SIGINT)
    assert worker.ended() == 0
    assert (shop.checked().waiting.total, shop.checked().failed_total) == (1, 0)


def test_it_can_be_stopped_before_its_tasks_are_imported(shop: Workshop) -> None:
    """It ends as soon as they are, long before the grace time is over."""
    shop.module(
        "slow",
        "from pathlib import Path\nPath('importing').touch()\nfrom jobs import *\nwhile not is_open(0): time.sleep(0.01)\n",
    )
    worker = shop.start("w1", "--grace", "600s", tasks="slow")
    wait_until((shop.folder / "importing").exists, "the tasks are being imported")
    worker.signal(signal.SIGTERM)
    worker.said("stopping: 0 running")
    shop.open(0)
    assert worker.ended() == 0


def test_it_can_be_stopped_as_soon_as_its_tasks_are_imported(shop: Workshop) -> None:
    """Also before its first heartbeat, without which it may not take."""
    worker = shop.start("w1", "--grace", "600s")
    wait_until(lambda: worker.children, "its process has started")
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0


def test_it_ends_after_so_many_tasks(shop: Workshop) -> None:
    """Exactly, with a buffer behind busy slots and with several processes; what waited in the buffer is not forgotten."""
    shop.send_numbered("work", range(30), ms=20)
    worker = shop.start("w1", "--max-tasks", "7", "--prefetch", "5", processes=2)
    assert worker.ended() == 0
    figures = shop.checked()
    assert len(shop.lines("end")) == figures.finished_total == 7, worker.log
    assert figures.running == 0


def test_what_it_was_started_for_may_outlast_the_grace_time(shop: Workshop) -> None:
    """Nobody has asked it to stop: the last task of its budget has all the time that it needs."""
    shop.send_numbered("work", [1], ms=1500)
    worker = shop.start("w1", "--max-tasks", "1", "--grace", "0.01s")
    assert worker.ended() == 0
    assert shop.checked().finished_total == 1, worker.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("options", [["--drain"], ["--max-tasks", "2"]], ids=" ".join)
def test_asked_to_stop_before_it_has_done_all_it_says_so(shop: Workshop, options: list[str], number: int) -> None:
    """Its status is 0, as that of every worker that was asked to stop; what ran is finished as ever."""
    shop.send_numbered("hold", [1])
    shop.send_numbered("work", [2])
    worker = shop.start("w1", "--prefetch", "5", *options)
    shop.happened("start", 1)
    wait_until(lambda: shop.stats.running == 2, "both have been handed out")
    worker.signal_group(number)
    wait_until(lambda: shop.stats.running == 1, "the one that waits is handed back")
    shop.open()
    assert worker.ended() == 0
    assert "stopped before" in worker.log
    figures = shop.checked()
    assert (figures.finished_total, figures.running) == (1, 0)


@pytest.mark.parametrize("is_hurried", [False, True])
def test_asked_to_stop_while_it_does_the_last_of_all(shop: Workshop, is_hurried: bool) -> None:  # noqa: FBT001
    """It has done what it was started for where that is finished, and not where it is handed back."""
    shop.send_numbered("hold", [1])
    worker = shop.start("w1", "--max-tasks", "1")
    worker.said("the budget of 1 tasks is used up")
    worker.signal_group(signal.SIGINT)
    worker.said("stopping: 1 running")
    if is_hurried:
        worker.signal_group(signal.SIGINT)
    else:
        shop.open()
    assert worker.ended() == 0
    assert ("stopped before" in worker.log) == is_hurried
    assert shop.checked().finished_total == (not is_hurried)


def test_a_budget_is_not_used_up_by_processes_that_wait(shop: Workshop) -> None:
    """Two idle processes share a budget of one: neither ends the worker before a task has come."""
    worker = shop.start("w1", "--max-tasks", "1", processes=2)
    wait_until(lambda: len(shop.fleet) == 2, "both wait for tasks")
    wait_until(lambda: _reads(shop) == 2, "both have a read under way")
    shop.send_numbered("work", [1, 2])
    assert worker.ended() == 0
    assert len(shop.lines("end")) == 1


def _reads(shop: Workshop) -> int:
    """How many connections of this queue's workers wait for a task."""
    clients: bytes = shop.link.call("CLIENT", "LIST")
    names = [f"name=streamq-take-{consumer}".encode() for consumer in shop.fleet]
    return sum(b"cmd=xreadgroup" in line and any(name in line for name in names) for line in clients.splitlines())


def test_draining_it_ends_when_nothing_is_left(shop: Workshop) -> None:
    """Late retries and what runs on another worker are waited for; what is scheduled for later is not."""
    shop.send("fail", {"n": 1, "times": 3})
    shop.send("work", {"n": 2}, delay="1h")
    shop.send("hold", {"n": 3})
    other = shop.start("w1")
    shop.happened("start", 3)
    worker = shop.start("w2", "--drain")
    shop.happened("end", 1)
    wait_until(lambda: shop.stats.finished_total == 1, "all is done but what runs elsewhere")
    assert worker.process.poll() is None
    shop.open()
    assert worker.ended() == 0
    assert "drained: nothing is left to do now; 1 task is scheduled for later" in worker.log
    figures = shop.checked()
    assert (figures.finished_total, figures.scheduled) == (2, 1)
    assert other.stop() == 0


def test_draining_waits_for_a_retry_however_late(shop: Workshop) -> None:
    """The retry is hastened by hand here: the worker was still there to run it."""
    shop.configure(worker={"backoff": {"base": 3600, "cap": 3600, "jitter": False}})
    [late] = shop.send("steer_late", {"n": 1})
    shop.module(
        "later",
        "from jobs import app, note, Context\n"
        "@app.task\n"
        "def steer_late(n: int, *, ctx: Context) -> None:\n"
        "    note('start', n, ctx)\n"
        "    if ctx.delivery == 1: raise ValueError('again in an hour')\n",
    )
    worker = shop.start("w1", "--drain", tasks="later")
    worker.said("again in 3600.0 s")
    wait_until(lambda: shop.stats.retrying == 1, "it is parked")
    assert shop.run.hasten(late) == "ok"
    assert worker.ended() == 0
    assert [line.delivery for line in shop.lines("start", 1)] == [1, 2]


@pytest.mark.parametrize("paused", [True, False])
def test_what_cannot_be_drained_is_said(shop: Workshop, paused: bool) -> None:  # noqa: FBT001
    """A paused queue, or tasks that nobody knows: exit status 1, and a message."""
    shop.send("work" if paused else "nobodys", {"n": 1})
    if paused:
        shop.app.queue.pause()
    worker = shop.start("w1", "--drain")
    assert worker.ended() == 1
    assert ("the queue is paused" if paused else "1 task is left that no worker knows") in worker.log
    assert not shop.ledger
    assert shop.checked().finished_total == 0


def test_a_paused_queue_hands_nothing_out(shop: Workshop) -> None:
    """What comes while workers wait in a blocked read included; resumed, it goes on."""
    shop.start(processes=2)
    wait_until(lambda: _reads(shop) == 2, "all wait for tasks")
    shop.app.queue.pause()
    ids = shop.send_numbered("work", range(6))
    wait_until(lambda: _reads(shop) == 0 and not shop.stats.running, "all have noticed the pause and hold nothing")
    assert shop.stats.waiting.total + shop.stats.retrying == 6
    assert not shop.ledger
    shop.app.queue.resume()
    shop.settled()
    assert all(shop.locate(each)["deliveries"] == 1 for each in ids[:2])


def test_changed_tasks_are_loaded_anew(shop: Workshop) -> None:
    """A module that cannot be imported is told, and its next change tried; what runs meanwhile finishes."""
    shop.module("mine", "from jobs import *\n@app.task\ndef version(n: int) -> int:\n    return 1\n")
    worker = shop.start("w1", "--reload", tasks="mine")
    [first] = shop.send("version", {"n": 1})
    shop.settled()
    shop.module("mine", "def broken(:\n")
    worker.said("module mine cannot be imported: SyntaxError")
    shop.module("mine", "from jobs import *\n@app.task\ndef version(n: int) -> int:\n    return 2\n")
    [second] = shop.send("version", {"n": 1})
    shop.settled()
    assert [shop.locate(each)["result"] for each in (first, second)] == [1, 2]
    assert worker.stop() == 0
