"""The slot table: what a child has started and not yet settled, in memory that outlives it.

Each run has a row that only its child writes; the supervisor reads. When a child has died or been killed, the rows say which
runs had started, and what becomes of one that had run out of time, so that the supervisor can settle for the child without
knowing its tasks. When both have died together, another worker of the machine reads them. A run that has ended keeps its row
until it is settled: its start counts, though its end will never be told. A row counts by its state, one byte in a strip of its
own, written last.

The other way round the supervisor writes when the child's heartbeat was heard, so that the child knows, without asking, that what
it has taken and not started cannot have been taken from it: after a pause of the process or a break of the network it can.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import mmap
import os
import secrets
import stat
import struct
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from streamq import process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamq.backoff import Backoff
    from streamq.registry import TaskDefinition
    from streamq.worker.run import Run

_HEADER = struct.Struct("<4Q")
_SLOTS, _SLOTS_AT = struct.Struct("<Q"), _HEADER.size
_BEATS, _BEATS_AT = struct.Struct("<dd"), _SLOTS_AT + _SLOTS.size
_ROW = struct.Struct("<48sQQdQIIQ64s")
_ROW_SIZE = 192
_STATES = 64
_FREE, _RUNNING, _ENDED = 0, 1, 2
_NAME: Final = "streamq-slots-"
#: Runs that have ended and are not settled yet have so many rows at most; one beyond them gives up its row as it ends.
UNSETTLED: Final = 1000
#: Where memory has names: there a table can be found by others when its owners are dead.
SHARED: Final = Path("/dev/shm")  # noqa: S108 - it is made there for its owner alone, under a name that nobody has
#: What nobody has read for so long, in seconds, nobody will.
FORGOTTEN: Final = 3600.0


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
        slots: how many runs there are at the same time.
        path: where others find it.
    """

    def __init__(self, fd: int, slots: int, path: Path | None = None) -> None:
        self.fd = fd
        self.path = path
        self.slots = slots
        self._free = collections.deque(range(slots + UNSETTLED))  # popped and appended by its child's threads, each in one step
        self._rows = _rows_at(slots)
        self._memory = mmap.mmap(fd, _size(slots))

    @classmethod
    def create(cls, slots: int) -> Table:
        """A new, empty table."""
        fd, path = _named_file(_size(slots))
        table = cls(fd, slots, path)
        _SLOTS.pack_into(table._memory, _SLOTS_AT, slots)
        return table

    @classmethod
    def left(cls, path: Path) -> list[Row] | None:
        """What a child had started that is dead, and its supervisor with it; None: nobody can say.

        Args:
            path: where its table was, as its card says; anybody may have written that.
        """
        if path.parent != SHARED or not path.name.startswith(_NAME):
            return None
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        status = os.fstat(fd)
        head = os.pread(fd, _SLOTS.size, _SLOTS_AT)
        is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and len(head) == _SLOTS.size
        if not is_ours or status.st_size != _size(_SLOTS.unpack(head)[0]):
            os.close(fd)
            return None
        table = cls(fd, _SLOTS.unpack(head)[0])
        rows = table.started()
        table.close()
        return rows

    def close(self) -> None:
        """Gives the memory back; nobody finds it any more."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        self._memory.close()
        os.close(self.fd)

    def start(self, run: Run, begun: float, backoff_of: Callable[[TaskDefinition], Backoff], grace: float = 0.0) -> int:
        """Writes a run that begins.

        Args:
            run: what begins.
            begun: when, by `time.monotonic()`.
            backoff_of: how long a run that is out of time waits for its next try.
            grace: what its deadline has on top of its limit, in seconds.

        Returns:
            Its row.
        """
        deadline, retry = 0.0, 0
        if run.timeout_ms:
            deadline = begun + run.timeout_ms / 1000 + grace
            retry = int(backoff_of(run.definition).delay(run.deliveries) * 1000)
        row = self._free.popleft()
        _ROW.pack_into(
            self._memory, self._rows + row * _ROW_SIZE, run.address.encode(), run.count, run.started_ms, deadline,
            run.timeout_ms, run.deliveries, run.limit, retry, _label(run.task.name),
        )  # fmt: skip
        self._memory[_STATES + row] = _RUNNING
        return row

    def end(self, row: int) -> int:
        """The run of a row has ended; the row stays until it is settled.

        Returns:
            The row; -1: rows are scarce, so that those that begin have one it was given up at once.
        """
        if len(self._free) < self.slots:
            self.clear([row])
            return -1
        self._memory[_STATES + row] = _ENDED
        return row

    def clear(self, rows: Sequence[int]) -> None:
        """The runs of these rows are settled."""
        for row in rows:
            self._memory[_STATES + row] = _FREE
        self._free.extend(rows)

    def rows(self) -> list[Row]:
        """The runs that are under way."""
        return self._in(_RUNNING)

    def started(self) -> list[Row]:
        """The runs that are under way, and those that have ended and are not settled."""
        return self._in(_RUNNING) + self._in(_ENDED)

    def _in(self, state: int) -> list[Row]:
        """The rows that are in a state."""
        states, rows = self._memory[_STATES : self._rows], []
        at = states.find(state)
        while at >= 0:
            address, *numbers, task = _ROW.unpack_from(self._memory, self._rows + at * _ROW_SIZE)
            name = task.rstrip(b"\0").decode("utf-8", "replace")
            rows.append(Row._make([address.rstrip(b"\0").decode("utf-8", "replace"), *numbers, name]))
            at = states.find(state, at + 1)
        return rows

    def heard(self, asked: float, answered: float, lasts: float) -> None:
        """Writes that a heartbeat has reached the server; called by the supervisor.

        Args:
            asked: when it was sent, by `time.monotonic()`.
            answered: when the server had answered.
            lasts: how long it holds, in seconds.
        """
        unbroken, last = _BEATS.unpack_from(self._memory, _BEATS_AT)
        _BEATS.pack_into(self._memory, _BEATS_AT, unbroken if answered - last < lasts else answered, asked)

    def is_unbroken(self, since: float, now: float, lasts: float) -> bool:
        """Whether the heartbeat has certainly held from a moment until now, by `time.monotonic()`."""
        unbroken, last = _BEATS.unpack_from(self._memory, _BEATS_AT)
        return bool(unbroken <= since and now < last + lasts)

    def count(self, counters: Counters) -> None:
        """Writes the child's figures."""
        _HEADER.pack_into(self._memory, 0, *counters)

    def counters(self) -> Counters:
        """The child's figures."""
        return Counters(*_HEADER.unpack_from(self._memory, 0))


