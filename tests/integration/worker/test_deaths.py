"""Processes of a worker that end by themselves: settled for, replaced, and never left half alive."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_until
from tests.workshop import HANG, Workshop


@pytest.mark.parametrize("how", ["kill", "segv", "1", "0"])
def test_a_task_that_ends_its_process_is_bounded(shop: Workshop, how: str) -> None:
    """Started exactly as often as its limit says, whatever the process's exit status; then a dead letter that says so."""
    [poison] = shop.send("die", {"n": 1, "how": how}, max_deliveries=3)
    [innocent] = shop.send("work", {"n": 2})
    worker = shop.start()
    shop.settled()
    assert shop.count("start")[1] == 3, worker.log
    letter = shop.dead[poison]
    assert (letter["reason"], letter["deliveries"], len(letter["attempts"])) == ("deliveries", 3, 3)
    assert all("worker process died" in attempt["error"] for attempt in letter["attempts"])
    assert shop.locate(innocent)["state"] == "finished"


def test_a_killed_child_is_replaced_and_its_started_task_runs_again(shop: Workshop) -> None:
    """What it had started counts as a crash; what it had only been handed does not."""
    started, waiting = shop.send("hold", {"n": 1}, {"n": 2})
    worker = shop.start("w1", "--prefetch", "5")
    shop.happened("start", 1)
    wait_until(lambda: shop.stats.running == 2, "both have been handed out")
    [child] = worker.children
    child.kill()
    shop.open()
    shop.settled()
    assert [line.delivery for line in shop.lines("start", 1)] == [1, 2]
    assert [line.delivery for line in shop.lines("start", 2)] == [1]
    assert shop.locate(started)["deliveries"] == 2
    assert shop.locate(waiting)["attempts"] == []
    assert f"process {child.pid} died (killed by SIGKILL)" in worker.log
    assert worker.stop() == 0


def test_a_failure_whose_process_dies_before_it_is_settled_counts(shop: Workshop) -> None:
    """Here its backoff, which is asked between the two, ends the process: it starts as often as its limit says, not for ever."""
    shop.module(
        "deadly",
        "import os, signal\n"
        "from jobs import app, note, Context\n"
        "class Deadly:\n"
        "    def delay(self, failures):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "@app.task(backoff=Deadly())\n"
        "def deadly(n: int, *, ctx: Context) -> None:\n"
        "    note('start', n, ctx)\n"
        "    raise ValueError(n)\n",
    )
    [task] = shop.send("deadly", {"n": 1}, max_deliveries=3)
    worker = shop.start("w1", tasks="deadly")
    shop.settled()
    assert [line.delivery for line in shop.lines("start")] == [1, 2, 3], worker.log
    assert (shop.dead[task]["reason"], shop.dead[task]["deliveries"]) == ("error", 3)


def test_of_a_worker_that_is_killed_whole_what_had_not_started_is_not_counted(shop: Workshop) -> None:
    """Its table outlives it: whoever recovers its tasks on this machine reads there what had started."""
    ids = shop.send_numbered("hold", range(6))
    first = shop.start("w1", "--prefetch", "5")
    shop.happened("start", 0)
    wait_until(lambda: shop.stats.running == 6, "all have been handed out")
    tables = {card.table for card in shop.fleet.values()}
    first.kill()
    shop.open()
    shop.start("w2")
    figures = shop.settled()
    assert (figures.failed_total, figures.reaped_total) == (1, 6)
    assert [len(shop.locate(each)["attempts"]) for each in ids] == [1, 0, 0, 0, 0, 0]
    assert [shop.locate(each)["deliveries"] for each in ids] == [2, 1, 1, 1, 1, 1]
    assert not any(Path(table).exists() for table in tables)


def test_without_their_supervisor_children_end_at_once(shop: Workshop) -> None:
    """Also one whose interpreter is held, and one that is stopped; another worker has their tasks again."""
    shop.send("grip", {"n": 1, "ms": 60_000})
    shop.send("hold", {"n": 2})
    first = shop.start("w1", processes=2)
    shop.happened("start", 1)
    shop.happened("start", 2)
    stopped = shop.lines("start", 2)[0].pid
    [child] = [each for each in first.children if each.pid == stopped]
    child.suspend()
    first.signal(signal.SIGKILL)
    first.ended()
    wait_until(lambda: not shop.left, "its children have ended", HANG)
    shop.open()
    shop.start("w2", processes=2)
    shop.happened("end", 2)
    shop.happened("start", 1, times=2)


def test_a_child_that_keeps_dying_is_restarted_more_and_more_slowly(shop: Workshop) -> None:
    """The pauses stand in the ledger: the first replacement comes at once, later ones wait."""
    shop.send_numbered("die", range(4), {"max_deliveries": 1}, how="kill")
    shop.start()
    shop.settled()
    times = [line.at for line in shop.lines("start")]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses[1] > 0.5
    assert pauses[2] > pauses[1]


