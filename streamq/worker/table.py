"""The slot table: what a child runs right now, in memory that outlives it.

Each slot has a row that only its child writes; the supervisor reads. When a child has died or been killed, the rows say which
runs had started, and what becomes of one that had run out of time, so that the supervisor can settle for the child without
knowing its tasks. A row counts by its last byte, which is written last.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from streamq.backoff import Backoff
    from streamq.worker.run import Run

_HEADER = struct.Struct("<4Q")
_ROW = struct.Struct("<48sQQdQIIQ64sB")
_ROW_SIZE = 192
_VALID = _ROW.size - 1
_HEADER_SIZE = 64


class Row(NamedTuple):
    """One run."""

    address: str
    delivery: int
    #: Milliseconds of the server's clock.
    started_ms: int
    #: When the run must have ended, by `time.monotonic()`; 0: never.
    deadline: float
    #: How long it may take, ms; 0: without end.
    timeout_ms: int
    #: Hand-outs that count against the limit, this one included, and the limit.
    deliveries: int
    limit: int
    #: How long to wait before the next try, should this one run out of time.
    retry_ms: int
    #: The task's name, cut at 64 bytes.
    task: str


class Counters(NamedTuple):
    """What a child has done since it started."""

    finished: int
    failed: int
    running: int
    rss_bytes: int


class Table:
    """The table of one child, shared through a file descriptor.

    Args:
        fd: a descriptor made by `create`.
        slots: how many rows it has.
    """

    def __init__(self, fd: int, slots: int) -> None:
        self.fd = fd
        self.slots = slots
        self._memory = mmap.mmap(fd, _HEADER_SIZE + slots * _ROW_SIZE)

    @classmethod
    def create(cls, slots: int) -> Table:
        """A new, empty table in memory that no other process knows yet."""
        fd = anonymous_file()
        os.ftruncate(fd, _HEADER_SIZE + slots * _ROW_SIZE)
        return cls(fd, slots)

    def close(self) -> None:
        """Gives the memory back."""
        self._memory.close()
        os.close(self.fd)

    def start(self, slot: int, run: Run, begun: float, backoff: Backoff, grace: float = 0.0) -> None:
        """Writes the run that begins in a slot.

        Args:
            slot: which one.
            run: what begins.
            begun: when, by `time.monotonic()`.
            backoff: how long a run that is out of time waits for its next try.
            grace: what its deadline has on top of its limit, in seconds.
        """
        deadline, retry = 0.0, 0
        if run.timeout_ms:
            deadline = begun + run.timeout_ms / 1000 + grace
            retry = int(backoff.delay(run.deliveries) * 1000)
        name = run.task.name.encode()[:64]
        _ROW.pack_into(
            self._memory, _HEADER_SIZE + slot * _ROW_SIZE, run.address.encode(), run.count, run.started_ms, deadline,
            run.timeout_ms, run.deliveries, run.limit, retry, name, 1,
        )  # fmt: skip

    def clear(self, slot: int) -> None:
        """Empties a slot."""
        self._memory[_HEADER_SIZE + slot * _ROW_SIZE + _VALID] = 0

    def rows(self) -> list[Row]:
        """The runs that are under way."""
        rows = []
        for slot in range(self.slots):
            at = _HEADER_SIZE + slot * _ROW_SIZE
            if self._memory[at + _VALID]:
                address, *numbers, task, _ = _ROW.unpack_from(self._memory, at)
                name = task.rstrip(b"\0").decode("utf-8", "replace")
                rows.append(Row._make([address.rstrip(b"\0").decode(), *numbers, name]))
        return rows

    def count(self, counters: Counters) -> None:
        """Writes the child's figures."""
        _HEADER.pack_into(self._memory, 0, *counters)

    def counters(self) -> Counters:
        """The child's figures."""
        return Counters(*_HEADER.unpack_from(self._memory, 0))


def anonymous_file() -> int:
    """A descriptor of memory that has no name; it is gone with the last process that has it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("streamq-slots")
    fd, path = tempfile.mkstemp(prefix="streamq-slots-")
    Path(path).unlink()
    return fd
