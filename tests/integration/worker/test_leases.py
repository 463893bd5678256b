"""A task is its worker's for as long as that lives, and not a moment longer; whatever the network loses is made good."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

import pytest

from streamq.keys import GROUP
from tests.conftest import wait_until
from tests.proxy import Proxy
from tests.workshop import Workshop

SHORT = ("--lease", "1s")


def sweeps(shop: Workshop) -> int:
    """When the fleet swept last, ms of the server's clock."""
    return int(shop.link.call("HGET", shop.keys["control"], "sweep") or 0)


def after(shop: Workshop, seconds: float) -> Callable[[], bool]:
    """A predicate: the fleet has swept so many seconds from now on, by the server's clock."""
    since = shop.run.now_ms()
    return lambda: sweeps(shop) - since > seconds * 1000


def lost(log: str) -> set[str]:
    """The tasks of which a worker has said that it lost them, alone or in a group."""
    return {each for line in log.splitlines() if "will be refused" in line for each in re.findall(r"\bd[0-9]+-[0-9]+", line)}


def test_a_task_that_takes_three_leases_runs_once(shop: Workshop) -> None:
    """Sync and async, with another worker waiting for anything that is free."""
    ids = shop.send("hold", {"n": 1}) + shop.send("ahold", {"n": 2})
    shop.start("w1", *SHORT, slots=2)
    shop.happened("start", 1)
    shop.happened("start", 2)
    shop.start("w2", *SHORT, slots=2)
    wait_until(after(shop, 3.2), "three leases have passed")
    shop.open()
    figures = shop.settled()
    assert shop.count("start") == {1: 1, 2: 1}
    assert [shop.locate(each)["deliveries"] for each in ids] == [1, 1]
    assert (figures.finished_total, figures.failed_total, figures.fenced_total) == (2, 0, 0)


@pytest.mark.parametrize("how", ["grip", "backtrack"])
def test_a_task_that_holds_the_interpreter_for_three_leases_runs_once(shop: Workshop, how: str) -> None:
    """So do those that are handed to its process meanwhile."""
    held = {"ms": 3500} if how == "grip" else {"length": 26}
    shop.send(how, {"n": 0, **held})
    shop.start("w1", *SHORT, "--prefetch", "8", slots=2)
    shop.happened("start", 0)
    shop.send_numbered("work", range(1, 9))
    shop.start("w2", *SHORT)
    figures = shop.settled()
    assert set(shop.count("start").values()) == {1}, shop.logs
    assert (figures.finished_total, figures.failed_total, figures.fenced_total) == (9, 0, 0)
    assert "handed back" not in shop.logs


def test_a_stopped_process_loses_its_tasks_and_its_late_results(shop: Workshop) -> None:
    """Others have them as soon as its heartbeat has expired; what it finishes after all is refused, and said so."""
    ids = shop.send_numbered("hold", [1]) + shop.send_numbered("guarded", [2]) + shop.send_numbered("ahold", [3])
    first = shop.start("w1", *SHORT, slots=2)
    for n in (1, 2, 3):
        shop.happened("start", n)
    [child] = first.children
    child.suspend()
    shop.start("w2", *SHORT, slots=2)
    for n in (1, 2, 3):
        assert shop.happened("start", n, times=2).worker == "w2"
    child.resume()
    first.said("will be refused")
    shop.happened("cancelled", 3)
    shop.open()
    figures = shop.settled()
    shop.happened("end", 1, times=2)
    wait_until(lambda: shop.stats.fenced_total == 3, "all three are refused")
    assert lost(first.log) == set(ids)
    assert first.log.count("result refused: another worker has the task") == 1, "only one has brought a result"
    assert "hand-back refused" not in first.log
    assert shop.count("end") == {1: 2, 2: 1, 3: 1}
    assert [shop.locate(each)["worker"] for each in ids] == ["w2"] * 3
    assert figures.finished_total == 3


