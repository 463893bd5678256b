"""Wakes whoever waits for tasks to end: threads and coroutines alike, and none of them asks Redis again and again.

One thread of the process follows the queue's history of endings, blocked on the server; another looks up, many in a packet, what
has become of the tasks that are waited for. The order makes it free of races: first the place in the history is taken, then a
task is looked up; what ends later is seen. Where endings may have been missed (the history is bounded, a server may restart)
everything that is waited for is looked up again. Both threads end when nobody waits any more. Used by `job.py`.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import queue
import threading
import time
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING

from streamq import browse
from streamq.errors import ServerUnreachable
from streamq.history import Follower
from streamq.server.connect import Link
from streamq.server.patience import waiting
from streamq.transitions import Transitions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamq.browse import Record
    from streamq.history import Ending
    from streamq.queue import Queue

#: How long a read of the history blocks, and how long the other thread idles before it ends, in seconds.
_BLOCK, _IDLE = 1.0, 5.0
#: How often, in seconds, some of the tasks are looked up all the same.
_QUIET = 5.0
#: Most tasks that are looked up in one go.
_MOST = 500


class Waiters:
    """Those who wait for tasks of one queue. Any thread may use it, after a fork too.

    Args:
        tasks: the queue.
    """

    def __init__(self, tasks: Queue) -> None:
        self._tasks = tasks
        self._start_over()

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        #: Ids that are waited for, and by whom. Guarded by the lock, as are the two threads.
        self._waiting: dict[str, list[Future[Record]]] = {}
        #: How some of them ended, as the history told; they are about to be looked up.
        self._told: dict[str, Ending] = {}
        self._finder: threading.Thread | None = None
        self._follower: threading.Thread | None = None
        #: Ids to look up.
        self._asked: queue.SimpleQueue[str] = queue.SimpleQueue()

    def add(self, task_id: str) -> Future[Record]:
        """Return what will hold the task's record once it has ended; an error where the server is away for too long.

        A task of which nothing is known has the state `unknown` in its record.
        """
        if self._pid != os.getpid():
            self._start_over()
        future: Future[Record] = Future()
        with self._lock:
            self._waiting.setdefault(task_id, []).append(future)
            if self._finder is None:
                self._finder = threading.Thread(target=self._find, name=f"streamq-find-{self._tasks.name}", daemon=True)
                self._finder.start()
        self._asked.put(task_id)
        return future

    def forget(self, task_id: str, future: Future[Record]) -> None:
        """Give up waiting."""
        with self._lock:
            futures = self._waiting.get(task_id, [])
            if future in futures:
                futures.remove(future)
            if not futures:
                self._waiting.pop(task_id, None)

    def close(self) -> None:
        """Fail whoever still waits; both threads end by themselves."""
        if self._pid == os.getpid():
            self._fail(ServerUnreachable("the connection to the queue was closed while a task was waited for"))

    def _find(self) -> None:
        """The thread that looks tasks up."""
        link = self._link("find")
        transitions = Transitions(link, self._tasks.keys)
        try:
            while ids := self._next_ids():
                try:
                    self._follow()
                    find = functools.partial(browse.find, transitions, ids, max_deliveries=1)
                    self._wake(waiting(find, self._tasks.wait))
                except Exception as error:  # noqa: BLE001 - it is raised where somebody waits; nobody may wait for ever
                    self._fail(error)
        finally:
            link.close()

    def _next_ids(self) -> list[str]:
        """Some ids to look up, waited for; none: nobody waits for anything any more."""
        while True:
            try:
                ids = [self._asked.get(timeout=_IDLE)]
            except queue.Empty:
                with self._lock:
                    if self._waiting or not self._asked.empty():
                        continue
                    self._finder = None
                    return []
            with contextlib.suppress(queue.Empty):
                while len(ids) < _MOST:
                    ids.append(self._asked.get_nowait())
            with self._lock:
                ids = [each for each in dict.fromkeys(ids) if each in self._waiting]
            if ids:
                return ids

    def _follow(self) -> None:
        """Make sure that the history is followed, from a place in it that lies before the look-up."""
        with self._lock:
            if self._follower is not None or not self._waiting:
                return
        link = self._link("follow")
        follower = waiting(functools.partial(Follower, link, self._tasks.keys), self._tasks.wait)
        name = f"streamq-follow-{self._tasks.name}"
        thread = threading.Thread(target=self._read, args=(link, follower), name=name, daemon=True)
        with self._lock:
            self._follower = thread
        thread.start()

    def _read(self, link: Link, follower: Follower) -> None:
        """The thread that follows the history."""
        looked = time.monotonic()
        try:
            while self._is_followed():
                try:
                    endings, whole = follower.wait(_BLOCK)
                except ServerUnreachable:
                    follower = waiting(functools.partial(Follower, link, self._tasks.keys), self._tasks.wait)
                    endings, whole = [], False
                if whole and time.monotonic() - looked >= _QUIET:
                    looked = time.monotonic()
                    self._ask(self._some())
                self._ask(self._told_of(endings, whole=whole))
        except Exception as error:  # noqa: BLE001 - see _find
            with self._lock:
                self._follower = None
            self._fail(error)
        finally:
            link.close()

    def _is_followed(self) -> bool:
        """Whether the history is still to be followed: somebody waits."""
        with self._lock:
            if not self._waiting:
                self._follower = None
            return self._follower is not None

    def _told_of(self, endings: Iterable[Ending], *, whole: bool) -> list[str]:
        """Which of the tasks that are waited for are to be looked up after these endings."""
        with self._lock:
            ended = {ending.id: ending for ending in endings if ending.id in self._waiting}
            self._told |= ended
            return list(ended) if whole else list(self._waiting)

    def _some(self) -> list[str]:
        """Some of those that are waited for, others each time: so one is found that vanished without an ending."""
        with self._lock:
            some = list(itertools.islice(self._waiting, _MOST))
            for task_id in some:
                self._waiting[task_id] = self._waiting.pop(task_id)
            return some

    def _ask(self, ids: Iterable[str]) -> None:
        for task_id in ids:
            self._asked.put(task_id)

    def _wake(self, records: Iterable[Record]) -> None:
        """Give those that ended, and those that nobody knows, to whoever waits for them."""
        for record in records:
            with self._lock:
                told = self._told.pop(record.id, None)
                if record.state == "unknown" and told is not None:
                    browse.take_ending(record, told)  # the history has dropped its line meanwhile
                futures = self._waiting.pop(record.id, []) if record.ended or record.state == "unknown" else []
            for future in futures:
                with contextlib.suppress(InvalidStateError):  # cancelled meanwhile
                    future.set_result(record)

    def _fail(self, error: Exception) -> None:
        with self._lock:
            futures = list(itertools.chain.from_iterable(self._waiting.values()))
            self._waiting.clear()
            self._told.clear()
        for future in futures:
            with contextlib.suppress(InvalidStateError):
                future.set_exception(error)

    def _link(self, what: str) -> Link:
        return Link(self._tasks.endpoint, name=f"streamq-{what}-{os.getpid()}")
