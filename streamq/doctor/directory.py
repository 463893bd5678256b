"""The data directory of the embedded server: whether the server that answers works in it, alone, with its files there.

What an `rm -rf` under a running server leaves behind is looked for among the processes of this machine, where the kernel
shows them.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamq.doctor.finding import finding, many
from streamq.server.directory import DataDirectory
from streamq.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq.doctor.finding import Finding
    from streamq.doctor.server import Told

_PROC: Final = Path("/proc")
#: Less free space, in bytes, stops the server soon, or now. A rewrite of the append-only file needs as much again as it has.
_LITTLE, _NONE = 512 << 20, 32 << 20
#: What others may not do to the directory and its socket.
_OTHERS: Final = 0o077
_RESTART: Final = "let the workers finish, then `streamq server stop` and `streamq server start`"
_ANEW: Final = "CONFIG SET appendonly no, then CONFIG SET appendonly yes, writes all of it anew: do it before the server ends"


def examine(data: Path, told: Told) -> Iterator[Finding]:
    """Look at a data directory.

    Args:
        data: the directory.
        told: what the server that answers tells of itself.
    """
    home, pid = DataDirectory(data), told.number("process_id") or 0
    yield _directory(home, pid)
    yield _lock(home)
    yield _others(home, pid)
    if told["aof_enabled"] == "1":
        yield _files(home, pid)
    yield _permissions(home)
    yield space(shutil.disk_usage(home.path).free if home.path.exists() else 0, told.number("aof_current_size") or 0)


def close_to_others(data: Path) -> list[str]:
    """Take the rights of others off a directory and its socket; returns what was changed."""
    changed = []
    for path in _open(DataDirectory(data)):
        path.chmod(path.stat().st_mode & ~_OTHERS & 0o7777)
        changed.append(str(path))
    return changed


def _directory(home: DataDirectory, pid: int) -> Finding:
    try:
        own = home.path.stat()
    except OSError as error:
        what = f"the data directory {home.path} is gone, and its server runs: {error.strerror}"
        return finding("data-directory", "fault", what, _RESTART)
    with suppress(OSError):  # a process of another container or user
        works_in = (_PROC / str(pid) / "cwd").stat()
        if (works_in.st_dev, works_in.st_ino) != (own.st_dev, own.st_ino):
            what = f"the server that answers in {home.path} (process {pid}) works in another directory"
            return finding("data-directory", "fault", what, _RESTART)
    return finding("data-directory", "ok", f"{home.path}, with its own server (process {pid})")


def _lock(home: DataDirectory) -> Finding:
    """Whether the server holds the lock that keeps a second one away."""
    if home.file("server.lock").exists():
        claim = home.claim()
        if claim is None:
            return finding("server-lock", "ok", "the server holds its lock: no second one can start")
        claim.close()
        what = f"the server does not hold {home.file('server.lock')}: a second one could start beside it"
    else:
        what = f"{home.file('server.lock')} was deleted: a second server could start beside this one"
    return finding("server-lock", "fault", what, _RESTART)


def _others(home: DataDirectory, pid: int) -> Finding:
    """Other servers that work in the directory, or in one that was deleted from its place."""
    beside, deleted = [], []
    path = os.path.realpath(home.path)
    for each in _servers():
        if each == pid or _parent(each) == pid:  # the server itself, or what it has rewriting its file
            continue
        with suppress(OSError):
            where = str((_PROC / str(each) / "cwd").readlink())
            if where == f"{path} (deleted)":
                deleted.append(str(each))
            elif where == path:
                beside.append(str(each))
    if deleted:
        what = (
            f"{home.path} was deleted under a running server, and made anew: the old one (process {', '.join(deleted)})"
            " runs on, unseen, with the tasks it holds and the workers that are connected to it"
        )
        mend = f"let those workers finish and stop them, then `kill {' '.join(deleted)}`; send the tasks that it held again"
        return finding("other-servers", "fault", what, mend, deleted)
    if beside:
        what = f"another server (process {', '.join(beside)}) works in {home.path}: one overwrites what the other writes"
        return finding("other-servers", "fault", what, f"stop the workers, then `kill {' '.join(beside)}`", beside)
    return finding("other-servers", "ok", "no other server works in the directory")


def _servers() -> list[int]:
    """The servers among the processes of this machine that may be looked at: named so, or serving our socket."""
    found = []
    for entry in _PROC.glob("[0-9]*/comm"):
        with suppress(OSError):
            is_named = entry.read_text().startswith(("valkey", "redis"))
            if is_named or b"server.sock" in entry.with_name("cmdline").read_bytes():
                found.append(int(entry.parent.name))
    return found


def _parent(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _files(home: DataDirectory, pid: int) -> Finding:
    """Whether what the server writes is in the directory."""
    there = home.file("appendonly.aof").exists() or any(home.file("appendonlydir").glob("*.manifest"))
    with suppress(OSError):
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                target = str(entry.readlink())
                there = there and not ("appendonly" in target and target.endswith(" (deleted)"))
    if there:
        return finding("append-only-files", "ok", "the append-only file is in its place")
    what = f"the append-only file in {home.path} was deleted under the server: a restart loses every task"
    return finding("append-only-files", "fault", what, _ANEW)


def _open(home: DataDirectory) -> list[Path]:
    """The directory and its socket, where others may enter them."""
    paths = [path for path in (home.path, home.file("server.sock")) if path.exists()]
    return [path for path in paths if path.stat().st_mode & _OTHERS]


def _permissions(home: DataDirectory) -> Finding:
    found = _open(home)
    if not found:
        return finding("permissions", "ok", "directory and socket are their owner's alone")
    names = " and ".join(map(str, found))
    what = f"{names} {'is' if len(found) == 1 else 'are'} open to other users of this machine"
    return finding("permissions", "fault", what, "`streamq doctor --repair` closes them", list(map(str, found)))


def space(free: int, written: int) -> Finding:
    """Whether the disk has room.

    Args:
        free: bytes that are free.
        written: bytes of the append-only file, which is written anew now and then.
    """
    what = f"{human_bytes(free)} free on the disk of the data directory"
    mend = f"free {human_bytes(max(_LITTLE, 2 * written))} there"
    if free < _NONE:
        return finding("disk-space", "fault", f"{what}: the server refuses all writes when it is full", mend)
    if free < max(_LITTLE, written):
        file = many(written, "byte") if written < 1 << 10 else human_bytes(written)
        return finding(
            "disk-space", "warning", f"{what}, with an append-only file of {file} that is rewritten now and then", mend
        )
    return finding("disk-space", "ok", what)
