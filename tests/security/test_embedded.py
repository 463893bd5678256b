"""The embedded server is reached by its owner alone: by no port, by no other user."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamq.server import embedded
from tests.integration.server.servers import in_child, kill_server, servers_of


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory in a place where everybody may look, started with a umask that takes nothing away."""
    before = os.umask(0)
    try:
        with tempfile.TemporaryDirectory() as name:
            Path(name).chmod(0o755)
            data = Path(name) / ".streamq"
            embedded.ensure(data)
            yield data
            kill_server(data)
    finally:
        os.umask(before)


def test_directory_and_socket_are_their_owners_alone(data: Path) -> None:
    """Whatever the umask."""
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "server.sock").stat().st_mode) == 0o700


def test_it_listens_at_no_port(data: Path) -> None:
    """Neither for TCP nor for UDP: of all its sockets, none is of the network."""
    [server] = servers_of(data)
    assert server.net_connections("inet") == []
    assert [each for each in server.net_connections("unix") if str(each.laddr) == "server.sock"]
    sockets = {str(link.readlink()) for link in Path(f"/proc/{server.pid}/fd").glob("*") if link.is_symlink()}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        path = Path(f"/proc/{server.pid}/net/{table}")
        inodes = {line.split()[9] for line in path.read_text().splitlines()[1:]} if path.exists() else set()
        assert not {f"socket:[{inode}]" for inode in inodes} & sockets


def test_another_user_reaches_nothing(data: Path) -> None:
    """Not by the socket, not by the files, not by a command; only root may become another user to try."""
    if os.geteuid() != 0:
        assert in_child(lambda: os.setuid(65534)).startswith("PermissionError")
        return

    def connect() -> None:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(data / "server.sock"))

    for attempt in (connect, lambda: os.listdir(data), (data / "server.log").read_text):  # noqa: PTH208
        assert in_child(attempt, unprivileged=True).startswith("PermissionError")
    refused = in_child(lambda: embedded.ensure(data), unprivileged=True)
    assert refused.startswith("ServerUnusable")
    assert "belongs to another user" in refused
    [server] = servers_of(data)
    assert server.is_running()


def test_its_command_line_tells_no_more_than_that_it_runs(data: Path) -> None:
    """Everybody may read that."""
    [server] = servers_of(data)
    assert not {"--requirepass", "--masterauth", "--bind", "--port 6379"} & set(server.cmdline())
