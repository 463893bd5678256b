"""What was done to the system under chaos, and when: nothing else may explain a repeated run, or a task that is gone.

Times are those of the machine's monotonic clock, which every process shares. A fault that must go unnoticed, such as a server
that is halted or a link that is cut, is recorded for the report and explains nothing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec


class Death(NamedTuple):
    """Processes were killed: one of a worker, or all of it."""

    worker: str
    #: As the worker's own processes call it; None: all of them.
    pid: int | None
    at: float


class Silence(NamedTuple):
    """A worker could not renew its leases: it was halted, or cut off from the server.

    Or its heartbeat was seen to have expired while the link that it uses was breaking all the time.
    """

    worker: str
    begin: float
    end: float
    is_seen: bool = False


class Loss(NamedTuple):
    """The server forgot what it had acknowledged: everything, some streams, or its last moments."""

    what: str
    begin: float
    end: float
    #: Whether tasks that nobody had finished may be gone; else it forgot only who held them.
    tasks: bool


class Records:
    """All that happened in a round. Any thread may write."""

    def __init__(self) -> None:
        self.deaths: list[Death] = []
        self.silences: list[Silence] = []
        self.losses: list[Loss] = []
        self.faults: Counter[str] = Counter()
        self.log: list[tuple[float, str]] = []
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def note(self, text: str) -> None:
        """Write something to the log."""
        with self._lock:
            self.log.append((time.monotonic() - self._began, text))

    def death(self, worker: str, pid: int | None = None) -> None:
        """Processes of a worker have just been killed."""
        self.deaths.append(Death(worker, pid, time.monotonic()))

    @contextmanager
    def silence(self, workers: list[str]) -> Iterator[None]:
        """These workers are silent."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.silences += [Silence(worker, begin, time.monotonic()) for worker in workers]

    def loss(self, what: str, begin: float, *, tasks: bool) -> None:
        """The server has forgotten something, from then until now."""
        self.losses.append(Loss(what, begin, time.monotonic(), tasks))

    def dump(self) -> bytes:
        """Everything, as JSON."""
        kept = {"deaths": self.deaths, "silences": self.silences, "losses": self.losses}
        return msgspec.json.encode(kept | {"faults": dict(self.faults), "log": self.log, "began": self._began})
