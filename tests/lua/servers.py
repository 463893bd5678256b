"""Throwaway servers of the tests' own, of the binary that all tests run on.

The tests of the scripts set memory limits, kill the server and flush its scripts, which nobody wants done to a shared one.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from streamq.server import binary
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from tests.conftest import wait_until


def server_binary() -> Path:
    """The server binary that the tests run on."""
    return binary.find()[0]


@contextlib.contextmanager
def throwaway(*options: str) -> Iterator[Server]:
    """A server in a folder of its own, as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="sq") as folder:
        server = Server(Path(folder), *options)
        try:
            server.start()
            yield server
        finally:
            server.kill()


class Server:
    """One server process in a folder of its own, reached through a Unix socket.

    Args:
        folder: where it keeps its socket and data; short, a socket's path is limited to about a hundred bytes.
        options: further options of the server, such as `"--appendonly", "yes"`.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, as `--url` takes it."""
        return f"unix://{self.folder}/s"

    def start(self) -> None:
        """Start it, and wait until it answers and has loaded its data."""
        (self.folder / "s").unlink(missing_ok=True)
        where = ("--port", "0", "--unixsocket", f"{self.folder}/s", "--dir", str(self.folder), "--save", "")
        command = [str(server_binary()), *where, *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, f"the server in {self.folder} answers")

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def link(self) -> Link:
        """A new connection of the kind that streamq itself uses."""
        return Link(Endpoint(self.url))

    def client(self) -> redis.Redis:
        """A plain client, to look at what the scripts did and to do behind their back what they must survive."""
        return redis.Redis.from_url(self.url, protocol=2)

    def _answers(self) -> Any:
        try:
            with self.client() as client:
                return client.ping()
        except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
            return False