def test_a_module_that_cannot_be_imported_is_one_error(shop: Workshop) -> None:
    """Exit status 2, whatever is wrong with it, and however many processes found it."""
    shop.module("broken", "import streamq\nraise RuntimeError('half done')\n")
    shop.module("empty", "")
    shop.module("quitting", "import sys; sys.exit()")
    shop.module("typo", "import strramq\n")
    for module, said in {
        "broken": "module broken cannot be imported: RuntimeError: half done",
        "empty": "module empty holds no App",
        "quitting": "module quitting cannot be imported: SystemExit",
        "typo": "module typo cannot be imported: No module named 'strramq'",
        "absent": "no module named absent",
        "jobs.py": "--tasks takes the name of a module, not of a file: jobs.py",
    }.items():
        worker = shop.start(module.replace(".", "-"), processes=2, tasks=module)
        assert worker.ended() == 2, worker.log
        assert worker.log.count(said) == 1, worker.log
        assert worker.log.count("streamq: error:") == 1
        assert "Traceback" not in worker.log


@pytest.mark.parametrize("line", ["import os; os._exit(0)", "import os; os.kill(os.getpid(), 9)"])
def test_processes_that_end_before_they_work_are_given_up_on(shop: Workshop, line: str) -> None:
    """With exit status 1 and a sentence; not started again for ever."""
    shop.module("dying", line + "\n")
    worker = shop.start(tasks="dying")
    assert worker.ended() == 1, worker.log
    assert "processes end before they can work" in worker.log


def test_what_a_process_said_last_is_heard_though_its_end_is_seen_first(shop: Workshop) -> None:
    """Here the supervisor is held still while its children say why they cannot start, and end."""
    shop.module(
        "failing",
        "from jobs import note, is_open, time, LOOK\n"
        "note('start', 0)\n"
        "while not is_open(0):\n"
        "    time.sleep(LOOK)\n"
        "raise RuntimeError('half done')\n",
    )
    worker = shop.start(processes=3, tasks="failing")
    wait_until(lambda: len(shop.lines("start")) == 3, "three processes import the tasks")
    children = worker.children
    worker.signal(signal.SIGSTOP)
    shop.open(0)
    wait_until(lambda: all(child.status() == psutil.STATUS_ZOMBIE for child in children), "they have ended")
    worker.signal(signal.SIGCONT)
    assert worker.ended() == 2
    assert "died" not in worker.log
    assert worker.log.count("module failing cannot be imported: RuntimeError: half done") == 1


def test_a_grandchild_that_lives_on_hides_nothing(shop: Workshop) -> None:
    """A process that a handler forked has its parent's connection to the supervisor; the parent's death is seen all the same."""
    shop.module(
        "forking",
        "import os, signal, time\n"
        "from jobs import app, note, is_open, Context\n"
        "@app.task\n"
        "def leave(n: int, *, ctx: Context) -> None:\n"
        "    note('start', n, ctx)\n"
        "    if os.fork() == 0:\n"
        "        while not is_open(n):\n"
        "            time.sleep(0.01)\n"
        "        os._exit(0)\n"
        "    if ctx.delivery == 1:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    shop.send("leave", {"n": 1})
    worker = shop.start(tasks="forking")
    shop.happened("start", 1, times=2)
    shop.settled()
    assert worker.stop() == 0
    shop.open()


def test_a_bug_in_the_worker_itself_is_a_crash(shop: Workshop) -> None:
    """Here a backoff of the user's that raises: the task ends as a failure or a crash, bounded, and the worker works on."""
    shop.module(
        "odd",
        "from jobs import app, note, Context\n"
        "class Odd:\n"
        "    def delay(self, failures):\n"
        "        raise RuntimeError('no delay')\n"
        "@app.task(backoff=Odd(), timeout=5)\n"
        "def odd(n: int, *, ctx: Context) -> None:\n"
        "    note('start', n, ctx)\n"
        "    raise ValueError(n)\n"
        "@app.task(backoff=Odd())\n"
        "def odd_too(n: int, *, ctx: Context) -> None:\n"
        "    note('start', n, ctx)\n"
        "    raise ValueError(n)\n",
    )
    shop.send("odd", {"n": 1}, max_deliveries=2)
    shop.send("odd_too", {"n": 2}, max_deliveries=2)
    worker = shop.start(tasks="odd")
    wait_until(lambda: len(shop.dead) == 2, lambda: f"both are dead letters\n{worker.log}", HANG)
    [good] = shop.send("work", {"n": 3})
    shop.settled()
    assert shop.locate(good)["state"] == "finished"
