"""Opens a connection to a URL: TCP, TLS or Unix socket by redis-py, with what has to be said first; its errors become ours.

redis-py's part ends with the open socket (name lookup, keep-alive, certificates). Login and choice of database are commands like
any other, which `connect.py` sends with its greeting in one packet.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, NamedTuple

import redis.exceptions
from redis.connection import Connection, UnixDomainSocketConnection, parse_url

from streamq.errors import ServerError, ServerUnreachable, ServerUnusable, UsageError

if TYPE_CHECKING:
    import socket

_FORMS = "such as redis://USER:PASSWORD@HOST:6379/0, rediss://HOST:6379 or unix:///run/redis.sock"
_PLAIN = "use redis:// for a server without TLS"
#: Of no use to a single connection, though redis-py's URLs may carry them.
_POOL_OPTIONS = ("max_connections", "timeout", "retry_on_error")


class Dialled(NamedTuple):
    """An open connection, its socket, and the commands that must be sent before any other."""

    connection: Connection | UnixDomainSocketConnection
    socket: socket.socket
    login: list[tuple[str, ...]]


def dial(url: str, shown: str, timeout: float) -> Dialled:
    """Open a connection.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with redis-py's parameters (`?ssl_ca_certs=…`).
        shown: the URL as errors may show it.
        timeout: seconds that the connect may take.

    Raises:
        UsageError: the URL makes no sense.
        ServerUnreachable: nothing answers there.
        ServerUnusable: it may not be opened, or TLS is on one side only.
    """
    try:
        options = parse_url(url)  # type: ignore[no-untyped-call]
        for name in _POOL_OPTIONS:
            options.pop(name, None)
        user, password, database = options.pop("username", None), options.pop("password", None), options.pop("db", 0)
        kind = options.pop("connection_class", Connection)
        # `redis_connect_func` stands in for redis-py's own greeting, of up to five round trips.
        options.update(
            socket_timeout=timeout, socket_connect_timeout=timeout, retry_on_timeout=False, redis_connect_func=_say_nothing
        )
        connection = kind(**options)
    except (ValueError, TypeError, redis.exceptions.RedisError) as error:
        raise UsageError(f"the server's URL {shown} cannot be used: {error}", hint=_FORMS) from error
    try:
        connection.connect()
    except redis.exceptions.RedisError as error:
        raise _translated(error, shown) from error
    login: list[tuple[str, ...]] = []
    if user or password:
        login.append(("AUTH", user, password or "") if user else ("AUTH", password))
    if database:
        login.append(("SELECT", str(database)))
    return Dialled(connection, connection._get_socket(), login)  # noqa: SLF001 - redis-py has no other way to it


def _say_nothing(_: object) -> None:
    pass


def _translated(error: redis.exceptions.RedisError, where: str) -> ServerError:
    """redis-py's error of a connect, which wraps one of the socket, as one of ours."""
    cause = error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ServerUnusable(
            f"the certificate of {where} is not trusted: {cause.verify_message}",
            hint="name its authority with ?ssl_ca_certs=FILE at the end of the URL",
        )
    if isinstance(cause, ssl.SSLError):
        return ServerUnusable(f"{where} does not speak TLS: {cause.reason or cause}", hint=_PLAIN)
    if isinstance(cause, FileNotFoundError) and where.startswith("rediss://"):
        return ServerUnusable(f"a file that {where} names is missing: {cause}")
    if isinstance(cause, PermissionError):
        return ServerUnusable(f"{where} may not be opened: {cause.strerror}", hint="run as a user who may use its socket")
    if isinstance(error, redis.exceptions.TimeoutError):
        # A server without TLS waits for the end of a line that the greeting of TLS does not have.
        return ServerUnreachable(f"{where} does not answer", hint=_PLAIN if where.startswith("rediss://") else None)
    reason = (cause.strerror if isinstance(cause, OSError) else None) or error
    return ServerUnreachable(f"no server answers at {where}: {reason}", hint="is it running, and is the address right?")
