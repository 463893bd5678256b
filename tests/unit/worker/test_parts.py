"""The small parts of a worker: how deep it buffers, how many tasks it may start, when it replaces, how long a failure pauses."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from streamq import backoff
from streamq.config import load
from streamq.definition import TaskDefinition
from streamq.replies import Remains
from streamq.worker.aftermath import cause_of
from streamq.worker.budget import Budget
from streamq.worker.drain import Drain
from streamq.worker.pauses import Pauses
from streamq.worker.prefetch import MOST, SOON, STALLED, Prefetch
from streamq.worker.respawn import Respawn
from streamq.worker.run import ServerClock

# The buffer


def test_nothing_is_buffered_until_something_is_known() -> None:
    """The first tasks may take an hour each."""
    assert Prefetch().depth(False, 8) == 0


def test_the_buffer_is_as_deep_as_the_run_times_allow() -> None:
    """What is in it is expected to start within 50 ms; long runs leave no room for one, tiny ones a bounded one."""
    for seconds, depth in ((2**-10, int(4 * SOON * 2**10)), (10.0, 0), (1e-9, MOST)):
        prefetch = Prefetch()
        prefetch.note(["a"] * 10, [seconds] * 10)
        assert prefetch.depth(False, 4) == depth


def test_slow_runs_weigh_at_once_and_fast_ones_by_and_by() -> None:
    """One slow group after many fast ones takes the buffer away; it takes many fast ones to bring it back."""
    prefetch = Prefetch()
    prefetch.note(["a"] * 100, [0.001] * 100)
    deep = prefetch.depth(False, 4)
    prefetch.note(["a"], [1.0])
    assert prefetch.depth(False, 4) == 0
    groups = 0
    while prefetch.depth(False, 4) < deep // 2:
        prefetch.note(["a"] * 100, [0.001] * 100)
        groups += 1
    assert groups > 10


def test_a_stalled_buffer_is_not_filled_again() -> None:
    """Where nothing ends nothing is measured, and what waits is all that can be seen of a slow run."""
    prefetch = Prefetch()
    prefetch.note(["a"] * 100, [0.001] * 100)
    prefetch.stall(False)
    assert prefetch.depth(False, 4) == int(4 * SOON / STALLED) == 0


def test_a_depth_that_was_asked_for_stands() -> None:
    """Whatever was measured."""
    prefetch = Prefetch(7)
    prefetch.note(["a"], [10.0])
    assert prefetch.depth(False, 4) == 7
    assert prefetch.keep(False, ["a"] * 7, Two([])) == 7


class Two(NamedTuple):
    """Two slots, and what waits for them."""

    names: list[str]
    slots: int = 2

    def load(self) -> int:
        """Both slots are taken."""
        return self.slots + len(self.names)

    def buffered(self) -> int:
        """How many."""
        return len(self.names)

    def waiting(self) -> list[str]:
        """Their names."""
        return self.names


def known(**seconds: float) -> Prefetch:
    """A buffer that has measured tasks, and last of all a thousand tiny ones."""
    prefetch = Prefetch()
    for name, each in seconds.items():
        prefetch.note([name] * 10, [each] * 10)
    for _ in range(100):
        prefetch.note(["tiny"] * 100, [1e-5] * 100)
    return prefetch


@pytest.mark.parametrize(
    ("names", "ahead", "kept"),
    [
        (["tiny"] * 1000, [], 1000),
        (["long"] * 10, [], 2),  # one a slot: nothing is known of what runs, it may end at any time
        (["long"] * 10, ["tiny"] * 100, 2),
        (["tiny"] * 10, ["long"], 10),
        (["tiny"] * 10, ["long"] * 2, 0),
        (["tiny"] * 100 + ["long"] * 3 + ["tiny"] * 100, [], 102),  # both slots are taken then
        (["tiny", "long"] + ["tiny"] * 900, [], 902),  # the other slot does the rest
        (["unknown"] * 10, [], 2),
        ([], ["tiny"], 0),
    ],
)
def test_what_would_start_too_late_is_not_kept(names: list[str], ahead: list[str], kept: int) -> None:
    """By the run times of each name on two slots, in order."""
    assert known(long=1.0).keep(False, names, Two(ahead)) == kept


def test_who_had_to_hand_back_asks_for_less() -> None:
    """Else it would take the same tasks again and again."""
    prefetch = known(long=1.0)
    assert prefetch.depth(False, 2) == MOST
    prefetch.keep(False, ["long"] * 100, Two([]))
    assert prefetch.depth(False, 2) == 0


# The budget


def test_a_budget_is_used_exactly_by_processes_that_race_for_it() -> None:
    """Four processes take one by one from 1000; one of them is killed in the middle, and its lock is nobody's."""
    budget = Budget.create(1000)
    code = (
        "import sys; from streamq.worker.budget import Budget\n"
        "b = Budget(int(sys.argv[1])); n = 0\n"
        "while b.use():\n"
        "    n += 1\n"
        "    if sys.argv[2] == 'die' and n == 10: import os; print(n, flush=True); os.kill(os.getpid(), 9)\n"
        "print(n)"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(budget.fd), how], pass_fds=[budget.fd], stdout=subprocess.PIPE, text=True
        )
        for how in ("live", "die", "live", "live")
    ]
    used = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sum(used) == 1000
    assert racers[1].returncode == -signal.SIGKILL or used[1] < 10
    assert (budget.left(), budget.use()) == (0, False)
    budget.give_back(2)
    assert (budget.left(), budget.use(), budget.use(), budget.use()) == (2, True, True, False)
    os.close(budget.fd)


