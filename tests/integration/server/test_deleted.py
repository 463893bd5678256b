"""`rm -rf .streamq` while its server runs: nobody is given a second server beside one that still works for somebody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from streamq.errors import ServerUnusable
from streamq.server import embedded
from streamq.server.connect import Link
from streamq.server.directory import DataDirectory, Standing
from streamq.server.endpoint import Endpoint
from tests.conftest import wait_until
from tests.integration.server.servers import output, python, servers_of

COMMAND = """
import sys
from pathlib import Path
from streamq.errors import ServerUnusable
from streamq.server import embedded
try:
    embedded.ensure(Path(sys.argv[1]))
except ServerUnusable as error:
    print(error.what, "|", error.hint)
"""


@pytest.fixture
def living(home: Path) -> Iterator[tuple[psutil.Process, Link]]:
    """A server, and a client that is connected to it; the server is killed afterwards."""
    link = Link(Endpoint(home))
    link.call("SET", "key", "value")
    [server] = servers_of(home)
    yield server, link
    link.close()
    if server.is_running():
        server.kill()
    wait_until(lambda: not server.is_running(), "the server is gone")


def test_no_second_server_is_started_while_the_first_one_works_for_somebody(
    home: Path, living: tuple[psutil.Process, Link]
) -> None:
    """Whoever comes is told which process runs on; what is connected works; once that has ended, a new one may start."""
    server, link = living
    shutil.rmtree(home)
    said = output(python(COMMAND, home))
    assert f"was deleted, and its server (process {server.pid}) runs on" in said
    assert f"`kill {server.pid}`" in said
    assert servers_of(home) == [server]
    assert link.call("GET", "key") == b"value"
    server.terminate()
    wait_until(lambda: not server.is_running(), "the server has ended")
    link.close()
    assert link.call("GET", "key") is None
    assert len(servers_of(home)) == 1


def test_whoever_stops_it_is_told_that_it_runs_on(home: Path, living: tuple[psutil.Process, Link]) -> None:
    """Not that no server was running, whether or not somebody has made the directory again."""
    server, _ = living
    shutil.rmtree(home)
    for _ in range(2):
        with pytest.raises(ServerUnusable, match=rf"process {server.pid}\) runs on"):
            embedded.stop(home)
        home.mkdir(mode=0o700, exist_ok=True)


def test_a_directory_that_was_moved_is_another_one(home: Path, living: tuple[psutil.Process, Link]) -> None:
    """Its server went with it and is found there; at the old place a new one may start."""
    server, link = living
    moved = home.with_name("moved")
    home.rename(moved)
    assert embedded.status(moved).pid == server.pid
    embedded.ensure(home)
    assert [found.pid for found in servers_of(home)] != [server.pid]
    assert link.call("GET", "key") == b"value"


def test_a_process_that_only_stands_in_a_deleted_directory_is_no_server(home: Path) -> None:
    """A shell, say."""
    home.mkdir(mode=0o700)
    shell = psutil.Popen(["sleep", "100"], cwd=home)
    home.rmdir()
    assert DataDirectory(home).ghost() is None
    embedded.ensure(home)
    shell.kill()
    shell.wait()


def test_who_is_connected_can_see_that_the_directory_is_gone(home: Path, living: tuple[psutil.Process, Link]) -> None:
    """Nothing is said while it stands, whatever restarts; deleted, or made anew, it is not the one that it was."""
    standing = Standing(home)
    standing.check()
    embedded.stop(home)
    embedded.ensure(home)
    standing.check()
    server = servers_of(home)[0]
    shutil.rmtree(home)
    with pytest.raises(ServerUnusable, match="was deleted while its server runs"):
        standing.check()
    server.kill()
    wait_until(lambda: not server.is_running(), "the server is gone")
    embedded.ensure(home)
    with pytest.raises(ServerUnusable, match="was deleted while its server runs"):
        standing.check()
    Standing(home).check()


def test_a_directory_that_comes_later_is_watched_from_then_on(home: Path) -> None:
    """A worker may start before there is a server."""
    standing = Standing(home)
    standing.check()
    embedded.ensure(home)
    standing.check()
    shutil.rmtree(home, ignore_errors=True)
    with pytest.raises(ServerUnusable, match="was deleted"):
        standing.check()
    pid = DataDirectory(home).ghost()
    assert pid is not None
    server = psutil.Process(pid)
    server.kill()
    wait_until(lambda: not server.is_running(), "the server is gone")
