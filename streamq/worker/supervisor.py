"""The supervisor: starts a worker's children, replaces those that die, ends those that are late, stops them in order.

It never sees a task's arguments. For a child that is gone it settles with that child's fence, by the slot table: what had
started is counted, what had not is handed back. Killed itself, its children die with it, and another worker recovers what they
held.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from streamq.errors import StreamqError
from streamq.keys import QUEUES, Keys
from streamq.server.connect import Link
from streamq.server.patience import waiting
from streamq.transitions import Transitions
from streamq.worker import aftermath
from streamq.worker.budget import Budget
from streamq.worker.drain import Drain
from streamq.worker.keeper import Keeper
from streamq.worker.progress import Progress
from streamq.worker.reaper import Reaper
from streamq.worker.reload import Reloader
from streamq.worker.respawn import Respawn
from streamq.worker.spawn import ChildProcess

if TYPE_CHECKING:
    from types import FrameType

    from streamq.config import Settings
    from streamq.server.endpoint import Endpoint

_log = logging.getLogger("streamq.worker")

#: How often children and deadlines are looked at, in seconds.
TICK: Final = 0.1
#: So many children in a row that end before they have worked are given up on.
STILLBORN_MOST: Final = 5


class Options(NamedTuple):
    """What only one run of a worker is asked."""

    name: str
    processes: int
    drain: bool = False
    max_tasks: int | None = None
    reload: bool = False


class Supervisor:
    """A worker.

    Args:
        settings: what it runs by.
        endpoint: the server.
        options: name, processes, when to end.
    """

    def __init__(self, settings: Settings, endpoint: Endpoint, options: Options) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._options = options
        self._keys = Keys(settings.queue.name)
        self._wake = threading.Event()
        self._children: tuple[ChildProcess, ...] = ()
        self._suspects_due = 0
        self._stopping_since: float | None = None
        self._signals = 0
        self._stillborn = 0
        self._failure: StreamqError | None = None
        self._budget = Budget.create(options.max_tasks) if options.max_tasks else None
        self._respawn = Respawn()
        self._progress = Progress()
        self._transitions = self._door("supervisor")
        lease = settings.worker.lease
        self._keeper = Keeper(self._door("keeper"), lease, lambda: self._children)
        self._reaper = Reaper(self._door("reaper"), lease, self._is_ours, self._note_suspects)
        self._drain = Drain(self._transitions) if options.drain else None
        self._reloader = Reloader(Path.cwd(), self._reload) if options.reload else None

    def run(self) -> int:
        """Works until it is asked to stop, has drained the queue or used up its budget.

        Returns:
            The exit status.

        Raises:
            StreamqError: it could not go on: no server, no such module.
        """
        patience = self._settings.server.wait
        waiting(self._transitions.open, patience)
        self._transitions.link.call("SADD", QUEUES, self._keys.queue)
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        self._keeper.start()
        self._reaper.start()
        if self._reloader is not None:
            self._reloader.start()
        try:
            while not self._is_over():
                self._tick()
                self._wake.wait(TICK)
                self._wake.clear()
        finally:
            self._end_all()
            if self._reloader is not None:
                self._reloader.stop()
            self._reaper.stop()
            self._keeper.stop()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._failure is not None:
            raise self._failure
        return self._drain.exit_status if self._drain is not None else 0

    def stop(self) -> None:
        """Lets every child finish what it runs, within the grace time."""
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
            for child in self._children:
                child.stop()
            self._wake.set()

    def _reload(self, path: str) -> None:
        """Replaces every child by one that imports the tasks anew; each finishes what it runs."""
        _log.info("%s has changed: starting anew", path)
        self._respawn.changed()
        for child in self._children:
            child.stop()

    def _tick(self) -> None:
        for child in self._children:
            if child.exit_status is not None:
                self._take_leave(child)
            elif overdue := aftermath.overdue(child):
                self._end_overdue(child, overdue)
            elif child.quarantine and child.spent:
                child.stop()
        if self._stopping_since is not None:
            if self._signals > 1 or time.monotonic() - self._stopping_since > self._settings.worker.grace:
                self._hand_back_all()
            return
        self._spawn_missing()
        self._progress.tell([child.table.counters() for child in self._children], self._running())
        if any(child.ready and not child.going for child in self._children):
            self._keeper.wake()
        if self._budget is not None and any(child.spent and not child.quarantine for child in self._children):
            _log.info("the budget of %d tasks is used up", self._options.max_tasks)
            self.stop()
        elif self._drain is not None and self._drain.is_over():
            self.stop()

    def _spawn_missing(self) -> None:
        ordinary = sum(not child.quarantine for child in self._children)
        for _ in range(ordinary, self._options.processes):
            if not self._respawn.is_due():
                break
            self._start_child()
        quarantined = sum(child.quarantine for child in self._children)
        if self._suspects_due > quarantined and quarantined < self._options.processes:
            self._suspects_due = 0
            self._start_child(quarantine=True)

    def _start_child(self, *, quarantine: bool = False) -> None:
        budget = self._budget
        child = ChildProcess(self._settings, self._options.name, budget, self._wake.set, quarantine=quarantine)
        self._children = (*self._children, child)

    def _take_leave(self, child: ChildProcess) -> None:
        """Settles for a child that has ended by itself, and forgets it."""
        status = child.exit_status
        assert status is not None  # noqa: S101 - asked before
        if child.failed is not None and not self._options.reload:
            self._failure = self._failure or _failure_of(child)
            self.stop()
        elif child.failed is not None:
            _log.error("%s", child.failed.what)
            self._respawn.wait_for_change()
        crashed = status != 0
        if crashed and child.failed is None:
            why = aftermath.cause_of(status)
            _log.error("%s: process %d died (%s)", self._options.name, child.pid, why)
            if not child.quarantine:
                self._respawn.died(time.monotonic() - child.born)
                self._give_up_on_stillborn(child)
        self._settle_for(child, crashed=crashed)

    def _give_up_on_stillborn(self, child: ChildProcess) -> None:
        """Ends the worker when its processes end before they ever worked: none of them could."""
        self._stillborn = 0 if child.ready else self._stillborn + 1
        if self._stillborn >= STILLBORN_MOST:
            self._failure = StreamqError(
                f"the worker's processes end before they can work ({self._stillborn} one after another)",
                hint="their own messages above say why",
            )
            self.stop()

    def _settle_for(self, child: ChildProcess, *, crashed: bool) -> None:
        waiting(
            lambda: aftermath.settle(self._transitions, child, crashed=crashed),
            self._settings.worker.patience if self._stopping_since is None else self._settings.worker.grace,
        )
        self._progress.keep(child.table.counters())
        self._children = tuple(other for other in self._children if other is not child)
        child.close()

    def _end_overdue(self, child: ChildProcess, overdue: list[aftermath.Row]) -> None:
        """Kills first and settles then: the late runs failed by timeout, what else the child held is handed back."""
        child.kill()
        for row in overdue:
            _log.error("%s %s: ran longer than its limit; process %d was ended and is replaced", row.task, row.address, child.pid)
        waiting(lambda: aftermath.time_out(self._transitions, child, self._options.name, overdue), self._settings.worker.patience)
        self._settle_for(child, crashed=False)

    def _hand_back_all(self) -> None:
        for child in self._children:
            running = len(child.table.rows())
            child.kill()
            if running:
                _log.warning(
                    "%s: process %d handed back %d running task%s", self._options.name, child.pid, running, "s" * (running != 1)
                )
            self._settle_for(child, crashed=False)

    def _end_all(self) -> None:
        """Leaves no child behind, whatever ended the loop."""
        for child in self._children:
            child.kill()
        for child in self._children:
            self._settle_for(child, crashed=False)

    def _is_over(self) -> bool:
        return self._stopping_since is not None and not self._children

    def _is_ours(self, consumer: str) -> bool:
        return any(child.consumer == consumer for child in self._children)

    def _note_suspects(self, due: int) -> None:
        self._suspects_due = due
        if due:
            self._wake.set()

    def _running(self) -> int:
        return sum(len(child.table.rows()) for child in self._children)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals == 1:
            grace = self._settings.worker.grace
            _log.info("stopping: %d running may finish within %g s; once more hands them back at once", self._running(), grace)
            self.stop()
        self._wake.set()

    def _door(self, duty: str) -> Transitions:
        link = Link(self._endpoint, name=f"streamq-{duty}-{self._options.name}")
        return Transitions(link, self._keys, history=self._settings.worker.history)


def _failure_of(child: ChildProcess) -> StreamqError:
    failed = child.failed
    assert failed is not None  # noqa: S101 - asked before
    error = StreamqError(failed.what, hint=failed.hint)
    error.exit_status = failed.exit_status
    return error
