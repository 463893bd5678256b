"""A slow disk is what it is said to be: the server notices it, and what it forgets lies in the window that chaos excuses."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.chaos import disk, faults
from tests.chaos.server import KEPT_BACK, Server
from tests.conftest import wait_until


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that syncs each second."""
    with tempfile.TemporaryDirectory(prefix="sq") as folder:
        server = Server(Path(folder), "everysec")
        server.start()
        yield server
        server.kill()


def written(server: Server, stop: threading.Event, moments: list[float]) -> None:
    """Append to a list, and note when each value had been acknowledged."""
    with server.client() as client:
        while not stop.is_set():
            try:
                client.rpush("list", len(moments))
            except redis.ConnectionError:
                return
            moments.append(time.monotonic())


@pytest.mark.parametrize("power", [False, True])
def test_what_is_forgotten_lies_in_the_window(server: Server, power: bool) -> None:  # noqa: FBT001 - a parameter
    """Nothing older is gone; and as much is gone as only a slow disk costs."""
    if not disk.can_hold():
        assert not set(faults.OF_SLOW_FSYNC) & set(faults.losses())
        return
    stop, moments = threading.Event(), list[float]()
    writer = threading.Thread(target=written, args=(server, stop, moments))
    try:
        writer.start()
        wait_until(lambda: len(moments) > 100, "values are written")
        kept = server.end_with_slow_disk(1.5, power=power)
        stop.set()
        writer.join()
        server.start()
        with server.client() as client:
            many = client.llen("list")
        lost = moments[many:]
        assert lost
        assert lost[0] >= kept - (faults.EVERYSEC if power else 0.5)
        assert moments[-1] - lost[0] > (KEPT_BACK + 1 if power else 1)
    finally:
        stop.set()
        server.kill()  # ends the writer
        writer.join()
    assert "Asynchronous AOF fsync is taking too long" in (server.folder / "log").read_text()


def test_a_thread_is_let_go(server: Server) -> None:
    """When the time is over, fsyncs end again."""
    assert server.process is not None
    if not disk.can_hold():
        with pytest.raises(OSError, match="a thread cannot be held still"), disk.without_fsync(server.process.pid):
            pass
        return
    with server.client() as client:
        with disk.without_fsync(server.process.pid):
            client.set("name", "value")
            wait_until(lambda: client.info("persistence")["aof_pending_bio_fsync"], "an fsync is under way")
        wait_until(lambda: not client.info("persistence")["aof_pending_bio_fsync"], "it has ended")
