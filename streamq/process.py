"""Which process a worker is, so that a dead one is known at once on its own machine and never taken for another; and forks.

A process id alone proves nothing: it is given again, and means another process in another container or after a reboot. What
stands for a process is its boot, its pid namespace, its pid and the time it started, as the kernel tells them. A worker writes
them in its card (`current`); whoever reads the fleet on the same machine looks the process up (`look`). Where the kernel tells
nothing, as on macOS, every answer is `elsewhere`, and the heartbeat alone decides.

A process that forks leaves its other threads behind: what one of them has half done stays so in the child, which then waits
for it for ever. Whatever senders import or make at its first use, they import and make within `unforked`.
"""

from __future__ import annotations

import functools
import logging  # noqa: F401 - its own hook for forks must stand before ours, see `unforked`
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

#: `alive`, `stopped` (by SIGSTOP or a debugger), `gone`, or `elsewhere`: this machine cannot know.
State = Literal["alive", "stopped", "gone", "elsewhere"]

_PROC = Path("/proc")
#: This process's id: a fork is noticed by it, at each use of a connection, and the kernel takes its time to tell it.
pid = os.getpid()


def _forked() -> None:
    global pid  # noqa: PLW0603 - one a process
    pid = os.getpid()


os.register_at_fork(after_in_child=_forked)

#: Held while something is imported or made that a fork must not find half done, and by whoever forks: `with process.unforked:`.
#: Under it nobody waits for another thread, process or server, but for the locks of imports and of logging. Of what is to be done
#: before a fork the last that was registered comes first, so logging is imported above: who forks must not hold its lock and
#: wait for this one, which is held by a thread whose import makes a logger.
unforked = threading.RLock()
os.register_at_fork(before=unforked.acquire, after_in_parent=unforked.release, after_in_child=unforked.release)


def run(
    command: Sequence[str | Path], *, cwd: Path | None = None, pass_fds: Sequence[int] = (), timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program in a session of its own, without input, and return its exit status and what it said.

    A child that is forked meanwhile holds no end of the program's pipes, for whose closing its parent would wait.

    Args:
        command: the program, and its arguments.
        cwd: where it works; None: where this process does.
        pass_fds: descriptors that it inherits.
        timeout: seconds that it may take; None: any time.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it had not ended in time, and was killed.
    """
    with unforked:
        import subprocess  # 10 ms that only who starts a server pays

        started = subprocess.Popen(  # noqa: S603 - what runs is for the caller to say
            command,
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    with started:
        try:
            said, complaint = started.communicate(timeout=timeout)
        except BaseException:
            started.kill()
            raise
    return subprocess.CompletedProcess(command, started.returncode, said, complaint)


class Process(NamedTuple):
    """One process among all that ever ran anywhere."""

    #: The kernel's id of this boot; empty where it tells none.
    boot: str
    #: The pid namespace, `pid:[4026531836]`; empty where the kernel tells none.
    pidns: str
    pid: int
    #: When it started, in clock ticks since the boot; 0 where the kernel tells none.
    start: int


def current() -> Process:
    """This process."""
    return of(os.getpid())


def of(pid: int) -> Process:
    """A process of this machine, such as a child that was just started."""
    boot, pidns = _machine()
    return Process(boot, pidns, pid, (_stat(pid) or ("", 0))[1])


def look(process: Process) -> State:
    """What has become of a process."""
    if not process.boot or (process.boot, process.pidns) != _machine() or not process.start:
        return "elsewhere"
    stat = _stat(process.pid)
    if stat is None:
        return "elsewhere" if _exists(process.pid) else "gone"
    state, start = stat
    if start != process.start or state in "ZXx":
        return "gone"
    return "stopped" if state in "Tt" else "alive"


@functools.cache
def _machine() -> tuple[str, str]:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip(), str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return "", ""


def _stat(pid: int) -> tuple[str, int] | None:
    """State letter and start of a process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before may hold spaces and brackets
    return fields[0], int(fields[19])


def _exists(pid: int) -> bool:
    """Whether there is such a process after all: `hidepid` hides the processes of others in /proc, a signal finds them."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
