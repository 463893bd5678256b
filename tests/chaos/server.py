"""The server under chaos: killed, stopped, cut from power, replaced by its replica, always back at the same two addresses."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from tests.conftest import wait_until
from tests.integration.server.servers import free_port
from tests.lua.servers import server_binary


class Server:
    """A server with an append-only file.

    Args:
        folder: where it keeps its socket and data; short, a socket's path is limited to about a hundred bytes.
        fsync: `always` or `everysec`.
        socket_path: where else its Unix socket is.
        port: another port than any that is free.
    """

    def __init__(self, folder: Path, fsync: str, *, socket_path: Path | None = None, port: int | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.fsync = fsync
        self.port = port or free_port()
        self.socket = socket_path or folder / "s"
        self.url = f"unix://{self.socket}"
        self.tcp = f"redis://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        #: Held while it is killed, started or stopped: two faults do not fight over it.
        self.lock = threading.RLock()

    def start(self) -> None:
        """Start it, and wait until it answers and has loaded its data."""
        self.socket.unlink(missing_ok=True)
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket), "--dir", str(self.folder)]
        how = ["--save", "", "--appendonly", "yes", "--appendfsync", self.fsync, "--auto-aof-rewrite-percentage", "0"]
        with (self.folder / "log").open("ab") as log:
            command = [str(server_binary()), *where, *how, "--maxmemory-policy", "noeviction"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        wait_until(self.answers, f"the server in {self.folder} answers")

    def answers(self) -> Any:
        """Whether it answers."""
        with self.client() as client, contextlib.suppress(redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
            return client.ping()
        return False

    def client(self) -> redis.Redis:
        """A plain client."""
        return redis.Redis.from_url(self.url, protocol=2, socket_timeout=30)

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Its process is halted."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def cut_power(self, seconds: float) -> float:
        """End it, and lose what was written in its last seconds: the append-only file is cut where it ended then.

        Returns:
            The moment up to which everything is kept.
        """
        [file] = [*self.folder.glob("appendonlydir/*.incr.aof"), *self.folder.glob("appendonly.aof")]
        with self.client() as client:
            client.ping()
            moment, size = time.monotonic(), file.stat().st_size
        time.sleep(seconds)
        self.kill()
        os.truncate(file, size)
        return moment
