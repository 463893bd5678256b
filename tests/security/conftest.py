"""The program in a folder of its own, real workers, and servers with users, on whichever server the tests run on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Program
from tests.conftest import wait_until
from tests.integration.server.servers import answers, free_port
from tests.lua.servers import server_binary

#: Starts a server with options of its own, and gives its loopback port.
Serve = Callable[..., int]


@pytest.fixture
def streamq(tmp_path: Path) -> Iterator[Program]:
    """The program in an empty folder, with no server and no configuration."""
    folder = tmp_path / "alone"
    folder.mkdir()
    program = Program(folder, {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ})
    yield program
    program.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers that a URL reaches."""
    servers: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> int:
        port = free_port()
        where = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path))
        servers.append(subprocess.Popen([str(server_binary()), *where, *options], stdout=subprocess.DEVNULL))
        wait_until(lambda: answers(port), f"a server answers at port {port}")
        return port

    yield start
    for process in servers:
        process.kill()
        process.wait()
