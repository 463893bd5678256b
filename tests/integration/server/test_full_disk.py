"""A full disk below the embedded server: everybody is told, nothing acknowledged is lost, and all go on when there is room."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamq.errors import ServerError, ServerUnusable
from streamq.server import embedded
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.server.reply import CannotPersist
from tests.conftest import wait_until
from tests.integration.server.disk import Disk, Limit, SmallFileSystem, mounted
from tests.integration.server.servers import kill_server, servers_of
from tests.workshop import Workshop


def _kinds() -> list[str]:
    """The kinds of full disks that this system can have."""
    with tempfile.TemporaryDirectory() as folder, mounted(Path(folder)) as is_mounted:
        return ["file system", "limit"] if is_mounted else ["limit"]


@pytest.fixture(params=_kinds())
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A disk with room; whatever runs on it is killed after the test."""
    folder = tmp_path / "disk"
    folder.mkdir()
    disk: Disk
    if request.param == "limit":
        disk = Limit(folder, monkeypatch)
        yield disk
        kill_server(disk.data)
    else:
        with mounted(folder):
            disk = SmallFileSystem(folder)
            yield disk
            kill_server(disk.data)


def _is_refused(link: Link) -> bool:
    """Write, and tell whether the server said that it cannot."""
    try:
        link.call("SET", "more", os.urandom(10_000).hex())
    except CannotPersist as error:
        return "free space on the disk" in (error.hint or "")
    return False


def test_a_start_on_a_full_disk_says_so_and_a_later_one_works(disk: Disk) -> None:
    """It fails, or the server that starts refuses writes; half a directory may be there, and is none the worse for it."""
    disk.fill()
    try:
        embedded.ensure(disk.data)
    except ServerUnusable as error:
        said = error.what
    else:
        link = Link(Endpoint(disk.data))
        wait_until(lambda: _is_refused(link), "writes are refused")
        link.close()
        kill_server(disk.data)
        said = "No space left on device"
    assert "No space left on device" in said or "ended while it started" in said
    disk.free()
    link = Link(Endpoint(disk.data))
    assert link.call("INCR", "counter") == 1
    link.close()


def test_a_restart_on_a_full_disk_keeps_what_was_there(disk: Disk) -> None:
    """It starts or says why it does not; when there is room it has everything, and takes more."""
    link = Link(Endpoint(disk.data, durability="always"))
    for number in range(100):
        link.call("XADD", "stream", "*", "number", number)
    link.close()
    for _ in range(3):
        kill_server(disk.data)
        disk.fill()
        with contextlib.suppress(ServerUnusable):
            embedded.ensure(disk.data)
        disk.free()
    link = Link(Endpoint(disk.data))
    assert link.call("XLEN", "stream") == 100
    assert link.call("XADD", "stream", "*", "number", 100)
    link.close()
    assert len(servers_of(disk.data)) == 1


@pytest.fixture
def shop(tmp_path: Path, disk: Disk, queue_name: str) -> Iterator[Workshop]:
    """A workshop whose server is on that disk."""
    (tmp_path / "shop").mkdir()
    shop = Workshop(tmp_path / "shop", disk.data, queue_name)
    yield shop
    shop.clear()


@pytest.mark.parametrize("durability", ["everysec", "always"])
def test_senders_and_workers_say_so_and_go_on_when_there_is_room(disk: Disk, shop: Workshop, durability: str) -> None:
    """A task that ends meanwhile is settled afterwards; each that was accepted is finished, also by a server that was killed.

    With `everysec` the server refuses writes; with `always` it ends at the first that fails, and whoever needs it starts it.
    """
    shop.configure(server={"durability": durability, "wait": 1})
    shop.send_numbered("hold", [1])
    worker = shop.start("w1")
    shop.happened("start", 1)
    disk.fill()
    refusal: ServerError | None = None
    number = 2
    while refusal is None:
        try:
            shop.send_numbered("work", range(number, number + 20))
            number += 20
        except ServerError as error:
            refusal = error
    assert isinstance(refusal, CannotPersist) or durability == "always"
    if durability == "everysec":
        sent = shop.streamq("produce", "--task", "work", "--args", '{"n": 0}')
        assert (sent.returncode, sent.stdout) == (3, "")
        assert "streamq: error: the server cannot write to its disk" in sent.stderr
        assert "hint: free space on the disk" in sent.stderr
        assert shop.streamq("pending").returncode == 0
        worker.said("the server cannot write to its disk")
    shop.open()
    shop.happened("end", 1)
    worker.said("server away")
    disk.free()
    wait_until(lambda: _send(shop, number), "a task is accepted")
    finished = shop.settled().finished_total
    kill_server(disk.data)
    embedded.ensure(disk.data)
    figures = shop.settled()
    assert (figures.finished_total, figures.dead, figures.sent_total) == (finished, 0, finished)
    assert set(shop.count("end")) >= set(range(1, number + 1))
    assert worker.stop() == 0


def _send(shop: Workshop, number: int) -> list[str]:
    try:
        return shop.send_numbered("work", [number])
    except ServerError:
        return []


@pytest.fixture
def unwritten(disk: Disk) -> Iterator[Link]:
    """A link to a server that has accepted 1000 entries and more, the last of which it cannot write; its disk is full."""
    link = Link(Endpoint(disk.data))
    link.batch([("XADD", "stream", "*", "number", number) for number in range(1000)])
    disk.fill()
    refused = False
    while not refused:
        try:
            # More than one page: a file system that is full may still have room in the page that the file ends in.
            link.call("XADD", "stream", "*", "text", os.urandom(5_000).hex())
        except CannotPersist:
            refused = True
    yield link
    link.close()


def _written(link: Link) -> bool:
    return b"aof_last_write_status:ok" in link.call("INFO", "persistence")


def test_a_server_that_cannot_write_is_not_stopped(disk: Disk, unwritten: Link, shop: Workshop) -> None:
    """What it accepted last is in memory alone: `stop` and the doctor say so; when there is room it stops and nothing is lost."""
    accepted = unwritten.call("XLEN", "stream")
    stopped = shop.streamq("server", "stop")
    assert (stopped.returncode, stopped.stdout) == (3, "")
    assert "what it accepted last is in memory alone, and would be lost: it is not stopped" in stopped.stderr
    assert "hint: free space on the disk of its data directory" in stopped.stderr
    examined = shop.streamq("doctor")
    assert examined.returncode == 1
    assert "do not stop the server, that would be lost" in " ".join(examined.stdout.split())
    assert embedded.status(disk.data).running
    disk.free()
    wait_until(lambda: _written(unwritten), "the server has written")
    unwritten.close()
    assert embedded.stop(disk.data)
    embedded.ensure(disk.data)
    assert unwritten.call("XLEN", "stream") == accepted


def test_a_server_that_cannot_write_is_not_set_to_always(disk: Disk, unwritten: Link) -> None:
    """It would end at once; when there is room it takes the setting and has lost nothing."""
    accepted = unwritten.call("XLEN", "stream")
    with pytest.raises(CannotPersist, match="would be lost: it is not set to durability always"):
        embedded.ensure(disk.data, "always")
    assert unwritten.call("XLEN", "stream") == accepted
    disk.free()
    wait_until(lambda: _written(unwritten), "the server has written")
    embedded.ensure(disk.data, "always")
    assert embedded.status(disk.data).fsync == "always"
    unwritten.close()
    kill_server(disk.data)
    embedded.ensure(disk.data)
    assert unwritten.call("XLEN", "stream") == accepted
