"""What a supervisor and its children tell each other arrives whole and in order, and nobody waits for who does not listen."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from streamq.config import load
from streamq.worker.control import Channel, Failed, Go, Message, Pending, Ready, Spent, Start, Stop
from tests.conftest import wait_until

HELD = [(f"d1764000000000-{n}", 1, 250) for n in range(1000)]


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """Both ends of a channel."""
    ours, theirs = map(Channel, socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    "message",
    [
        Start(load(cwd="/", environ={}), "w1", "w1-1a2b", quarantine=False, sync_slots=4, async_slots=100),
        Go(),
        Stop(),
        Spent(),
        Pending(1.5, HELD),
        Ready(["a", "b"], {"a": 2}, has_sync=True, has_async=False),
        Failed("no server", "start it", 3),
        Failed("no server", None, 3),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_arrives_as_it_was_sent(ends: tuple[Channel, Channel], message: Message) -> None:
    """The settings with all their sections included."""
    ours, theirs = ends
    assert ours.send(message)
    assert theirs.receive() == message


def test_nobody_waits_for_one_who_does_not_listen(ends: tuple[Channel, Channel]) -> None:
    """A child whose interpreter is held must not hold up the leases of the others; what was told to it arrives later."""
    ours, theirs = ends
    told = next(n for n in range(1000) if not (ours.send(Pending(float(n), HELD)) and ours.is_free)) + 1
    assert ours.send(Stop())
    received: list[object] = []

    def listen() -> None:
        while (message := theirs.receive()) is not None:
            received.append(message)

    listener = threading.Thread(target=listen)
    listener.start()
    wait_until(lambda: ours.is_free, "all has gone out")
    ours.close()
    listener.join()
    assert [message.asked for message in received[:-1] if isinstance(message, Pending)] == [float(n) for n in range(told)]
    assert received[-1] == Stop()


def test_the_end_of_the_other_is_told(ends: tuple[Channel, Channel]) -> None:
    """To who sends and to who receives; what had been sent before is still read."""
    ours, theirs = ends
    theirs.send(Spent())
    theirs.close()
    assert ours.receive() == Spent()
    assert ours.receive() is None
    assert not ours.send(Go())


def test_the_end_is_told_though_a_grandchild_holds_the_stream_open() -> None:
    """Whoever knows that the other is dead ends the stream, and still hears its last words."""
    sock, other = socket.socketpair()
    ours, theirs = Channel(sock), Channel(other)
    theirs.send(Failed("over", None, 1))
    copy = os.dup(other.fileno())
    theirs.close()
    ours.finish()
    assert ours.receive() == Failed("over", None, 1)
    assert ours.receive() is None
    os.close(copy)
    ours.close()
