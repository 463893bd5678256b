"""Which server is meant: one that a URL names, or the embedded one of a data directory; a URL always wins.

An `Endpoint` can be shared by threads and pickled to other processes. `connect.py` asks it for an address at every connect, so
that a client of the embedded server revives one that was killed, and does not start again one that was stopped on purpose.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from streamq import process
from streamq.errors import ServerUnusable, UsageError

if TYPE_CHECKING:
    from streamq.config import Settings
    from streamq.server.directory import Standing
    from streamq.server.embedded import Durability, Start

_HINT = "such as redis://USER:PASSWORD@HOST:6379/0 (%40 for @ and %2F for / in a password), rediss://… or unix:///run/redis.sock"
#: How long, in seconds, a client that comes back waits for the embedded server in one attempt; who wants more tries again.
_ONE_ATTEMPT = 5.0


class Endpoint:
    """Where the server is, and what may be done to have one there.

    Args:
        where: a URL (`redis://`, `rediss://`, `unix://`), or the data directory of the embedded server.
        durability: what is asked of an embedded server.
        wait: how long, in seconds, the embedded server may take to start, load its data and answer.
        start: who is asking (see `embedded.Start`); a `command` becomes a `revive` with its first connection.

    Raises:
        UsageError: the URL is not one that streamq can use.
        ServerUnusable: there can be no embedded server on this system.
    """

    def __init__(
        self, where: str | Path, *, durability: Durability = "everysec", wait: float = 60.0, start: Start = "command"
    ) -> None:
        if isinstance(where, str):
            _check(where)
        elif sys.platform == "win32":
            raise ServerUnusable("no embedded server runs on Windows", hint="give --url of a Redis or Valkey, or use WSL")
        self.where = where
        self.durability: Durability = durability
        self.wait = wait
        self.start: Start = start

    @classmethod
    def of(cls, settings: Settings, *, start: Start = "command") -> Endpoint:
        """The endpoint that the settings mean."""
        server = settings.server
        return cls(server.url or settings.data_dir, durability=server.durability, wait=server.wait, start=start)

    @property
    def embedded(self) -> bool:
        """Whether this is the embedded server."""
        return isinstance(self.where, Path)

    @property
    def data(self) -> Path | None:
        """The data directory of the embedded server, or None where a URL was given."""
        return self.where if isinstance(self.where, Path) else None

    @property
    def masked(self) -> str:
        """The URL as it may be shown: a password in it is hidden."""
        if isinstance(self.where, Path):
            with process.unforked:
                from streamq.server.directory import DataDirectory  # needs fcntl, which Windows lacks

            return DataDirectory(self.where).url()
        with process.unforked:
            from streamq.config.url import mask  # brings YAML with it

        return mask(self.where)

    def resolve(self) -> str:
        """A URL at which the server is to be reached now; the embedded server is started or revived where it may be.

        Raises:
            ServerUnreachable: the embedded server does not answer, or must not be started.
            ServerUnusable: the embedded server cannot run here.
        """
        if isinstance(self.where, str):
            return self.where
        with process.unforked:
            from streamq.server import embedded  # needs fcntl, which Windows lacks

        wait = self.wait if self.start == "command" else min(self.wait, _ONE_ATTEMPT)
        embedded.ensure(self.where, self.durability, wait=wait, start=self.start)
        return self.masked

    def standing(self) -> Standing | None:
        """What notices that the embedded server's directory was deleted; None where a URL was given."""
        if isinstance(self.where, str):
            return None
        with process.unforked:
            from streamq.server.directory import Standing  # needs fcntl, which Windows lacks

        return Standing(self.where)

    def connected(self) -> None:
        """Note that a connection was made: from now on this is a client that comes back, not a new command."""
        if self.start == "command":
            self.start = "revive"

    def __repr__(self) -> str:
        return f"Endpoint({self.masked!r})"


def _check(url: str) -> None:
    """Refuse what redis-py would misread (it takes a wrong database for 0) or what streamq does not support."""
    scheme, separator, _ = url.partition("://")
    if re.search("sentinel|cluster", scheme, re.IGNORECASE):
        raise UsageError(
            f"{scheme}:// is not supported: a queue needs one Redis or Valkey server", hint="give redis:// of the master"
        )
    if scheme not in {"redis", "rediss", "unix"} or not separator:
        raise UsageError("the server's URL must begin with redis://, rediss:// or unix://", hint=_HINT)
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:  # it may quote the password
        raise UsageError("the server's URL is wrong: no host and port can be read from it", hint=_HINT) from None
    if scheme == "unix" and not parts.path:
        raise UsageError("the server's URL names no socket", hint=_HINT)
    if scheme != "unix" and not re.fullmatch(r"/?\d*", parts.path):
        raise UsageError("what follows the port in the server's URL is no database number", hint=_HINT)