@functools.lru_cache(1024)
def _label(name: str) -> bytes:
    """A task's name as it stands in a row."""
    return name.encode()[:64]


def forget_old() -> None:
    """Removes the tables of workers that died long ago and that nobody has looked for."""
    if not SHARED.is_dir():
        return
    for path in SHARED.glob(f"{_NAME}*-*-*"):
        pid, start = path.name.removeprefix(_NAME).split("-")[:2]
        with contextlib.suppress(OSError, ValueError):
            is_old = path.stat().st_uid == os.geteuid() and time.time() - path.stat().st_mtime > FORGOTTEN
            if is_old and process.of(int(pid)).start != int(start):
                path.unlink()


def _named_file(size: int) -> tuple[int, Path | None]:
    """A descriptor of so much memory, and where others of this user find it, as far as memory has names here and room for it."""
    own = process.current()
    path = SHARED / f"{_NAME}{own.pid}-{own.start}-{secrets.token_hex(8)}"
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)  # what is not there when it is written kills its writer
        except OSError:
            os.close(fd)
            path.unlink()
        else:
            return fd, path
    fd = anonymous_file()
    os.ftruncate(fd, size)
    return fd, None


def _rows_at(slots: int) -> int:
    """Where the rows begin, behind the states."""
    return _STATES + slots + UNSETTLED + -(slots + UNSETTLED) % 64


def _size(slots: int) -> int:
    return _rows_at(slots) + (slots + UNSETTLED) * _ROW_SIZE


def anonymous_file() -> int:
    """A descriptor of memory that has no name; it is gone with the last process that has it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("streamq-slots")
    fd, path = tempfile.mkstemp(prefix="streamq-slots-")
    Path(path).unlink()
    return fd
