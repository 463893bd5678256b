"""A run: one hand-out of one task in this process, from its take to its settling; and the server's clock.

The fetcher makes it, one slot runs it, the settler ends it; each writes its own fields and nobody else's. `held` maps addresses
to the runs that this process has: what the server says it holds is compared with it at each renewal.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import msgspec

from streamq.context import Context
from streamq.registry import TaskDefinition
from streamq.wire import Task

if TYPE_CHECKING:
    from collections.abc import Callable


Held = dict[str, "Run"]


class Taking:
    """Since when a take is under way whose tasks are not among the held ones yet, by `time.monotonic()`; infinity: none is."""

    def __init__(self) -> None:
        self.since = math.inf


class ServerClock:
    """The server's time, carried between its replies by this process's own monotonic clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def set(self, now_ms: int) -> None:
        """Takes over a time that the server has just told."""
        self._offset = now_ms / 1000 - time.monotonic()

    def ms(self) -> int:
        """Milliseconds of the server's clock."""
        return self.at(time.monotonic())

    def at(self, monotonic: float) -> int:
        """What the server's clock showed at a time of this process's own."""
        return int((monotonic + self._offset) * 1000)


class Run(msgspec.Struct, eq=False):
    """One hand-out of a task. `address`, `count` and the consumer's name are its fence."""

    address: str
    count: int
    #: Hand-outs that count against the limit, this one included, and the limit.
    deliveries: int
    limit: int
    #: The attempts before this one, a JSON object a line.
    attempts: bytes
    task: Task
    definition: TaskDefinition
    #: Time limit of the handler, ms; 0: none.
    timeout_ms: int
    #: From the time it was due until it was handed out.
    wait_ms: float
    #: When this process had it, by `time.monotonic()`.
    taken: float
    #: When it was asked for: it was handed out after that.
    asked: float
    #: When its handler began, ms of the server's clock; 0: it has not.
    started_ms: int = 0
    #: Its row in the slot table; -1: it has none.
    row: int = -1
    #: Its handler has returned or raised, or never will begin; what is left is settling.
    ended: bool = False
    #: It never began, and the task goes back: one that is handed out again has a run of its own.
    handed_back: bool = False
    #: Hand-outs that it kept its run at: they never started.
    regained: int = 0
    #: How it ended: what it returned, as JSON, and how long that took; or what it raised, and when.
    result: bytes | None = None
    seconds: float = 0.0
    error: BaseException | None = None
    ended_ms: int = 0
    #: The server has said that it is no longer ours.
    lost: bool = False
    #: Its handler, an async one, has been cancelled because it was lost.
    cancelled: bool = False

    def regain(self, count: int, asked: float) -> None:
        """Takes a new fence: what runs here was handed out again, from a group made anew, or since the lease had been lost."""
        self.regained += count > self.count
        self.count = count
        self.asked = asked
        self.taken = time.monotonic()
        self.lost = self.cancelled

    def context(self, worker: str, consumer: str, guard: Callable[[Run], None]) -> Context:
        """What the handler sees of its run."""
        return Context(
            id=self.task.id,
            task=self.task.name,
            delivery=self.deliveries,
            max_deliveries=self.limit,
            worker=worker,
            consumer=consumer,
            address=self.address,
            count=self.count,
            sent_ms=self.task.sent_ms,
            fields=self.task.extra,
            guard=lambda: guard(self),
            is_lost=lambda: self.lost,
        )
