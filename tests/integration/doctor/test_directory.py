"""A data directory that is spoilt under a running server, in each way that somebody has done it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from streamq.doctor.directory import space
from streamq.server import embedded
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from tests.conftest import wait_until
from tests.integration.doctor.conftest import Report, run_doctor
from tests.integration.server.servers import real_server


@pytest.fixture
def doctor(home: Path) -> Iterator[Callable[..., Report]]:
    """The doctor, at the directory of a server that runs; every server of it, unseen ones too, is ended after the test."""
    servers: set[psutil.Process] = set()

    def note() -> None:
        pid = embedded.status(home).pid
        if pid is not None:
            servers.add(psutil.Process(pid))

    def run(*options: str) -> Report:
        note()
        found = run_doctor(home.parent, "--data", str(home), *options)
        note()
        return found

    embedded.ensure(home)
    yield run
    for process in servers:
        if process.is_running():
            process.kill()
            wait_until(lambda process=process: not process.is_running(), "the server is gone")  # type: ignore[misc]


def test_a_directory_in_order(doctor: Callable[..., Report]) -> None:
    """The server works in it, alone."""
    found = doctor()
    assert found.worse == {}
    names = ("data-directory", "server-lock", "other-servers", "append-only-files", "permissions")
    assert {found.level(name) for name in names} == {"ok"}


def test_a_directory_that_was_deleted_under_its_server(home: Path, doctor: Callable[..., Report]) -> None:
    """`rm -rf .streamq`, and a server in the directory that somebody made anew by hand: the old one runs on unseen."""
    old = embedded.status(home).pid
    doctor()
    shutil.rmtree(home)
    home.mkdir(mode=0o700)
    command = [str(real_server()), "--port", "0", "--unixsocket", "server.sock", "--unixsocketperm", "700", "--appendonly", "yes"]
    by_hand = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL)
    wait_until(lambda: embedded.status(home).running, "the new server answers")
    found = doctor()
    by_hand.kill()
    by_hand.wait()
    assert found.level("other-servers") == "fault"
    assert found.findings["other-servers"]["subjects"] == [str(old)]
    assert f"kill {old}" in found.findings["other-servers"]["mend"]
    assert found.level("data-directory") == "ok"
    assert found.level("server-lock") == "fault"


def test_files_that_were_deleted_under_their_server(home: Path, doctor: Callable[..., Report]) -> None:
    """`rm -rf .streamq/*`: the lock is gone with the socket, and a second server starts beside the first."""
    old = embedded.status(home).pid
    doctor()
    for path in home.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = doctor()
    assert found.level("other-servers") == "fault"
    assert found.findings["other-servers"]["subjects"] == [str(old)]
    assert "overwrites" in found.findings["other-servers"]["what"]


def test_a_lock_that_was_deleted(home: Path, doctor: Callable[..., Report]) -> None:
    """Nothing keeps a second server away; nor does a new file that nobody holds."""
    home.joinpath("server.lock").unlink()
    assert doctor().level("server-lock") == "fault"
    home.joinpath("server.lock").touch()
    found = doctor()
    assert found.level("server-lock") == "fault"
    assert "does not hold" in found.findings["server-lock"]["what"]
    embedded.stop(home)
    embedded.ensure(home)
    assert doctor().level("server-lock") == "ok"


def test_an_append_only_file_that_was_deleted(home: Path, doctor: Callable[..., Report]) -> None:
    """A restart would lose everything; what the doctor says mends it."""
    link = Link(Endpoint(home, start="never"))
    link.call("SET", "streamq:test", "kept")
    for path in [*home.glob("appendonly.aof"), *home.glob("appendonlydir")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = doctor()
    assert found.level("append-only-files") == "fault"
    assert "CONFIG SET appendonly no" in found.findings["append-only-files"]["mend"]
    link.call("CONFIG", "SET", "appendonly", "no")
    link.call("CONFIG", "SET", "appendonly", "yes")
    wait_until(lambda: b"aof_rewrite_in_progress:0" in link.call("INFO", "persistence"), "it is written anew")
    assert doctor().level("append-only-files") == "ok"
    link.close()
    psutil.Process(embedded.status(home).pid).kill()
    wait_until(lambda: embedded.status(home).state == "absent", "the server is gone")
    with_new = Link(Endpoint(home))
    assert with_new.call("GET", "streamq:test") == b"kept"
    with_new.close()


def test_a_directory_and_a_socket_that_are_open_to_others(home: Path, doctor: Callable[..., Report]) -> None:
    """Anybody on the machine could read and send tasks; the repair closes them."""
    home.chmod(0o755)
    home.joinpath("server.sock").chmod(0o777)
    found = doctor()
    assert found.level("permissions") == "fault"
    assert found.findings["permissions"]["subjects"] == [str(home), str(home / "server.sock")]
    mended = doctor("--repair")
    assert mended.ok
    assert mended.findings["permissions"]["mended"] == "2 closed to others"
    assert (home.stat().st_mode & 0o777, home.joinpath("server.sock").stat().st_mode & 0o777) == (0o700, 0o700)
    assert doctor().level("permissions") == "ok"


def test_a_disk_that_is_nearly_full() -> None:
    """A rewrite of the append-only file needs as much again as the file has."""
    assert space(16 << 20, 0).level == "fault"
    assert space(100 << 20, 0).level == "warning"
    assert space(2 << 30, 1 << 20).level == "ok"
    found = space(2 << 30, 3 << 30)
    assert found.level == "warning"
    assert found.mend == "free 6 GiB there"


def test_the_disk_of_the_directory_is_looked_at(home: Path, doctor: Callable[..., Report]) -> None:
    """The one that the directory is on."""
    free = shutil.disk_usage(home).free
    assert doctor().level("disk-space") == space(free, 0).level