def test_a_cancelled_task_stops_where_it_can(shop: Workshop) -> None:
    """An async one is cancelled, a sync one may ask; the result of one that does neither is refused."""
    ids = shop.send_numbered("hold", [1]) + shop.send_numbered("ahold", [2]) + shop.send_numbered("watchful", [3])
    worker = shop.start("w1", *SHORT, slots=2)
    for n in (1, 2, 3):
        shop.happened("start", n)
    assert [shop.app.queue.cancel(each) for each in ids] == ["running"] * 3
    shop.happened("cancelled", 2)
    shop.happened("lost", 3)
    shop.open(1)
    shop.happened("end", 1)
    wait_until(lambda: shop.stats.fenced_total == 3, "their endings are refused")
    assert lost(worker.log) == set(ids)
    assert "hand-back refused" not in worker.log, "who was told once is not told again"
    figures = shop.settled()
    assert (figures.cancelled_total, figures.finished_total, figures.fenced_total) == (3, 0, 3)
    [good] = shop.send("work", {"n": 4})
    shop.settled()
    assert shop.locate(good)["state"] == "finished"


def test_tasks_of_a_lost_reply_are_handed_back_and_run(shop: Workshop, proxy: Proxy) -> None:
    """The server had handed them out, and nobody ever heard of it; it does not count against their limit."""
    worker = shop.start("w1", *SHORT, "--url", proxy.url, slots=3)
    wait_until(lambda: shop.fleet, "the worker waits for tasks")
    proxy.cut("reply", 10, duty="take", holding=b"work")
    ids = shop.send_numbered("work", [1, 2, 3], {"max_deliveries": 1})
    figures = shop.settled()
    assert proxy.cuts == 1
    assert "the reply was lost; handed back" in worker.log
    assert shop.count("start") == {1: 1, 2: 1, 3: 1}
    assert [shop.locate(each)["deliveries"] for each in ids] == [1, 1, 1]
    assert (figures.finished_total, figures.failed_total, figures.fenced_total) == (3, 0, 0)


def test_an_ending_whose_reply_was_lost_counts_once(shop: Workshop, proxy: Proxy) -> None:
    """Sent again it is refused, which is no lost lease and is not told as one: finished, retried and dead alike."""
    worker = shop.start("w1", *SHORT, "--url", proxy.url)
    for task in ({"n": 1}, {"n": 2, "times": 1}, {"n": 3}):
        limit = 1 if task["n"] == 3 else None
        proxy.cut("reply", 10, duty="settle")
        shop.send("work" if task["n"] == 1 else "fail", task, max_deliveries=limit)
        shop.settled()
    figures = shop.settled()
    assert proxy.cuts == 3
    assert (figures.finished_total, figures.dead_total, figures.failed_total) == (2, 1, 2)
    assert shop.count("start") == {1: 1, 2: 2, 3: 1}
    assert "refused" not in worker.log


def test_short_tasks_do_not_wait_behind_a_long_one(shop: Workshop) -> None:
    """A buffer that short run times had made deep is given up when one run takes long, and stays given up."""
    shop.send_numbered("work", range(300))
    shop.start("w1", "--max-tasks", "100000")
    shop.settled()
    shop.send("hold", {"n": 1000})
    shop.happened("start", 1000)
    shop.send_numbered("work", range(1001, 1011))
    wait_until(lambda: shop.stats.running == 1, f"the worker holds nothing that it does not run\n{shop.stats}")
    wait_until(after(shop, 1.5), "there was time to take them again")
    shop.start("w2")
    wait_until(lambda: len(shop.lines("end")) == 310, "another worker has run the short ones")
    short = [line for line in shop.lines("end") if line.n > 1000]
    assert {line.worker for line in short} == {"w2"}
    assert sum(line.hand_out for line in short) <= 24, [line.hand_out for line in short]
    shop.open()
    shop.settled()


def test_a_child_that_died_is_left_to_its_own_supervisor(shop: Workshop) -> None:
    """Only that knows what had started: another worker on the machine would have to count everything as a crash."""
    ids = shop.send_numbered("hold", [1, 2, 3])
    first = shop.start("w1", "--prefetch", "5")
    shop.happened("start", 1)
    wait_until(lambda: shop.stats.running == 3, "all three have been handed out")
    first.signal(signal.SIGSTOP)
    first.children[0].kill()
    shop.start("w2")
    wait_until(lambda: any(card.name == "w2" for card in shop.fleet.values()), "the other worker is there")
    wait_until(after(shop, 2), "the other worker has looked for dead ones")
    assert shop.stats.running == 3
    first.signal(signal.SIGCONT)
    shop.open()
    shop.settled()
    assert [len(shop.locate(each)["attempts"]) for each in ids] == [1, 0, 0]


