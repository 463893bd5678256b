"""The supervisor: starts a worker's children, replaces those that die, ends those that are late, stops them in order.

It never sees a task's arguments. For a child that is gone it settles with that child's fence, by the slot table: what had
started is counted, what had not is handed back. Killed itself, its children die with it, and another worker recovers what they
held.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from streamq.errors import ServerUnreachable, StreamqError
from streamq.keys import QUEUES, Keys
from streamq.server.connect import TIMEOUT, Link
from streamq.server.patience import waiting
from streamq.server.reply import FULL
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
from streamq.worker.table import forget_old

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
        # Rung by signal handlers too, in which an Event may wait for itself for ever.
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._children: tuple[ChildProcess, ...] = ()
        self._suspects_due = 0
        self._signals = 0
        self._stopping = False
        #: Since when the grace time runs; None: what runs may take any time.
        self._grace_since: float | None = None
        self._failure: StreamqError | None = None
        self._standing = endpoint.standing()
        self._stillborn = 0
        self._budget = Budget.create(options.max_tasks) if options.max_tasks else None
        self._respawn = Respawn()
        self._progress = Progress()
        self._transitions = self._door("supervisor")
        lease = settings.worker.lease
        self._keeper = Keeper(self._door("keeper", timeout=min(TIMEOUT, lease / 4)), lease, lambda: self._children)
        self._reaper = Reaper(self._door("reaper"), lease, self._is_ours, self._note_suspects, self._note_known)
        self._drain = Drain(self._transitions, lease) if options.drain else None
        self._reloader = Reloader(Path.cwd(), self._reload) if options.reload else None

    def run(self) -> int:
        """Works until it is asked to stop, has drained the queue or used up its budget.

        Returns:
            The exit status: 1 where the queue cannot be drained; 0 also where it was asked to stop before that.

        Raises:
            StreamqError: it could not go on: no server, no such module.
        """
        forget_old()
        waiting(self._open, self._settings.server.wait, also=FULL)
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        parts = [part for part in (self._keeper, self._reaper, self._reloader) if part is not None]
        try:
            for part in parts:
                part.start()
            while not self._is_over():
                self._tick()
                self._wait()
        finally:
            self._end_all()
            for part in reversed(parts):
                part.stop()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._failure is not None:
            raise self._failure
        return self._exit_status()

    def _exit_status(self) -> int:
        drain, budget = self._drain, self._budget
        if (drain and drain.ended) or (budget and not budget.left()):
            return drain.exit_status if drain else 0
        if drain or budget:
            _log.warning("stopped before %s", "the queue was drained" if drain else "the budget of tasks was used up")
        return 0

    def _open(self) -> None:
        """Makes what the queue needs; a server whose memory is full refuses only what is not there yet."""
        self._transitions.open()
        link = self._transitions.link
        if not link.call("SISMEMBER", QUEUES, self._keys.queue):
            link.call("SADD", QUEUES, self._keys.queue)

    def _check_directory(self) -> None:
        """Gives up when the embedded server's directory was deleted: nobody else finds the server that this worker works on."""
        try:
            if self._standing is not None:
                self._standing.check()
        except StreamqError as error:
            self._standing = None
            _log.error("%s; stopping", error.what)
            self._give_up(error)

    def _stop(self) -> None:
        """Lets every child finish what it runs, and take nothing more."""
        if not self._stopping:
            self._stopping = True
            for child in self._children:
                child.stop()

    def _stop_within_grace(self) -> None:
        """Stops; what has not ended by the end of the grace time is handed back."""
        self._grace_since = self._grace_since or time.monotonic()
        self._stop()

    def _give_up(self, error: StreamqError) -> None:
        """Stops, because it cannot go on."""
        self._failure = self._failure or error
        self._stop_within_grace()

    def _wait(self) -> None:
        """Waits for a child that has something to say, for a signal, or until it is time to look."""
        with contextlib.suppress(queue.Empty):
            self._bell.get(timeout=TICK)
            while True:
                self._bell.get_nowait()

    def _ring(self) -> None:
        self._bell.put(None)

    def _reload(self, path: str) -> None:
        """Replaces every child by one that imports the tasks anew; each finishes what it runs."""
        _log.info("%s has changed: starting anew", path)
        self._respawn.changed()
        for child in self._children:
            child.stop()

    def _tick(self) -> None:
        self._check_directory()
        if self._signals and self._grace_since is None:
            grace = self._settings.worker.grace
            _log.info("stopping: %d running may finish within %g s; once more hands them back at once", self._running(), grace)
            self._stop_within_grace()
        for child in self._children:
            self._look_at(child)
        if self._stopping:
            if all(child.exit_status is not None for child in self._children):
                self._stop_within_grace()  # what is left is to settle for them, and a server that is away may never come back
            if self._is_hurried():
                self._hand_back_all()
            return
        self._spawn_missing()
        self._progress.tell([child.table.counters() for child in self._children], self._running())
        if any(child.ready and not child.going for child in self._children):
            self._keeper.wake()
        if self._is_spent():
            _log.info("the budget of %d tasks is used up", self._options.max_tasks)
            self._stop()
        elif self._drain is not None and self._drain.is_over():
            self._stop()

    def _look_at(self, child: ChildProcess) -> None:
        if child.exit_status is not None:
            self._take_leave(child)
        elif child.failed is not None and child.ready is not None:  # one that never was ready is about to end by itself
            self._give_up(_failure_of(child))
        elif overdue := aftermath.overdue(child):
            self._end_overdue(child, overdue)
        elif child.quarantine and child.spent:
            child.stop()

    def _is_spent(self) -> bool:
        """Whether the budget is used up and all that it was used for has started."""
        ordinary = [child for child in self._children if not child.quarantine]
        return self._budget is not None and bool(ordinary) and all(child.spent for child in ordinary)

    def _is_hurried(self) -> bool:
        """Whether what still runs has no more time."""
        since = self._grace_since
        return self._signals > 1 or (since is not None and time.monotonic() - since > self._settings.worker.grace)

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
        child = ChildProcess(self._settings, self._options.name, self._budget, self._ring, quarantine=quarantine)
        self._children = (*self._children, child)

    def _take_leave(self, child: ChildProcess) -> None:
        """Settles for a child that has ended, and forgets it; while the server is away it is kept, and looked at again."""
        if not child.mourned:
            child.mourned = True
            self._mourn(child)
        try:
            with self._keeper.lock:
                handed_back = aftermath.settle(self._transitions, child, self._options.name)
                self._forget(child)
        except StreamqError as error:
            if self._is_hurried():
                _log.error("process %d: what it held is left to other workers: %s", child.pid, error)
                self._give_up(error)
                with self._keeper.lock:
                    self._forget(child)
            elif not isinstance(error, (ServerUnreachable, *FULL)):
                raise
            return
        if self._budget is not None and not child.quarantine:
            self._budget.give_back(handed_back)

    def _mourn(self, child: ChildProcess) -> None:
        """Tells how a child ended, and what follows for the next one."""
        child.last_words()
        if child.failed is not None and self._options.reload and child.ready is None:
            _log.error("%s", child.failed.what)
            self._respawn.wait_for_change()
        elif child.failed is not None:
            self._give_up(_failure_of(child))
        elif child.crashed:
            why = aftermath.cause_of(child.exit_status or 0)
            _log.error("%s: process %d died (%s)", self._options.name, child.pid, why)
            if child.quarantine:  # more suspects may be due: the next one takes its place at once
                self._suspects_due = max(self._suspects_due, sum(each.quarantine for each in self._children))
            else:
                self._respawn.died(time.monotonic() - child.born, worked=child.table.counters().finished > 0)
                self._give_up_on_stillborn(child)

    def _give_up_on_stillborn(self, child: ChildProcess) -> None:
        """Ends the worker when its processes end before they ever worked: none of them could."""
        self._stillborn = 0 if child.ready else self._stillborn + 1
        if self._stillborn >= STILLBORN_MOST:
            what = f"the worker's processes end before they can work ({self._stillborn} one after another)"
            self._give_up(StreamqError(what, hint="their own messages above say why"))

    def _forget(self, child: ChildProcess) -> None:
        self._progress.keep(child.table.counters())
        self._children = tuple(other for other in self._children if other is not child)
        child.close()

    def _end_overdue(self, child: ChildProcess, overdue: list[aftermath.Row]) -> None:
        """Kills first and settles then: the late runs failed by timeout, what else the child held is handed back."""
        child.kill()
        child.overdue = overdue
        for row in overdue:
            _log.error("%s %s: ran longer than its limit; process %d was ended and is replaced", row.task, row.address, child.pid)
        self._take_leave(child)

    def _hand_back_all(self) -> None:
        for child in self._children:
            running = len(child.table.rows())
            if child.exit_status is None and running:
                _log.warning(
                    "%s: process %d handed back %d running task%s", self._options.name, child.pid, running, "s" * (running != 1)
                )
            child.kill()
        for child in self._children:
            self._take_leave(child)

    def _end_all(self) -> None:
        """Leaves no child behind, whatever ended the loop."""
        if self._children:
            self._stop()
            self._signals = max(2, self._signals)
            self._hand_back_all()

    def _is_over(self) -> bool:
        return self._stopping and not self._children

    def _is_ours(self, consumer: str) -> bool:
        return any(child.consumer == consumer for child in self._children)

    def _note_suspects(self, due: int) -> None:
        self._suspects_due = due
        if due:
            self._ring()

    def _note_known(self, tasks: frozenset[str]) -> None:
        for child in self._children:
            if child.going:
                child.tell(tasks)

    def _running(self) -> int:
        return sum(len(child.table.rows()) for child in self._children)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        self._ring()

    def _door(self, duty: str, timeout: float = TIMEOUT) -> Transitions:
        link = Link(self._endpoint, timeout=timeout, name=f"streamq-{duty}-{self._options.name}")
        return Transitions(link, self._keys, history=self._settings.worker.history)


def _failure_of(child: ChildProcess) -> StreamqError:
    failed = child.failed
    assert failed is not None  # noqa: S101 - asked before
    error = StreamqError(failed.what, hint=failed.hint)
    error.exit_status = failed.exit_status
    return error
