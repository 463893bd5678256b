"""Disks that a test fills and frees: a small file system where this system lets us mount one, and a limit of the kernel's.

The limit (`RLIMIT_FSIZE`) is there for everybody: no file of the server may grow, its writes fail as on a full disk.
"""

from __future__ import annotations

import contextlib
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.integration.server.servers import limited, servers_of

if TYPE_CHECKING:
    import pytest

_MOST = 4 * 1024 * 1024


class Disk(Protocol):
    """What holds a data directory."""

    #: The data directory, which does not exist yet.
    data: Path

    def fill(self) -> None:
        """Leave no room on it."""

    def free(self) -> None:
        """Make room again."""


class SmallFileSystem:
    """A file system of a few megabytes, in memory, mounted at a folder."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / ".streamq"
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Write a file until there is no room."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Remove that file."""
        self._ballast.unlink()


class Limit:
    """Files of the servers that run in a directory may not grow."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data = folder / ".streamq"
        self._full = folder / "full"
        limits = f'trap "" XFSZ; if [ -e "{self._full}" ]; then ulimit -S -f 0; fi'
        monkeypatch.setenv("STREAMQ_SERVER_BINARY", str(limited(folder / "limited", limits)))

    def fill(self) -> None:
        """Let no file grow, of those who run and of those who start."""
        self._full.touch()
        self._set(0)

    def free(self) -> None:
        """Let them grow."""
        self._full.unlink()
        self._set(resource.RLIM_INFINITY)

    def _set(self, most: int) -> None:
        for server in servers_of(self.data):
            _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (most, hard))


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[bool]:
    """Mount a small file system at a folder; False where this system does not let us."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={_MOST}", "streamq-test", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607 - wherever it is
