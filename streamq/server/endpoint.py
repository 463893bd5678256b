"""Which server is meant: one that a URL names, or the embedded one of a data directory; a URL always wins.

An `Endpoint` is a plain value that can be handed to other threads and pickled to other processes. `connect.py` asks it for an address at
every connect, so that a client of the embedded server revives one that was killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamq.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from streamq.config import Settings
    from streamq.server.embedded import Durability, Start

_SCHEMES = ("redis://", "rediss://", "unix://")


class Endpoint:
    """Where the server is, and what may be done to have one there.

    Args:
        url: `redis://`, `rediss://` or `unix://`; None: the embedded server of `data`.
        data: the data directory.
        durability: what is asked of an embedded server.
        wait: how long, in seconds, the embedded server may take until it answers.
        start: who is asking (see `embedded.Start`); becomes `revive` with the first connection, so that a client which was connected
            does not start again what `server stop` has stopped.

    Raises:
        UsageError: the URL is not one that streamq can use.
    """

    def __init__(
        self, url: str | None = None, *, data: Path | None = None, durability: Durability = "everysec", wait: float = 60.0,
        start: Start = "command",
    ) -> None:  # fmt: skip
        if url is not None:
            _check(url)
        elif data is None:
            raise UsageError("neither a URL nor a data directory says where the server is")
        self.url = url
        self.data = data
        self.durability = durability
        self.wait = wait
        self.start: Start = start

    @classmethod
    def of(cls, settings: Settings, *, start: Start = "command") -> Endpoint:
        """The endpoint that the settings mean."""
        server = settings.server
        return cls(server.url, data=settings.data_dir, durability=server.durability, wait=server.wait, start=start)

    @property
    def embedded(self) -> bool:
        """Whether this is the embedded server."""
        return self.url is None

    @property
    def masked(self) -> str:
        """The URL as it may be shown: a password in it is hidden."""
        if self.url is None:
            return self._socket_url()
        from streamq.config.url import mask  # noqa: PLC0415 - not on the way of a plain connect

        return mask(self.url)

    def resolve(self) -> str:
        """A URL at which the server is to be reached now; the embedded server is started or revived where it may be.

        Raises:
            ServerUnreachable: the embedded server does not answer, or must not be started.
            ServerUnusable: the embedded server cannot run here.
        """
        if self.url is not None:
            return self.url
        from streamq.server import embedded  # noqa: PLC0415 - there is none where a URL is given, nor on Windows

        assert self.data is not None  # noqa: S101 - see __init__
        path = embedded.ensure(self.data, self.durability, wait=self.wait, start=self.start)
        return f"unix://{_quoted(path)}"

    def connected(self) -> None:
        """Note that a connection was made: from now on this is a client that comes back, not a new command."""
        if self.start == "command":
            self.start = "revive"

    def _socket_url(self) -> str:
        from streamq.server.directory import DataDirectory  # noqa: PLC0415

        assert self.data is not None  # noqa: S101 - see __init__
        return f"unix://{_quoted(DataDirectory(self.data).socket())}"

    def __repr__(self) -> str:
        return f"Endpoint({self.masked!r})"


def _quoted(path: Path) -> str:
    from urllib.parse import quote  # noqa: PLC0415 - loaded by redis-py anyway, but not by `server status`

    return quote(str(path))


def _check(url: str) -> None:
    scheme = url.partition("://")[0].lower()
    if "sentinel" in scheme or "cluster" in scheme:
        raise UsageError(f"Sentinel and Cluster addresses are not supported ({scheme}://)", hint="give redis:// of the master itself")
    if not url.startswith(_SCHEMES):
        raise UsageError(f"the server's URL begins with {url[: len(scheme) + 3]!r}: not redis://, rediss:// or unix://",
                         hint="such as redis://localhost:6379/0")
