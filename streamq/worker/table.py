"""The slot table: what a child runs right now, in memory that outlives it.

Each slot has a row that only its child writes; the supervisor reads. When a child has died or been killed, the rows say which
runs had started, and what becomes of one that had run out of time, so that the supervisor can settle for the child without
knowing its tasks. A row counts from its first byte on, which is written last and cleared first.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from pathlib import Path
from typing import NamedTuple

_HEADER = struct.Struct("<4Q")
_ROW = struct.Struct("<48sQQdIIQ64s")
_ROW_SIZE = 160
_HEADER_SIZE = 64


class Row(NamedTuple):
    """One run."""

    address: str
    delivery: int
    #: Milliseconds of the server's clock.
    started_ms: int
    #: When the run must have ended, by `time.monotonic()`; 0: never.
    deadline: float
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

    def start(self, slot: int, row: Row) -> None:
        """Writes the run that begins in a slot."""
        at = _HEADER_SIZE + slot * _ROW_SIZE
        address, count, started, deadline, deliveries, limit, retry, task = row
        name = task.encode("utf-8", "replace")[:64]
        _ROW.pack_into(self._memory, at + 1, address.encode(), count, started, deadline, deliveries, limit, retry, name)
        self._memory[at] = 1

    def clear(self, slot: int) -> None:
        """Empties a slot."""
        self._memory[_HEADER_SIZE + slot * _ROW_SIZE] = 0

    def rows(self) -> list[Row]:
        """The runs that are under way."""
        rows = []
        for slot in range(self.slots):
            at = _HEADER_SIZE + slot * _ROW_SIZE
            if self._memory[at]:
                address, count, started, deadline, deliveries, limit, retry, task = _ROW.unpack_from(self._memory, at + 1)
                name = task.rstrip(b"\0").decode("utf-8", "replace")
                rows.append(Row(address.rstrip(b"\0").decode(), count, started, deadline, deliveries, limit, retry, name))
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