# Replacing


def test_a_child_that_dies_is_replaced_at_once_and_one_that_keeps_dying_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses double up to a bound; a child that had worked, or lived, ends the series."""
    clock = Clock(monkeypatch)
    again = Respawn()
    assert again.is_due()
    pauses = []
    for _ in range(10):
        again.died(0.1, worked=False)
        pauses.append(clock.until(again.is_due))
    assert pauses[:4] == pytest.approx([0, 0.5, 1, 2])
    assert pauses[-1] == pytest.approx(30)
    for age, worked in ((0.1, True), (100, False)):
        again.died(age, worked=worked)
        again.died(0.1, worked=False)
        assert clock.until(again.is_due) == 0


def test_nothing_is_replaced_before_a_change_where_that_would_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes."""
    clock = Clock(monkeypatch)
    again = Respawn()
    again.wait_for_change()
    clock.now += 1e9
    assert not again.is_due()
    again.changed()
    assert again.is_due()


class Clock:
    """The time that `respawn` sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("streamq.worker.respawn.time.monotonic", lambda: self.now)

    def until(self, is_due: Any) -> float:
        """Let time pass until something is due; returns how much that was, in steps of half a second."""
        since = self.now
        while not is_due():
            self.now += 0.5
        return self.now - since


def test_a_thread_of_the_worker_that_fails_takes_its_process_with_it() -> None:
    """Whatever else runs there; what had been printed is not lost, and the traceback tells where it was."""
    code = (
        "import threading; from streamq.worker.part import Part\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "print('printed')\n"
        "def fail(): raise ValueError('a bug')\n"
        "Part(fail, 'fetcher').start(); threading.Event().wait()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "printed\n")
    assert "the thread fetcher" in ended.stderr
    assert "ValueError: a bug" in ended.stderr


# Pauses


class Odd:
    """A backoff of somebody's own."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def delay(self, deliveries: int) -> Any:
        """What it was made to say."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [RuntimeError("no"), -1, math.nan, math.inf, "soon", None])
def test_a_backoff_that_fails_is_replaced_by_the_configured_one(answer: object) -> None:
    """One that raises, or answers what is no duration."""
    settings = load(cwd="/", environ={"STREAMQ_WORKER__BACKOFF__JITTER": "false"})
    pauses = Pauses(settings).of(TaskDefinition(lambda: None, name="odd", backoff=Odd(answer)))
    assert [pauses.delay(n) for n in (1, 2, 3)] == [1, 2, 4]


def test_a_backoff_of_its_own_goes_before_the_configured_one() -> None:
    """Given as seconds or as text."""
    settings = load(cwd="/", environ={})
    for own in (backoff.constant("2m"), Odd(120), Odd("2m")):
        assert Pauses(settings).of(TaskDefinition(lambda: None, name="own", backoff=own)).delay(1) == 120


# Draining


@pytest.mark.parametrize(
    ("left", "over", "status"),
    [
        (Remains(0, 0, 0, 0, 0, 0, paused=False), True, 0),
        (Remains(0, 0, 0, 0, 0, 0, paused=True), True, 0),
        (Remains(1, 0, 0, 0, 0, 0, paused=False), False, 0),
        (Remains(0, 0, 1, 0, 0, 0, paused=False), False, 0),
        (Remains(0, 0, 0, 0, 1, 0, paused=False), False, 0),
        (Remains(0, 0, 2, 1, 0, 0, paused=False), False, 0),
        (Remains(1, 0, 2, 2, 0, 0, paused=False), False, 0),
        (Remains(1, 0, 0, 0, 0, 0, paused=True), True, 1),
        (Remains(0, 0, 1, 0, 0, 0, paused=True), True, 1),
        (Remains(0, 0, 0, 0, 1, 0, paused=True), True, 1),
    ],
)
def test_a_drain_is_over_when_nothing_will_change(left: Remains, over: bool, status: int) -> None:  # noqa: FBT001
    """Drained, or given up on; what runs somewhere is waited for in any case."""
    for running in (0, 1):
        drain = Drain(Seen(left._replace(running=running)), 30.0)  # type: ignore[arg-type]
        assert drain.is_over() == (over and not running)
        assert drain.exit_status == (0 if running else status)


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (0, "drained: nothing is left to do"),
        (1, "drained: nothing is left to do now; 1 task is scheduled for later"),
        (2, "drained: nothing is left to do now; 2 tasks are scheduled for later"),
    ],
)
def test_a_drain_says_what_stays_scheduled(later: int, words: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is drained all the same."""
    caplog.set_level("INFO", "streamq.worker")
    drain = Drain(Seen(Remains(0, 0, 0, 0, 0, later, paused=False)), 30.0)  # type: ignore[arg-type]
    assert drain.is_over()
    assert drain.exit_status == 0
    assert caplog.messages == [words]


class Seen:
    """A queue of which this much is left."""

    def __init__(self, left: Remains) -> None:
        self.remains = lambda: left


# Time and ends


def test_the_servers_clock_is_carried_on_between_its_replies() -> None:
    """From what it said last, by this process's own clock."""
    clock = ServerClock()
    clock.set(5_000_000)
    assert 5_000_000 <= clock.ms() < 5_010_000


@pytest.mark.parametrize(
    ("status", "words"), [(0, "exit status 0"), (3, "exit status 3"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")]
)
def test_an_end_is_told_in_words(status: int, words: str) -> None:
    """As an operator would look for it."""
    assert cause_of(status) == words
