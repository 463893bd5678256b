"""Sending: lanes that make a send idempotent, and the lanes of a process.

A `Producer` is one lane: an id made anew in each process, one connection, one request in flight, its sends numbered. The server
keeps the last number of a lane and the ids that it gave, so a send whose reply was lost is repeated under the same number and
never makes a second task. After a send that was accepted in part, or given up, the lane goes on with the next number: what may
still be under way of an earlier one is refused as stale. `Lanes` gives each thread a lane of its own, so that none waits for
another's round trip.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streamq.errors import QueueFull, ServerError, ServerUnreachable, Unconfirmed
from streamq.keys import QUEUES
from streamq.server.connect import Link
from streamq.server.patience import waiting
from streamq.server.reply import FULL, ReplyError, ReplyLost
from streamq.transitions import Transitions
from streamq.units import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from streamq.keys import Keys
    from streamq.prepared import Prepared
    from streamq.server.endpoint import Endpoint

_log = logging.getLogger("streamq.producer")

#: Most tasks of one call of `add.lua`: the server runs nothing else meanwhile, about 1 ms.
CHUNK_TASKS: Final = 300
#: Most bytes of arguments of one call, where it has more than one task.
CHUNK_BYTES: Final = 1 << 20
#: How long a send whose reply was lost is repeated, in seconds. The server forgets a lane that was idle for an hour.
REPEAT_MOST: Final = 60.0
#: Idle lanes that a process keeps connected.
_KEPT: Final = 16
#: How long a sender that waits for room sleeps at most, in seconds, and how long it pauses at most before it asks again.
_ROOM_BLOCK, _ROOM_PAUSE = 1.0, 0.02
_NOTE_AFTER, _NOTE_EVERY = 1.0, 30.0


class Sent(NamedTuple):
    """What became of a task that was sent."""

    id: str
    #: False: a task with the same unique key has not ended yet, and this is its id.
    is_new: bool


class Full(NamedTuple):
    """What a sender does when the queue is full."""

    #: Most tasks that the queue may hold; 0: no bound.
    bound: int
    #: Wait for room, or raise `QueueFull` at once.
    wait: bool = True
    #: When the waiting ends, by `time.monotonic()`; None: never.
    deadline: float | None = None


class Producer:
    """One lane, for one thread at a time.

    Args:
        endpoint: where the server is.
        keys: the queue's keys.
        wait: how long, in seconds, a send waits for a server that is away.
        history: how many endings the queue keeps.
    """

    def __init__(self, endpoint: Endpoint, keys: Keys, *, wait: float = 60.0, history: int = 10_000) -> None:
        self.link = Link(endpoint, name=f"streamq-send-{os.getpid()}")
        self.transitions = Transitions(self.link, keys, history=history)
        self.wait = wait
        self.lane = secrets.token_hex(8)
        self._pid = os.getpid()
        #: Number of the last send.
        self.number = 0
        #: The server has been told that there is a queue of this name.
        self.named = False

    def announce(self) -> None:
        """Tell the server that there is a queue of this name."""
        self.link.call("SADD", QUEUES, self.transitions.keys.queue)
        self.named = True

    def renew(self) -> None:
        """Become a new lane, where another process goes by the id of this one: after a fork, or when the server says so."""
        self.lane, self.number, self._pid = secrets.token_hex(8), 0, os.getpid()

    def send(self, tasks: Iterable[Prepared[Any]], full: Full, *, stop: threading.Event | None = None) -> Iterator[list[Sent]]:
        """Send tasks, and tell of them as they are accepted, in the order given.

        Args:
            tasks: the tasks; read as they are sent.
            full: what to do when the queue is full.
            stop: ends all waiting when it is set.

        Raises:
            QueueFull: there was no room for the next task, and no waiting for it, or not any more.
            Unconfirmed: it is not known whether the next tasks were accepted.
            ServerError: the server is away, or cannot take tasks.
        """
        stop = stop or threading.Event()
        for chunk in _chunks(tasks):
            rest, room = chunk, _Room(self, full, stop)
            while rest:
                accepted = self.add(rest, full.bound, stop=stop)
                rest = rest[len(accepted) :]
                if accepted:
                    room.found()
                    yield accepted
                elif rest:
                    room.wait()

    def add(self, tasks: Sequence[Prepared[Any]], bound: int, *, stop: threading.Event | None = None) -> list[Sent]:
        """Send at most a chunk of tasks in one call; fewer than given are accepted where the queue becomes full.

        Raises:
            Unconfirmed: it is not known whether they were accepted.
            ServerError: the server is away, or cannot take tasks.
        """
        if self._pid != os.getpid():
            self.renew()
        self.number += 1
        attempt = _Attempt(self, tasks, bound)
        try:
            try:
                ids = attempt()
            except ServerUnreachable:
                ids = waiting(attempt, self.wait, stop=stop)
        except (*FULL, Unconfirmed):
            raise  # the script looks for the number before it writes: refused, it had not been executed before either
        except ServerError as error:
            if attempt.lost:
                raise attempt.unconfirmed() from error
            raise
        return [Sent(each[1:], is_new=False) if each[0] == "=" else Sent(each, is_new=True) for each in ids]


class _Attempt:
    """One numbered send; calling it again repeats it."""

    def __init__(self, producer: Producer, tasks: Sequence[Prepared[Any]], bound: int) -> None:
        self.lost = False
        self._producer = producer
        self._tasks = len(tasks)
        self._args = [value for task in tasks for value in task.argv]
        self._bound = bound
        self._lost_at = (0.0, 0.0)

    def __call__(self) -> list[str]:
        producer = self._producer
        if self.lost and self._elapsed() > REPEAT_MOST:
            raise self.unconfirmed()
        if not producer.named:
            producer.announce()
        try:
            return producer.transitions.add(producer.lane, producer.number, self._bound, self._args)[1]
        except ReplyLost:
            producer.named = False  # the server may come back as another one
            if not self.lost:
                self.lost, self._lost_at = True, (time.monotonic(), time.time())
            raise
        except ReplyError as error:
            if error.code == "STALE":
                producer.renew()
            raise

    def unconfirmed(self) -> Unconfirmed:
        """The error of a send that was given up after its reply was lost."""
        what = "a task" if self._tasks == 1 else f"{self._tasks} tasks"
        return Unconfirmed(
            f"the reply to a send was lost, and the server did not give it again: {what} may have been accepted, or not",
            hint="A task with a unique key can be sent again without harm.",
        )

    def _elapsed(self) -> float:
        """Seconds since the first reply was lost; a machine that slept meanwhile stops one clock, a person may set the other."""
        monotonic, wall = self._lost_at
        return max(time.monotonic() - monotonic, time.time() - wall)


class _Room:
    """Waits for room in a full queue: room is made by endings, so it follows their history instead of asking again and again."""

    def __init__(self, producer: Producer, full: Full, stop: threading.Event) -> None:
        self._producer = producer
        self._full = full
        self._stop = stop
        self._ended = producer.transitions.keys["ended"]
        self._last: bytes | None = None
        self._since = self._noted = 0.0

    def found(self) -> None:
        """There was room."""
        self._since = 0.0

    def wait(self) -> None:
        """Wait until it is worth trying again.

        Raises:
            QueueFull: there is no waiting for room, or not any more.
        """
        now = time.monotonic()
        if not self._since:
            self._since = self._noted = now
        over = self._full.deadline is not None and now >= self._full.deadline
        if not self._full.wait or over or self._stop.is_set():
            queue = self._producer.transitions.keys.queue
            raise QueueFull(
                f"queue {queue} is full: it holds {self._full.bound} tasks",
                ids=[],
                hint="Start more workers, raise queue.max_size, or wait for room (on_full: block).",
            )
        self._note(now)
        waiting(self._follow, self._producer.wait, stop=self._stop)

    def _follow(self) -> None:
        newest = ("XREVRANGE", self._ended, "+", "-", "COUNT", 1)
        if self._last is None:  # what ended before this is known only to a further try
            found = self._producer.link.call(*newest)
        else:
            block = _ROOM_BLOCK
            if self._full.deadline is not None:
                block = max(0.001, min(block, self._full.deadline - time.monotonic()))
            read = ("XREAD", "COUNT", 1, "BLOCK", max(1, int(block * 1000)), "STREAMS", self._ended, self._last)
            error, found = self._producer.link.batch([read, newest], block=block)
            for reply in (error, found):
                if isinstance(reply, Exception):
                    raise reply
            self._stop.wait(random.uniform(0, _ROOM_PAUSE))  # noqa: S311 - keeps many senders from coming at once
        self._last = found[0][0] if found else b"0-0"

    def _note(self, now: float) -> None:
        if now - self._since >= _NOTE_AFTER and (self._noted == self._since or now - self._noted >= _NOTE_EVERY):
            self._noted = now
            queue = self._producer.transitions.keys.queue
            _log.warning("queue %s is full; waiting for room since %s", queue, duration(round(now - self._since)))


class Lanes:
    """The lanes of a process to one queue: as many as its threads use at the same time. Any thread may use it, after a fork too.

    Args:
        endpoint: where the server is.
        keys: the queue's keys.
        wait: how long, in seconds, a call waits for a server that is away.
        history: how many endings the queue keeps.
    """

    def __init__(self, endpoint: Endpoint, keys: Keys, *, wait: float = 60.0, history: int = 10_000) -> None:
        self._endpoint = endpoint
        self._keys = keys
        self._wait = wait
        self._history = history
        self._idle: list[Producer] = []  # taken and given back by list.pop and append, which are atomic: no lock to fork with
        self._pid = os.getpid()

    def take(self) -> Producer:
        """Return a lane for the calling thread alone, until it gives it back."""
        if self._pid != os.getpid():
            self._idle, self._pid = [], os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return Producer(self._endpoint, self._keys, wait=self._wait, history=self._history)

    def give(self, lane: Producer) -> None:
        """Give a lane back."""
        if len(self._idle) < _KEPT:
            self._idle.append(lane)
        else:
            lane.link.close()

    def close(self) -> None:
        """Close the connections of all idle lanes; the lanes can be used as before."""
        if self._pid == os.getpid():
            for lane in list(self._idle):
                lane.link.close()


def _chunks(tasks: Iterable[Prepared[Any]]) -> Iterator[list[Prepared[Any]]]:
    chunk: list[Prepared[Any]] = []
    size = 0
    for task in tasks:
        if chunk and (len(chunk) == CHUNK_TASKS or size + len(task.args) > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(task)
        size += len(task.args)
    if chunk:
        yield chunk
