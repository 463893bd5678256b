"""The data directory of an embedded server: what lies in it, who may use it, and the two locks that keep it to one server.

`start.lock` is held by the process that starts or stops a server. `server.lock` is held by the server itself: its starter
takes the lock and the server inherits the open descriptor, so that the kernel frees it when the server dies, however it dies.
Both are `flock`s on files that stay; a file that is left over locks nothing. Only `embedded.py` calls this.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import msgspec

from streamq import process
from streamq.errors import ServerUnreachable, ServerUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq.server.binary import Program

#: The kernel's limit on the path of a Unix socket, its NUL included, is 108 bytes on Linux and 104 on macOS.
LONGEST_SOCKET_PATH = 103

#: What streamq itself puts into a data directory; its mode is only ever tightened where nothing else is there.
_OURS = ("server.", "start.lock", "stopped", "appendonly", "catalogue", "temp-", "dump.rdb", ".gitignore")

#: How long a process waits between two looks at something that sends no event (a lock, a server that starts), in seconds.
PAUSE = 0.01

# Descriptors of the two locks that this process holds for a moment. A child forked in that moment must drop its copy, or the
# lock would be held for as long as the child lives. Opened and closed within `unforked`, so that all that is open stands here.
_held: set[int] = set()


def _drop_inherited() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_drop_inherited)


class DataDirectory:
    """A data directory; making the object touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow links, and is slower

    def file(self, name: str) -> Path:
        """A file in the directory."""
        return self.path / name

    def socket(self) -> Path:
        """The path at which the server's socket is reached.

        The socket is always `server.sock` in the directory. Where that path is too long for the kernel, the directory is
        reached through a short symbolic link in /tmp; each process makes it anew, so that a cleaned or private /tmp does no harm.
        """
        path = self.file("server.sock")
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        return self._short() / "server.sock"

    def url(self) -> str:
        """The URL of that socket, as redis-py takes it."""
        return f"unix://{quote(str(self.socket()))}"

    def _short(self) -> Path:
        with process.unforked:
            import hashlib  # rarely needed, and on the path of every command

        target = os.path.realpath(self.path)
        mark = hashlib.sha256(os.fsencode(target)).hexdigest()[:16]
        link = Path(f"/tmp/streamq-{os.getuid()}-{mark}")  # noqa: S108 - not TMPDIR: all processes must meet; checked below
        try:
            link.symlink_to(target, target_is_directory=True)
        except FileExistsError:
            # /tmp is sticky: a link that is ours can be changed by nobody else.
            if link.lstat().st_uid != os.getuid() or not link.is_symlink() or os.readlink(link) != target:  # noqa: PTH115
                raise ServerUnusable(
                    f"{link}, the short name for {self.path}, is taken by somebody else",
                    hint="choose a data directory with a shorter path (--data)",
                ) from None
        except OSError as error:
            raise ServerUnusable(
                f"no short name for {self.path} can be made in /tmp: {error.strerror}",
                hint="choose a data directory with a shorter path (--data)",
            ) from error
        return link

    def check_owner(self) -> bool:
        """Whether the directory exists; whoever else owns it could put a socket of his own there.

        Raises:
            ServerUnusable: it belongs to another user, or it is no directory.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._refused(error) from error
        if not stat.S_ISDIR(status.st_mode):
            raise ServerUnusable(f"the data directory {self.path} is a file", hint="name a directory with --data")
        if status.st_uid != os.geteuid():
            raise ServerUnusable(
                f"the data directory {self.path} belongs to another user (uid {status.st_uid})",
                hint="run as that user, or choose a data directory of your own with --data",
            )
        return True

    def prepare(self) -> None:
        """Make the directory where it is missing, for its owner alone (mode 0700), and check that it can be written.

        Raises:
            ServerUnusable: it cannot be made or written, is another's, or holds other files and is open to other users.
        """
        try:
            if not self.check_owner():
                self.path.mkdir(parents=True, mode=0o700, exist_ok=True)
            if self.path.stat().st_mode & 0o077:
                self._close_to_others()
            ignore = self.file(".gitignore")
            if not ignore.exists() or not ignore.stat().st_size:  # whoever made it may have been killed before the writing
                ignore.write_text("*\n")
        except OSError as error:
            raise self._refused(error) from error

    def _close_to_others(self) -> None:
        strange = [name for name in os.listdir(self.path) if not name.startswith(_OURS)]  # noqa: PTH208
        if strange:
            raise ServerUnusable(
                f"the data directory {self.path} is open to other users and holds other files ({', '.join(sorted(strange)[:3])})",
                hint="choose a directory with --data that is empty, or yours alone",
            )
        self.path.chmod(0o700)

    def _refused(self, error: OSError) -> ServerUnusable:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return ServerUnusable(
            f"the data directory {self.path} cannot be used: {error.strerror or error}",
            hint="free space there, or choose another with --data" if full else "choose one that you can write to with --data",
        )

    @contextmanager
    def starting(self, deadline: float) -> Iterator[None]:
        """Hold `start.lock`: one process at a time starts or stops this directory's server.

        Args:
            deadline: `time.monotonic()` at which to give up.

        Raises:
            ServerUnreachable: another process held it until the deadline.
        """
        descriptor = self._open_lock("start.lock")
        try:
            while not self._lock(descriptor):
                if time.monotonic() >= deadline:
                    raise ServerUnreachable(
                        f"another process has been starting or stopping the server in {self.path} for too long",
                        hint=f"`fuser {self.file('start.lock')}` names it",
                    )
                time.sleep(PAUSE)
            yield
        finally:
            _close(descriptor)

    def claim(self) -> Claim | None:
        """Take `server.lock`, or None where a server (or a child of it that still writes) holds it."""
        descriptor = self._open_lock("server.lock")
        claim = Claim(descriptor)
        if self._lock(descriptor):
            return claim
        claim.close()
        return None

    def _lock(self, descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise self._refused(error) from error
        return True

    def _open_lock(self, name: str) -> int:
        try:
            with process.unforked:
                _held.add(descriptor := os.open(self.file(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            return descriptor
        except OSError as error:
            raise self._refused(error) from error

    def writer(self) -> Program | None:
        """The binary that last wrote this directory, or None where none did."""
        with process.unforked:
            from streamq.server.binary import Program  # only when a server is started

        path = self.file("server.json")
        try:
            record = msgspec.json.decode(path.read_bytes())
            program = Program(str(record["name"]), str(record["version"]))
            program.release  # noqa: B018 - a version that cannot be read is found here
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ServerUnusable(
                f"{path}, which says what server wrote this directory, cannot be read: {error}",
                hint="delete it if you know that the server binary has not become older",
            ) from error
        return program

    def record_writer(self, program: Program) -> None:
        """Note, whole or not at all, that `program` writes this directory from now on."""
        path, new = self.file("server.json"), self.file("server.json.new")
        try:
            with new.open("wb") as file:
                file.write(msgspec.json.encode({"name": program.name, "version": program.version}))
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError as error:
            raise self._refused(error) from error

    def ghost(self) -> int | None:
        """The process id of a server that runs on in a directory that was deleted from this path; None where /proc is not there.

        Nobody can reach its socket any more, but those who were connected work on with it: a second server beside it would
        divide the queue, and nobody would see it.
        """
        here = os.path.realpath(self.path)
        try:
            pids = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
        except OSError:
            return None
        for pid in pids:
            try:
                if os.readlink(f"/proc/{pid}/cwd") != f"{here} (deleted)":  # noqa: PTH115
                    continue
                links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]  # noqa: PTH115, PTH208
            except OSError:
                continue  # it has ended, or it is another user's
            if f"{here}/server.lock (deleted)" in links:
                return int(pid)
        return None

    def log_size(self) -> int:
        """How long the server's log is now, in bytes."""
        try:
            return self.file("server.log").stat().st_size
        except FileNotFoundError:
            return 0

    def logged(self, since: int = 0) -> str:
        """What the server's log says, from an offset on."""
        try:
            with self.file("server.log").open("rb") as file:
                file.seek(since)
                return file.read().decode(errors="replace")
        except OSError as error:
            return f"{error.strerror}: {error.filename}"

    def last_words(self, since: int, lines: int = 3) -> str:
        """The end of what the server's log says from an offset on, in one line, without process ids and times."""
        text = self.logged(since)
        said = [re.sub(r"^\d+:\w \d+ \w+ \d+ [\d:.]+ [*#.-] ", "", line) for line in text.splitlines() if line.strip()]
        return " / ".join(said[-lines:])

    def is_full(self) -> bool:
        """Whether there is no room on its disk, where not even the log can grow."""
        return os.statvfs(self.path).f_bavail == 0

    def pid(self) -> int | None:
        """The process id that the server wrote into `server.pid`; the file outlives a server that was killed."""
        try:
            return int(self.file("server.pid").read_text())
        except (OSError, ValueError):
            return None


