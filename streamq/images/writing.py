"""An output is either the whole old file or the whole new one, whenever the process dies.

The bytes go to a temporary file in the folder of the result, are forced to the disk, and take the result's name in one step, last
of all. A process that is killed on the way leaves its temporary file behind; its name says whose it is, and whoever runs the task
again sweeps what is no living process's. Called by the task only.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from streamq import process
from streamq.images.errors import ForbiddenPath

#: Age in seconds after which the temporary file of a process on another machine is swept: no write takes nearly as long.
FOREIGN_AGE = 86_400.0
_PREFIX, _SUFFIX = ".streamq-", ".tmp"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Written(NamedTuple):
    """What was written."""

    bytes: int
    #: 64 hexadecimal digits.
    sha256: str


def write(
    data: memoryview, name: str, folder: int, *, source: os.stat_result, guard: Callable[[], object], fsync: bool
) -> Written:
    """Put a file in its place, whole.

    Args:
        data: its content.
        name: its name in the folder; what was there before is replaced.
        folder: descriptor of the folder.
        source: the file that the result was made from, which is never replaced.
        guard: called when all is ready, just before the file gets its name; what it raises stops the write.
        fsync: force file and folder to the disk.

    Raises:
        ForbiddenPath: the name is that of the source, of a folder, of a link or of something else that is no ordinary file.
        OSError: it cannot be written: no space, no permission.
    """
    _check(name, folder, source)
    temporary = temporary_name()
    descriptor = os.open(temporary, _CREATE, 0o666, dir_fd=folder)
    try:
        sha256 = _fill(descriptor, data, fsync=fsync)
        guard()
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _remove(temporary, folder)
        raise
    if fsync:
        os.fsync(folder)
    return Written(len(data), sha256)


def temporary_name() -> str:
    """Return a name for a temporary file that tells which process made it."""
    own = process.current()
    return f"{_PREFIX}{_machine(own)}-{own.pid}-{own.start}-{secrets.token_hex(4)}{_SUFFIX}"


def sweep(folder: int) -> int:
    """Remove the temporary files that processes left in a folder when they were killed; return how many.

    Those of living processes of this machine are never touched, those of other machines only when they are a day old.
    """
    swept = 0
    with os.scandir(folder) as entries:
        left = [entry.name for entry in entries if entry.name.startswith(_PREFIX) and entry.name.endswith(_SUFFIX)]
    for name in left:
        if _abandoned(name, folder):
            swept += _remove(name, folder)
    return swept


def _check(name: str, folder: int, source: os.stat_result) -> None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if os.path.samestat(found, source):
        raise ForbiddenPath(f"output {name} is the source itself")
    if not stat.S_ISREG(found.st_mode):
        kind = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link"}.get(stat.S_IFMT(found.st_mode), "no ordinary file")
        raise ForbiddenPath(f"output {name} is {kind} already")


def _fill(descriptor: int, data: memoryview, *, fsync: bool) -> str:
    """Write all of the data, close the file, and return the data's SHA-256."""
    try:
        done = 0
        while done < len(data):
            done += os.write(descriptor, data[done:])
        sha256 = hashlib.sha256(data).hexdigest()
        if fsync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return sha256


def _remove(name: str, folder: int) -> bool:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
        return True
    return False


def _machine(own: process.Process) -> str:
    return hashlib.sha256(f"{own.boot} {own.pidns}".encode()).hexdigest()[:12]


def _abandoned(name: str, folder: int) -> bool:
    own = process.current()
    parts = name.removeprefix(_PREFIX).removesuffix(_SUFFIX).split("-")
    known = len(parts) == 4 and parts[1].isdecimal() and parts[2].isdecimal()  # noqa: PLR2004 -- machine, pid, start, token
    if known and parts[0] == _machine(own):
        state = process.look(process.Process(own.boot, own.pidns, int(parts[1]), int(parts[2])))
        if state != "elsewhere":
            return state == "gone"
    try:
        modified = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return False
    return time.time() - modified > FOREIGN_AGE
