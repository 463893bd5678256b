"""Room in a full queue: what a sender does that finds none."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from streamq import process
from streamq.errors import QueueFull
from streamq.server.patience import waiting
from streamq.units import duration

if TYPE_CHECKING:
    import threading

    from streamq.transitions import Transitions

_log = logging.getLogger("streamq.producer")

#: How long a sender that waits for room sleeps at most, in seconds, and how long it pauses at most before it asks again.
_ROOM_BLOCK, _ROOM_PAUSE = 1.0, 0.02
_NOTE_AFTER, _NOTE_EVERY = 1.0, 30.0


class Full(NamedTuple):
    """What a sender does when the queue is full."""

    #: Most tasks that the queue may hold; 0: no bound.
    bound: int
    #: Wait for room, or raise `QueueFull` at once.
    wait: bool = True
    #: When the waiting ends, by `time.monotonic()`; None: never.
    deadline: float | None = None


class Room:
    """Waits for room in a full queue: room is made by endings, so it follows their history instead of asking again and again.

    Args:
        transitions: of the queue, over a connection that is the sender's.
        full: what to do.
        away: how long, in seconds, is waited for a server that is away.
        stop: ends all waiting when it is set.
    """

    def __init__(self, transitions: Transitions, full: Full, away: float, stop: threading.Event) -> None:
        self._link = transitions.link
        self._queue = transitions.keys.queue
        self._full = full
        self._away = away
        self._stop = stop
        self._ended = transitions.keys["ended"]
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
            raise QueueFull(
                f"queue {self._queue} is full: it holds {self._full.bound} tasks",
                ids=[],
                hint="Start more workers, raise queue.max_size, or wait for room (on_full: block).",
            )
        self._note(now)
        waiting(self._follow, self._away, stop=self._stop)

    def _follow(self) -> None:
        newest = ("XREVRANGE", self._ended, "+", "-", "COUNT", 1)
        if self._last is None:  # what ended before this is known only to a further try
            found = self._link.call(*newest)
        else:
            block = _ROOM_BLOCK
            if self._full.deadline is not None:
                block = max(0.001, min(block, self._full.deadline - time.monotonic()))
            read = ("XREAD", "COUNT", 1, "BLOCK", max(1, int(block * 1000)), "STREAMS", self._ended, self._last)
            error, found = self._link.batch([read, newest], block=block)
            for reply in (error, found):
                if isinstance(reply, Exception):
                    raise reply
            with process.unforked:
                import random  # only where somebody has to wait

            self._stop.wait(random.uniform(0, _ROOM_PAUSE))  # noqa: S311 - keeps many senders from coming at once
        self._last = found[0][0] if found else b"0-0"

    def _note(self, now: float) -> None:
        if now - self._since >= _NOTE_AFTER and (self._noted == self._since or now - self._noted >= _NOTE_EVERY):
            self._noted = now
            _log.warning("queue %s is full; waiting for room since %s", self._queue, duration(round(now - self._since)))
