"""What ties a child to its supervisor, so that no process is left over whoever dies first, and what it says of its own size."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_STATM = Path("/proc/self/statm")


def die_with_parent(parent: int) -> None:
    """Lets the kernel kill this process when its parent is gone, whatever it is doing.

    Linux only; elsewhere the end of the control channel tells, which a handler that holds the interpreter can delay.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def leave_signals_to_supervisor() -> None:
    """Ctrl-C and a service manager's SIGTERM reach the whole group, but stopping is the supervisor's to say.

    A Python handler instead of SIG_IGN, which programs started by a task would inherit.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _unheeded)


def rss_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0


def _unheeded(_number: int, _frame: object) -> None:
    """Does nothing."""
