"""A server of its own for each measurement: the binary that streamq brings along or another, its file synced each second."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from scripts.lib.bench.errors import BenchError
from streamq.server import binary

#: What a server is started with, beside its port and folder.
SETTINGS = ("--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
_START = 60.0


def program(path: Path | None) -> tuple[Path, str]:
    """A server binary and what it is.

    Raises:
        ServerUnusable: it is none, or there is none.
    """
    if path is None:
        found, what = binary.find()
        return found, str(what)
    return path, str(binary.program(path))


class Server:
    """A server on a free port of the loopback, in a throwaway folder; gone with all that it holds when its block ends.

    Args:
        path: the binary.
        parent: where its folder is made.
        template: a folder of a server that has ended, whose data it starts with.
    """

    def __init__(self, path: Path, parent: Path, template: Path | None = None) -> None:
        self._path = path
        self.folder = Path(tempfile.mkdtemp(dir=parent, prefix="server-"))
        if template is not None:
            shutil.copytree(template, self.folder, dirs_exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url, protocol=2, socket_timeout=60)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [str(self._path), "--port", str(self.port), "--dir", str(self.folder), *SETTINGS]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "log").read_text(errors="replace")[-500:]
                self.__exit__(None, None, None)
                raise BenchError(f"{self._path} did not start: {said}", hint="--server names another server binary")
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def end(self) -> None:
        """End it in order; its folder stays."""
        self.client.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def compact(self) -> None:
        """Write its file anew, so that a copy of its folder is loaded fast."""
        self._await_rewrite()  # it may have begun one by itself, for the file has grown
        self.client.bgrewriteaof()
        self._await_rewrite()

    def _await_rewrite(self) -> None:
        while any(self.info("persistence")[f"aof_rewrite_{what}"] for what in ("in_progress", "scheduled")):
            time.sleep(0.05)

    def info(self, section: str) -> dict[str, Any]:
        """A section of INFO."""
        found: dict[str, Any] = self.client.info(section)
        return found

    @property
    def cpu(self) -> float:
        """Processor time that it has used, in seconds, its background threads included."""
        used = self.info("cpu")
        return float(used["used_cpu_user"] + used["used_cpu_sys"])

    @property
    def memory(self) -> int:
        """Bytes that it uses."""
        return int(self.info("memory")["used_memory"])

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
            return False
