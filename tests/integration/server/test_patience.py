"""Waiting for a server that is away: bounded, to be interrupted, and only for what can pass."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from streamq.errors import ServerUnreachable, ServerUnusable
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.server.patience import _pause, waiting
from streamq.server.reply import CannotPersist, ReplyLost
from tests.integration.server.servers import kill_server


def test_a_call_goes_on_when_the_server_is_back(home: Path) -> None:
    """Killed under a client that waits: the call ends well, without anybody's help."""
    link = Link(Endpoint(home))
    link.call("SET", "key", 1)
    kill_server(home)
    told: list[type[Exception]] = []
    assert waiting(lambda: link.call("GET", "key"), 30, on_wait=lambda error, _: told.append(type(error))) == b"1"
    assert told == [ReplyLost]
    link.close()


def test_the_last_error_is_raised_when_the_time_is_over() -> None:
    """Not an error of its own: the caller sees what was wrong."""
    link = Link(Endpoint("redis://127.0.0.1:1"))
    times: list[float] = []
    with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:1"):
        waiting(lambda: link.call("PING"), 0.2, on_wait=lambda _, away: times.append(away))
    assert len(times) > 1
    assert times == sorted(times)
    assert times[0] == 0


def test_what_waiting_cannot_mend_is_raised_at_once() -> None:
    """A server that cannot serve, and every error that is not the server's; others where the caller says so."""
    calls: list[int] = []

    def fail(error: Exception) -> None:
        calls.append(1)
        raise error

    for error in (ServerUnusable("no Redis"), ValueError("no error of a server"), CannotPersist("a full disk")):
        with pytest.raises(type(error)):
            waiting(lambda error=error: fail(error), 30)  # type: ignore[misc]
    assert len(calls) == 3
    with pytest.raises(CannotPersist):
        waiting(lambda: fail(CannotPersist("a full disk")), 0.1, also=(CannotPersist,))
    assert len(calls) > 4


def test_a_wait_ends_when_it_is_told_to_stop() -> None:
    """A worker that is asked to end does not wait an hour first."""
    stop = threading.Event()

    def away() -> None:
        raise ServerUnreachable("away")

    with pytest.raises(ServerUnreachable):
        waiting(away, 3600, stop=stop, on_wait=lambda *_: stop.set())


def test_pauses_grow_up_to_a_second_and_stay_there() -> None:
    """However long the server is away: a worker's patience may be days, a million tries."""
    assert 0.02 <= _pause(1) <= 0.04
    assert all(0.5 <= _pause(tries) <= 1 for tries in (7, 1100, 1_000_000))


def test_a_long_wait_is_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """One line after a second, not one a try, and one when the server is back."""
    tries = iter(range(1000))
    over = threading.Event()

    def call() -> str:
        next(tries)
        if over.is_set():
            return "back"
        raise ServerUnreachable("nobody there")

    def count(_: Exception, away: float) -> None:
        if away > 1.2:
            over.set()

    with caplog.at_level(logging.WARNING, "streamq.server"):
        assert waiting(call, 60, on_wait=count) == "back"
    assert next(tries) > 4
    first, second = [record.getMessage() for record in caplog.records]
    assert "nobody there" in first
    assert "up to 60 s" in first
    assert second.startswith("server back after")
