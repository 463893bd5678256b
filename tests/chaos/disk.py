"""A disk whose fsync does not return: the thread of a server that syncs its append-only file is held still.

To the server it is what a slow disk is: it has asked for an fsync, sees that it is still under way, keeps back for up to two
seconds what it should write, counts `aof_delayed_fsync` and says in its log that the disk is busy. Nothing of it is imitated but
the slowness itself. One thread is held with ptrace, as a debugger does, which takes neither root nor a compiler: the server is
our own child. A container may forbid it.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
#: Waits for a thread as for a process (`__WALL`).
_ANY_THREAD = 0x40000000


@contextmanager
def without_fsync(pid: int) -> Iterator[None]:
    """No fsync of a server ends meanwhile; the server may be killed inside.

    Args:
        pid: of the server, which this process has started.

    Raises:
        OSError: the thread may not be held.
    """
    with _held(_syncing_thread(pid)):
        yield


@functools.cache
def can_hold() -> bool:
    """Whether this user may hold a thread of a process that he has started."""
    if sys.platform != "linux":
        return False
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            with _held(process.pid):
                return True
        except PermissionError:
            return False
        finally:
            process.kill()


def _syncing_thread(pid: int) -> int:
    threads = {(each / "comm").read_text().strip(): int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()}
    [thread] = [thread for name, thread in threads.items() if name.startswith("bio_aof")]
    return thread


@contextmanager
def _held(thread: int) -> Iterator[None]:
    """A thread stands still, and goes on afterwards; whoever holds it lets it go."""
    _trace(_SEIZE, thread)
    _trace(_INTERRUPT, thread)
    os.waitpid(thread, _ANY_THREAD)
    try:
        yield
    finally:
        try:
            _trace(_DETACH, thread)
        except ProcessLookupError:  # killed meanwhile: its process cannot end before this has been seen
            os.waitpid(thread, _ANY_THREAD)


def _trace(request: int, thread: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(request, thread, None, None) == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"a thread cannot be held still: {os.strerror(error)}")
