"""`Link`: one connection to the server, made by us so that it never does anything twice.

redis-py's clients repeat a command whose reply was lost, which makes three tasks of one XADD, and cut blocking reads short. So
redis-py only connects here (TCP, TLS, Unix socket, login, database); what goes over the socket then is packed and parsed with hiredis. A
lost connection is an error at once and made anew at the next call; whether the command may be repeated is for the caller to
say. Every error is one of streamq's. The server is checked once an endpoint, at the first connection.
"""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Any

import hiredis
import redis.exceptions
from redis.connection import Connection, UnixDomainSocketConnection, parse_url

from streamq.errors import ServerUnreachable, ServerUnusable, StreamqError, UsageError
from streamq.server.reply import ReplyError, ReplyLost, error_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from streamq.server.endpoint import Endpoint

Argument = str | bytes | int | float
Reply = Any

#: How long a command may take, in seconds.
TIMEOUT = 5.0
#: A connection that was idle for longer than this is looked at before it is used: a server that restarted meanwhile has closed it.
_IDLE = 0.5
_UNSET = object()
_UNUSABLE_OS_ERRORS = (PermissionError, IsADirectoryError, NotADirectoryError)


class Link:
    """One connection, for one thread at a time; connects at its first call, and again after a break.

    Args:
        endpoint: where the server is.
        timeout: seconds until a reply that does not come is an error.
        name: shown by CLIENT LIST.
    """

    def __init__(self, endpoint: Endpoint, *, timeout: float = TIMEOUT, name: str | None = None) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self.name = "".join(c for c in name if "!" <= c <= "~") if name else None
        self._connection: Connection | UnixDomainSocketConnection | None = None
        self._socket: socket.socket
        self._reader: hiredis.Reader
        self._buffer = bytearray(65536)
        self._limit: float | None = None
        self._used = 0.0
        self._pid = 0

    def call(self, *args: Argument) -> Reply:
        """Send one command and return its reply; text is bytes.

        Raises:
            ReplyError: the server refused the command.
            ReplyLost: it was sent and no reply came: it may have been executed.
            ServerUnreachable: it was not sent, or the server is not ready (LOADING, BUSY).
            ServerUnusable: what answers cannot serve.
            ServerError: the server's memory or disk is full (`MemoryFull`, `CannotPersist`).
        """
        [reply] = self._exchange(hiredis.pack_command(args), 1, self.timeout)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def batch(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        """Send commands in one packet and return their replies in order; an error reply is a `StreamqError` in its place.

        Raises:
            ServerError: as `call`; some of the commands may have been executed.
        """
        if not commands:
            return []
        return self._exchange(b"".join([hiredis.pack_command(tuple(args)) for args in commands]), len(commands), self.timeout)

    def read(self, *args: Argument, block: float) -> Reply:
        """Send one blocking command and return its reply.

        Args:
            args: the command, its own limit (BLOCK) included.
            block: that limit in seconds; the reply may take this much longer than that of any other command.

        Raises:
            ServerError, ReplyError: as `call`.
        """
        [reply] = self._exchange(hiredis.pack_command(args), 1, block + self.timeout)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def connect(self) -> None:
        """Connect now, where that has not been done: errors of the address show before anything is sent."""
        if self._connection is None or self._pid != os.getpid():
            self._open()

    def close(self) -> None:
        """Close the connection; the next call makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()  # in a forked child it only closes, and leaves the parent's connection alone

    def _exchange(self, packet: bytes, count: int, limit: float) -> list[Reply]:
        """Send a packet and read its replies; after any kind of interruption the connection is closed, or replies would shift."""
        if self._connection is None or self._pid != os.getpid():
            self._open()
        elif time.monotonic() - self._used > _IDLE and self._was_closed():
            self._open()
        try:
            replies = self._transfer(packet, count, limit)
        except TimeoutError as error:
            self.close()
            raise ReplyLost(f"{self.endpoint.masked} did not answer in {limit:g} s") from error
        except OSError as error:
            self.close()
            raise ReplyLost(f"the connection to {self.endpoint.masked} broke: {error.strerror or error}") from error
        except hiredis.ProtocolError as error:
            self.close()
            raise ServerUnusable(f"{self.endpoint.masked} answers, but not as Redis does: {error}") from error
        except BaseException:
            self.close()
            raise
        if isinstance(replies[0], ServerUnusable):
            self.close()  # READONLY after a failover: the name may mean another server by now
        return replies

    def _transfer(self, packet: bytes, count: int, limit: float) -> list[Reply]:
        if limit != self._limit:
            self._socket.settimeout(limit)
            self._limit = limit
        self._socket.sendall(packet)
        replies: list[Reply] = []
        reader, buffer = self._reader, self._buffer
        while True:
            while (reply := reader.gets()) is not _UNSET:
                replies.append(reply)
                if len(replies) == count:
                    self._used = time.monotonic()
                    return replies
            size = self._socket.recv_into(buffer)
            if size == 0:
                raise ConnectionResetError("the server closed it")
            reader.feed(buffer, 0, size)

    def _was_closed(self) -> bool:
        """Whether the server has closed a connection that is not in use: nothing is due, so anything to read is its end."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def _open(self) -> None:
        self.close()
        connection = _connection(self.endpoint.resolve(), self.timeout)
        try:
            connection.connect()
        except redis.exceptions.RedisError as error:
            raise _translated(error, self.endpoint.masked) from error
        self._connection, self._socket = connection, connection._get_socket()
        self._reader = hiredis.Reader(notEnoughData=_UNSET, replyError=error_of, errors="replace")
        self._limit, self._pid = None, os.getpid()
        self._greet()
        self.endpoint.connected()

    def _greet(self) -> None:
        """Give the connection its name, and see at once whether what answers is a Redis that can serve a queue."""
        greeting: list[tuple[str, ...]] = [("COMMAND", "INFO", "XAUTOCLAIM")]
        if self.name:
            greeting.append(("CLIENT", "SETNAME", self.name))
        try:
            answer, *_ = self._exchange(b"".join(map(hiredis.pack_command, greeting)), len(greeting), self.timeout)
        except ReplyLost as error:
            raise ServerUnreachable(error.what, hint=error.hint) from error
        if isinstance(answer, StreamqError) and not _forbidden(answer):
            self.close()
            raise answer
        if answer == [None]:
            self.close()
            raise ServerUnusable(f"{self.endpoint.masked} is too old: it has no XAUTOCLAIM", hint="use Redis 6.2 or newer, or Valkey")


def _forbidden(error: StreamqError) -> bool:
    """Whether the user may only not ask; he may well be allowed all that a queue needs."""
    return isinstance(error, ReplyError) or "NOPERM" in error.what


def _connection(url: str, timeout: float) -> Connection | UnixDomainSocketConnection:
    """A connection of redis-py to a URL, without its repetitions, health checks and notifications."""
    try:
        options = parse_url(url)
        if "host" in options and not isinstance(options.get("db", 0), int):
            raise ValueError("the database must be a number")
        kind = options.pop("connection_class", Connection)
        options.update(
            socket_timeout=timeout, socket_connect_timeout=timeout, protocol=2, decode_responses=False, driver_info=None,
            health_check_interval=0, retry=None, retry_on_timeout=False,
        )  # fmt: skip
        return kind(**options)  # type: ignore[no-any-return]
    except (ValueError, TypeError) as error:
        raise UsageError(f"the server's URL cannot be used: {error}", hint="such as redis://USER:PASSWORD@HOST:6379/0") from error


def _translated(error: redis.exceptions.RedisError, where: str) -> StreamqError:
    """redis-py's error of a connect as one of ours."""
    cause = error.__context__
    reply = getattr(error, "status_code", None)
    if reply:
        return error_of(f"{reply} {error}")
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.ResponseError):
        return _as_server_error(error_of(str(error)))
    if isinstance(error, redis.exceptions.InvalidResponse):
        return ServerUnusable(f"{where} answers, but not as Redis does: {error}")
    if _is_tls(cause):
        return ServerUnusable(f"{where} cannot be spoken to with TLS: {cause}", hint="redis:// is without TLS, rediss:// with it")
    if isinstance(cause, _UNUSABLE_OS_ERRORS):
        return ServerUnusable(f"{where} cannot be opened: {cause.strerror}")
    if isinstance(error, redis.exceptions.TimeoutError):
        return ServerUnreachable(f"{where} does not answer")
    reason = cause.strerror or cause if isinstance(cause, OSError) else error
    return ServerUnreachable(f"no server answers at {where}: {reason}", hint="is it running, and is the address right?")


def _as_server_error(error: StreamqError) -> StreamqError:
    return error if not isinstance(error, ReplyError) else ServerUnusable(f"the server refuses the login: {error.text}")


def _is_tls(error: BaseException | None) -> bool:
    import ssl  # noqa: PLC0415 - loaded by redis-py

    return isinstance(error, ssl.SSLError)
