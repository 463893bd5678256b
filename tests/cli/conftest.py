"""The program as people call it: a process, its output, its exit status, in a pipe or on a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.commands import PROGRAM, run
from tests.conftest import wait_until
from tests.seeds import Seed


class Ended(NamedTuple):
    """How a process ended."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """The JSON lines of its output."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Program:
    """Runs `streamq` in a folder, with an environment that holds nothing else."""

    folder: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __call__(self, *arguments: str, stdin: bytes | None = None, **environment: str) -> Ended:
        """Run a command to its end."""
        return Ended(*run(arguments, self.folder, self.environment | environment, stdin or b""))

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[bytes]:
        """Start a command; what still runs at the end of the test is killed."""
        settings: dict[str, Any] = {"cwd": self.folder, "env": self.environment, "stdin": subprocess.DEVNULL}
        settings |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
        process: subprocess.Popen[bytes] = subprocess.Popen([*PROGRAM, *arguments], **settings)
        self.started.append(process)
        return process

    def close(self) -> None:
        """End what was started."""
        for process in self.started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def on_terminal(self, *arguments: str, answer: str = "", **environment: str) -> Ended:
        """Run a command to its end on a terminal of 120 columns, where `answer` is typed; its output and errors come together."""
        ours, theirs = pty.openpty()
        os.write(ours, answer.encode())
        size = {"COLUMNS": "120", "LINES": "40", "TERM": "xterm-256color"}
        process = subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=self.folder,
            env=self.environment | size | environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the other end is closed: the process has ended
                break
        os.close(ours)
        return Ended(process.wait(), shown.decode().replace("\r\n", "\n"), "")

    def touch(self, *names: str) -> None:
        """Make files; what is sent is never looked into."""
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Program]:
    """The program in an empty folder, with no server and no configuration."""
    program = Program(tmp_path, {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ})
    yield program
    program.close()


@pytest.fixture
def streamq(alone: Program, server: str, queue_name: str) -> Program:
    """The program in an empty folder, at the session's server and a queue of the test's own."""
    alone.environment |= {"STREAMQ_URL": server, "STREAMQ_QUEUE": queue_name}
    return alone


@pytest.fixture
def blocked(client: Any) -> Callable[[], None]:
    """Waits until some client of the server is in a blocking read."""

    def wait() -> None:
        wait_until(lambda: any("b" in each["flags"] for each in client.client_list()), "a client waits in a blocking read")

    return wait


@pytest.fixture
def seed(server: str, queue_name: str) -> Iterator[Seed]:
    """The queue of the program, to be brought into any state."""
    seed = Seed(server, queue_name)
    yield seed
    seed.close()