def test_a_destroyed_group_makes_nothing_run_twice_in_one_process(shop: Workshop) -> None:
    """The process keeps the run that it has when the new group hands the task out again."""
    [running] = shop.send("hold", {"n": 1})
    shop.start("w1", slots=2)
    shop.happened("start", 1)
    shop.link.call("XGROUP", "DESTROY", shop.keys["default"], GROUP)
    [other] = shop.send("work", {"n": 2})
    wait_until(lambda: shop.stats.running == 1 and shop.stats.finished_total == 1, "the new group has handed it out")
    shop.open()
    figures = shop.settled()
    assert shop.count("start") == {1: 1, 2: 1}
    assert [shop.locate(each)["state"] for each in (running, other)] == ["finished", "finished"]
    assert (figures.finished_total, figures.fenced_total) == (2, 0)


def test_a_destroyed_group_loses_nothing(shop: Workshop) -> None:
    """A process that has no room is handed nothing again: what it runs and what it has buffered is lost, and runs anew."""
    worker = shop.start("w1", *SHORT, "--prefetch", "3")
    shop.send_numbered("ahold", [5])
    shop.happened("start", 5)
    shop.send_numbered("hold", [1])
    shop.send_numbered("work", [2, 3, 4])
    shop.happened("start", 1)
    wait_until(lambda: shop.stats.running >= 4, "two run and some are buffered")
    shop.link.call("XGROUP", "DESTROY", shop.keys["default"], GROUP)
    # One more may be on its way back just then: its hand-back is refused instead.
    wait_until(lambda: len(lost(worker.log)) >= 4, lambda: f"all are found to be lost\n{worker.log}")
    shop.open()
    figures = shop.settled()
    assert figures.finished_total == 5
    assert shop.count("end").keys() == {1, 2, 3, 4, 5}


def test_scripts_that_the_server_forgets_are_sent_again(shop: Workshop) -> None:
    """Under load; nothing is done twice."""
    shop.start("w1", processes=2, slots=2)
    shop.send_numbered("work", range(400), ms=1)
    for done in range(40, 400, 40):
        wait_until(lambda done=done: len(shop.lines("end")) >= done, f"{done} have run")  # type: ignore[misc]
        shop.link.call("SCRIPT", "FLUSH")
    figures = shop.settled()
    assert figures.finished_total == 400
    assert set(shop.count("start").values()) == {1}


def test_a_worker_outlives_an_emptied_server(shop: Workshop) -> None:
    """What it ran is gone with the rest, and refused; what is sent afterwards runs."""
    shop.send("hold", {"n": 1})
    shop.send("ahold", {"n": 2})
    worker = shop.start("w1", *SHORT, slots=2)
    shop.happened("start", 1)
    shop.happened("start", 2)
    shop.link.call("FLUSHALL")
    worker.said("will be refused")
    shop.open()
    ids = shop.send_numbered("work", [3, 4])
    wait_until(lambda: shop.stats.finished_total == 2, "what was sent afterwards has run")
    assert [shop.locate(each)["state"] for each in ids] == ["finished", "finished"]
    assert worker.stop() == 0


BURST = """
import time
from jobs import LOOK, app, is_open, note
from streamq import Context

@app.task
def burst(n: int, *, ctx: Context) -> None:
    note("start", n, ctx)
    while not is_open(n):
        time.sleep(LOOK)
    raise ValueError("burst")
"""


def holder(shop: Workshop) -> bytes | None:
    """The worker that holds the only task."""
    rows = shop.link.call("XPENDING", shop.keys["default"], GROUP, "-", "+", 1)
    return rows[0][1].partition(b"-")[0] if rows else None


def test_a_run_whose_task_came_back_to_it_counts_one_start(shop: Workshop) -> None:
    """Its process was halted past its lease and handed the task again: it keeps the run that it has, and dies of one delivery."""
    shop.module("bursting", BURST)
    [task] = shop.send("burst", {"n": 1}, max_deliveries=1)
    worker = shop.start("w1", "--lease", "1s", slots=2, tasks="bursting")
    shop.happened("start", 1)
    shop.start("w2", "--lease", "1s")  # which does not know the task
    wait_until(lambda: any(card.name == "w2" for card in shop.fleet.values()), "another worker lives")
    [child] = worker.children
    child.suspend()
    wait_until(lambda: shop.stats.reaped_total == 1, lambda: f"the task is taken from it\n{shop.logs}")
    child.resume()
    wait_until(lambda: holder(shop) == b"w1", f"it has the task again\n{shop.logs}")
    shop.open()
    shop.settled()
    assert shop.dead[task]["deliveries"] == 1
    assert shop.count("start") == {1: 1}