def _close(descriptor: int) -> None:
    """Close a descriptor of a lock; nothing where this is a child that was forked meanwhile, and has closed it."""
    with process.unforked:
        if descriptor in _held:
            _held.remove(descriptor)
            os.close(descriptor)


class Standing:
    """Notices that a data directory is no longer the one that its server runs in: deleted, or deleted and made again.

    Whoever is connected to the server would never see it: the connection stands, and every new command finds another server.

    Args:
        path: the directory, with a server in it.
    """

    def __init__(self, path: Path) -> None:
        self._home = DataDirectory(path)
        self._seen = self._identity()

    def check(self) -> None:
        """Compare the directory with the one that it was.

        Raises:
            ServerUnusable: it is another, or none.
        """
        if self._seen is None:  # the server was about to be started
            self._seen = self._identity()
        elif self._identity() != self._seen:
            raise ServerUnusable(
                f"the data directory {self._home.path} was deleted while its server runs: new commands cannot find that server,"
                " and what it holds will be gone with it",
                hint="let its workers end, then end the server with `kill`; the next command starts a new one",
            )

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._home.file("server.lock").stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_dev, status.st_ino


class Claim:
    """`server.lock`, held by this process until a server has inherited it or `close` gives it back."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def close(self) -> None:
        """Close this process's copy; where a server inherited the lock, it keeps it."""
        _close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
