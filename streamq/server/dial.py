"""Opens a connection to a URL, with what has to be said first; its errors become ours.

A URL with TLS or with parameters is opened by redis-py, which knows about certificates. A plain one needs nothing of that: its
socket is opened here, since importing redis-py takes longer than all else that a short command does. Login and choice of database
are commands like any other, which `connect.py` sends with its greeting in one packet.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from streamq import process
from streamq.errors import ServerError, ServerUnreachable, ServerUnusable, UsageError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from urllib.parse import SplitResult

_FORMS = "such as redis://USER:PASSWORD@HOST:6379/0, rediss://HOST:6379 or unix:///run/redis.sock"
_PARAMETERS = "parameters are those of redis-py, such as ?ssl_ca_certs=FILE; write ? as %3F and & as %26 in a password"
_PLAIN = "use redis:// for a server without TLS"
_AUTHORITY = "name its authority with ?ssl_ca_certs=FILE at the end of the URL"
_NAME = "write the host as the certificate names it"
_FILES = "ssl_ca_certs, ssl_certfile and ssl_keyfile name PEM files, ssl_password the key's password"
#: What to do where a server of TLS hangs up on a client that it does not know.
CERTIFICATE = "it may want a certificate of yours: ?ssl_certfile=FILE&ssl_keyfile=FILE at the end of the URL"
_PORT = 6379
#: Bytes that a part of a host's name must be shorter than.
_LABEL_MOST = 64
#: When a silent TCP connection is asked whether it still stands, in seconds, how often, and how many times; as redis-py has it.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
#: Of no use to a single connection, though redis-py's URLs may carry them.
_POOL_OPTIONS = ("max_connections", "timeout", "retry_on_error")


class Dialled(NamedTuple):
    """An open socket, how it is closed, and the commands that must be sent before any other."""

    #: In a forked child it only closes the copy, and leaves the parent's connection alone.
    close: Callable[[], object]
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
    parts = urlsplit(url)
    if parts.scheme == "rediss" or parts.query or parts.fragment:
        return _dial_by_redis_py(url, shown, timeout)
    return _dial_plain(parts, shown, timeout)


def _dial_plain(parts: SplitResult, shown: str, timeout: float) -> Dialled:
    try:
        opened = _open_unix(unquote(parts.path), timeout) if parts.scheme == "unix" else _open_tcp(parts, timeout)
    except OSError as error:
        raise _translated(error, error, shown) from error
    except UnicodeError as error:
        raise UsageError(f"the server's URL {shown} cannot be used: {error}", hint=_FORMS) from error
    database = "" if parts.scheme == "unix" else parts.path.strip("/")
    return Dialled(opened.close, opened, _login(unquote(parts.username or ""), unquote(parts.password or ""), int(database or 0)))


def _open_unix(path: str, timeout: float) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX)
    try:
        opened.settimeout(timeout)
        opened.connect(path)
    except BaseException:
        opened.close()
        raise
    return opened


def _open_tcp(parts: SplitResult, timeout: float) -> socket.socket:
    host: Any = _host(unquote(parts.hostname or "localhost"))  # bytes, of which the types know nothing
    opened = socket.create_connection((host, parts.port or _PORT), timeout)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):  # macOS has the first under another name
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return opened


def _host(name: str) -> bytes:
    """A host as a socket takes it: IDNA leaves an ordinary name as it is, and to be told so by Python costs 3 ms."""
    if name.isascii() and all(0 < len(label) < _LABEL_MOST for label in name.split(".")):
        return name.encode()
    with process.unforked:  # the codec is imported by its first use
        return name.encode("idna")


def _login(user: str | None, password: str | None, database: int) -> list[tuple[str, ...]]:
    """The commands that come first."""
    login: list[tuple[str, ...]] = []
    if user or password:
        login.append(("AUTH", user, password or "") if user else ("AUTH", password or ""))
    if database:
        login.append(("SELECT", str(database)))
    return login


def _dial_by_redis_py(url: str, shown: str, timeout: float) -> Dialled:
    with process.unforked:  # making its connection imports more, and so does Python where it has to look up a host
        import codecs

        from redis.connection import Connection, parse_url
        from redis.exceptions import RedisError

        codecs.lookup("idna")
        codecs.lookup("punycode")
        try:
            options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
            for name in _POOL_OPTIONS:
                options.pop(name, None)
            user, password, database = options.pop("username", None), options.pop("password", None), options.pop("db", 0)
            kind = options.pop("connection_class", Connection)
            if url.startswith("rediss:"):
                options.setdefault("ssl_password", "")  # without one, OpenSSL would ask the terminal, and wait
            # `redis_connect_func` stands in for redis-py's own greeting, of up to five round trips.
            options.update(
                socket_timeout=timeout, socket_connect_timeout=timeout, retry_on_timeout=False, redis_connect_func=_say_nothing
            )
            connection = kind(**options)
        except TypeError:  # it names what may be a password, and a class of redis-py
            raise UsageError(f"the server's URL {shown} has a parameter that there is not", hint=_PARAMETERS) from None
        except (ValueError, RedisError) as error:
            raise UsageError(f"the server's URL {shown} cannot be used: {error}", hint=_FORMS) from error
    try:
        connection.connect()
    except RedisError as error:
        raise _translated(error, error.__context__, shown) from error
    opened = connection._get_socket()  # noqa: SLF001 - redis-py has no other way to it
    return Dialled(connection.disconnect, opened, _login(user, password, database))


def _say_nothing(_: object) -> None:
    pass


def _translated(error: Exception, cause: BaseException | None, where: str) -> ServerError:
    """The error of a connect, redis-py's around one of the socket or that itself, as one of ours."""
    with process.unforked:
        import ssl  # loaded by redis-py, and the least of what a failed connect costs

    if isinstance(cause, ssl.SSLError):
        return _of_tls(cause, where)
    if isinstance(cause, FileNotFoundError) and where.startswith("rediss://"):
        return ServerUnusable(f"a file that {where} names is missing: {cause}")
    if isinstance(cause, PermissionError):
        return ServerUnusable(f"{where} may not be opened: {cause.strerror}", hint="run as a user who may use its socket")
    if isinstance(cause, TimeoutError):
        # A server without TLS waits for the end of a line that the greeting of TLS does not have.
        return ServerUnreachable(f"{where} does not answer", hint=_PLAIN if where.startswith("rediss://") else None)
    reason = (cause.strerror if isinstance(cause, OSError) else None) or error
    return ServerUnreachable(f"no server answers at {where}: {reason}", hint="is it running, and is the address right?")


def _of_tls(cause: ssl.SSLError, where: str) -> ServerUnusable:
    """The error of a handshake, or of the files for one."""
    message = getattr(cause, "verify_message", "")  # of an SSLCertVerificationError
    if message:
        hint = _NAME if "mismatch" in message.lower() else _AUTHORITY
        return ServerUnusable(f"the certificate of {where} is not trusted: {message}", hint=hint)
    reason = cause.reason or str(cause)
    if cause.library != "SSL" or "PEM" in str(cause):
        return ServerUnusable(f"a certificate or key that {where} names cannot be used: {reason}", hint=_FILES)
    if "ALERT" in reason:
        return ServerUnusable(f"{where} refuses the TLS connection: {reason}", hint=CERTIFICATE)
    return ServerUnusable(f"{where} does not speak TLS: {reason}", hint=_PLAIN)
