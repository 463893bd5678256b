"""The server under chaos: killed, halted, cut from power, its disk slow, replaced by its replica; always at two addresses."""

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

from tests.chaos import disk
from tests.conftest import wait_until
from tests.integration.server.servers import free_port
from tests.lua.servers import server_binary

#: How long a server keeps back, under `everysec`, what it should write while an fsync is under way, in seconds.
KEPT_BACK = 2.0


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
        moment, size = self._written()
        time.sleep(seconds)
        self.kill()
        os.truncate(self._file, size)
        return moment

    def end_with_slow_disk(self, seconds: float, *, power: bool) -> float:
        """End it while its disk is slow, so that it has said so: no fsync has come back all the while.

        Args:
            seconds: how long after it has said so, which it does, and writes what it had kept back, every two seconds.
            power: its machine loses power, and so all that was not synced; else it is killed, and loses what it kept back.

        Returns:
            The moment up to which everything is kept.
        """
        assert self.process is not None
        with self.client() as client:
            delayed = _delayed(client)
            with disk.without_fsync(self.process.pid):
                moment, size = self._written()
                wait_until(lambda: _delayed(client) > delayed, "the server has found its disk slow")
                time.sleep(seconds)
                killed = time.monotonic()
                self.process.kill()
            self.kill()
        if not power:
            return killed - KEPT_BACK
        os.truncate(self._file, size)
        return moment

    @property
    def _file(self) -> Path:
        """The append-only file that it writes."""
        [file] = [*self.folder.glob("appendonlydir/*.incr.aof"), *self.folder.glob("appendonly.aof")]
        return file

    def _written(self) -> tuple[float, int]:
        """A moment, and how much of the append-only file was written by then."""
        with self.client() as client:
            client.ping()
            return time.monotonic(), self._file.stat().st_size


def _delayed(client: redis.Redis) -> int:
    """How often the server has written without waiting any longer for an fsync that was under way."""
    delayed: int = client.info("persistence")["aof_delayed_fsync"]
    return delayed
