"""Whoever sends one task looks for the reply before it sleeps: for a moment, ever more rarely where that is in vain, alone."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from streamq.server.lookout import REST_MOST, Lookout


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process of a single thread, which that of the tests is not."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@pytest.mark.usefixtures("alone")
def test_what_is_there_or_comes_meanwhile_is_seen(pair: tuple[socket.socket, socket.socket]) -> None:
    """Bytes, and the end of the connection."""
    ours, theirs = pair
    lookout = Lookout(ours)
    assert not lookout.anything()
    theirs.send(b"+")
    assert lookout.anything()
    assert lookout.wait()
    ours.recv(1)
    theirs.close()
    assert lookout.anything(), "the end"
    assert lookout.wait()


@pytest.mark.usefixtures("alone")
def test_after_looks_in_vain_it_rests_ever_longer_until_one_is_not_in_vain(pair: tuple[socket.socket, socket.socket]) -> None:
    """Twice as long each time, to a bound; one look that is worth it begins it all anew."""
    ours, theirs = pair
    lookout = Lookout(ours)
    for rests in (1, 2, 4, 8, 16, 32, 64, REST_MOST, REST_MOST):
        assert not lookout.wait(), "in vain"
        theirs.send(b"+")
        assert not any(lookout.wait() for _ in range(rests)), "it rests, and does not see it"
        ours.recv(1)
    assert not lookout.wait()
    theirs.send(b"+")
    assert [lookout.wait() for _ in range(REST_MOST + 1)] == [False] * REST_MOST + [True]
    ours.recv(1)
    assert not lookout.wait()
    theirs.send(b"+")
    assert [lookout.wait() for _ in range(2)] == [False, True], "from the beginning"


def test_nobody_looks_beside_other_threads(pair: tuple[socket.socket, socket.socket]) -> None:
    """They would wait for the interpreter meanwhile."""
    ours, theirs = pair
    lookout, ending = Lookout(ours), threading.Event()
    theirs.send(b"+")
    other = threading.Thread(target=ending.wait)
    other.start()
    try:
        assert not lookout.wait()
    finally:
        ending.set()
        other.join()
