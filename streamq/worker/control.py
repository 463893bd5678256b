"""What a supervisor and its children tell each other: one JSON message a line over a socket pair. No task passes through it.

The end of the stream is a message too: whichever side sees it knows that the other is dead.
"""

from __future__ import annotations

import errno
import socket
import threading
from pathlib import Path
from typing import Any, Final

import msgspec

from streamq.config import Settings

_CHUNK: Final = 65536


class Message(msgspec.Struct, tag=True, frozen=True):
    """Base of the messages."""


class Start(Message, frozen=True):
    """To a child, first of all: who it is and what it runs."""

    settings: Settings
    worker: str
    consumer: str
    #: Runs suspects only, one at a time.
    quarantine: bool
    sync_slots: int
    async_slots: int


class Go(Message, frozen=True):
    """To a child: its heartbeat is known to the server, it may take."""


class Stop(Message, frozen=True):
    """To a child: take nothing more, hand back what has not started, finish what runs, end."""


class Pending(Message, frozen=True):
    """To a child, with each renewal: what the server says that it holds, and when that was asked (`time.monotonic()`)."""

    asked: float
    held: list[tuple[str, int, int]]


class Fleet(Message, frozen=True):
    """To a child, when it has changed: the names of the tasks that live workers know, whichever they are."""

    tasks: list[str]


class Ready(Message, frozen=True):
    """From a child: its handlers are loaded."""

    tasks: list[str]
    #: How often the tasks that say so themselves are delivered at most.
    limits: dict[str, int]
    has_sync: bool
    has_async: bool


class Failed(Message, frozen=True):
    """From a child: it cannot go on, and a new one could not either."""

    what: str
    hint: str | None
    exit_status: int


class Spent(Message, frozen=True):
    """From a child: the worker's budget of tasks (`--max-tasks`) is used up."""


class Channel:
    """One end of the socket pair; any thread may send, one thread receives.

    Sending never waits: the other end may be stopped, or its interpreter held, for any time, and must not hold up whoever speaks
    to others as well. What does not fit the socket is kept and goes before whatever is sent next.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._unsent = b""
        self._rest = b""

    @property
    def is_free(self) -> bool:
        """Whether all that was sent has gone out, after another try."""
        return self._push(b"") and not self._unsent

    def send(self, message: Message) -> bool:
        """Sends a message; False: the other end is gone."""
        return self._push(msgspec.json.encode(message, enc_hook=_encode_path) + b"\n")

    def _push(self, line: bytes) -> bool:
        with self._lock:
            self._unsent += line
            try:
                while self._unsent:
                    self._unsent = self._unsent[self._sock.send(self._unsent, socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                self._unsent = b""
                return False
        return True

    def receive(self) -> Any | None:
        """Waits for the next message; None: the other end is gone."""
        while True:
            line, end, rest = self._rest.partition(b"\n")
            if end:
                self._rest = rest
                return _decode(line)
            try:
                data = self._sock.recv(_CHUNK)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._rest += data

    def finish(self) -> None:
        """Ends the stream for whoever receives here, once all that has arrived is read: the other end is dead.

        A process that it had forked may hold its socket open, so the stream would not end by itself.
        """
        try:
            self._sock.shutdown(socket.SHUT_RD)
        except OSError as error:  # macOS: it has ended already
            if error.errno != errno.ENOTCONN:
                raise

    def close(self) -> None:
        """Closes this end."""
        self._sock.close()


def _encode_path(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no part of a message")


def _decode_path(kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        return kind(value)
    raise TypeError(f"{kind.__name__} is no part of a message")


_decode = msgspec.json.Decoder(Start | Go | Stop | Pending | Fleet | Ready | Failed | Spent, dec_hook=_decode_path).decode
