"""Servers of their own for the tests that stop, kill, pause and starve them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.integration.server.servers import Serve, answers, free_port, real_server, started


@pytest.fixture(autouse=True)
def nothing_runs_on() -> Iterator[None]:
    """A test that fails leaves no writer behind."""
    yield
    while started:
        process = started.pop()
        process.kill()
        process.communicate()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers that a URL reaches."""
    servers: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> int:
        port = free_port()
        command = [str(real_server()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path), *options]
        servers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        wait_until(lambda: answers(port), f"a server answers at port {port}")
        return port

    yield start
    for process in servers:
        process.kill()
        process.wait()
