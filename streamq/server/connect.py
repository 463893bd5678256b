"""`Link`: one connection to the server, made by us so that it never does anything twice.

redis-py's clients repeat a command whose reply was lost, which makes three tasks of one XADD, and cut blocking reads short.
So redis-py at most opens the socket (`dial.py`); what goes over it is packed and parsed by hiredis, into bytes and errors
of our own. A lost connection is an error at once and made anew at the next call; whether a command may be repeated is for the
caller to say (`patience.py` repeats those that may be). Senders, workers and commands all speak through this.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING, NoReturn

from streamq import process
from streamq.errors import ServerUnreachable, ServerUnusable, StreamqError
from streamq.server.dial import CERTIFICATE, dial
from streamq.server.lookout import Lookout
from streamq.server.reply import Forbidden, ReplyError, ReplyLost, error_of
from streamq.server.resp import Argument, ProtocolError, Receiver, Reply, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamq.server.endpoint import Endpoint

#: How long a command may take, in seconds.
TIMEOUT = 5.0
#: A connection that was idle for longer than this, in seconds, is looked at before it is used: its server may have restarted.
_IDLE = 0.5


class Link:
    """One connection, for one thread at a time; connects at its first call, and again after a break or a fork.

    Args:
        endpoint: where the server is.
        timeout: seconds after which a reply that did not come is an error.
        name: shown by CLIENT LIST.
    """

    def __init__(self, endpoint: Endpoint, *, timeout: float = TIMEOUT, name: str | None = None) -> None:
        self._close: Callable[[], object] | None = None
        self.endpoint = endpoint
        self.timeout = timeout
        self.name = "".join(c if "!" <= c <= "~" else "-" for c in name or "streamq")
        self._socket: socket.socket
        self._receiver: Receiver
        self._lookout: Lookout
        self._limit = timeout
        self._used = 0.0
        #: How many replies are under way.
        self.due = 0
        self._pid = 0

    def call(self, *args: Argument) -> Reply:
        """Send one command and return its reply.

        Raises:
            ReplyError: the server refused the command.
            ReplyLost: it was sent and no reply came: it may have been executed.
            ServerUnreachable: it was not sent, or the server is not ready (LOADING, BUSY).
            ServerUnusable: what answers cannot serve.
            MemoryFull, CannotPersist: the server takes nothing new at the moment.
        """
        self.post(pack([args]))
        return self.reply()

    def post(self, packet: bytes, count: int = 1) -> None:
        """Send commands that are packed already; `reply` or `replies` must be called next, or what they answer is forgotten.

        Raises:
            ServerError: as `call`.
        """
        self._send(packet, count, self.timeout)

    def reply(self, *, soon: bool = False) -> Reply:
        """Return the reply to the command that was posted.

        Args:
            soon: it may well be there in less time than it takes to fall asleep and to be woken.

        Raises:
            StreamqError: as `call`.
        """
        if soon and self._pid == process.pid:
            self._lookout.wait()
        [reply] = self.replies()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def replies(self) -> list[Reply]:
        """Return the replies to the commands that were posted, as `batch` does.

        Raises:
            ServerError: as `batch`.
        """
        if self._pid != process.pid:
            raise ReplyLost("the process was forked while a reply was under way")
        return self._receive()

    def batch(self, commands: Sequence[Sequence[Argument]], *, block: float = 0.0) -> list[Reply]:
        """Send commands in one packet and return their replies in order; an error reply is a `StreamqError` in its place.

        Args:
            commands: the commands; a blocking one among them must carry its own limit.
            block: that limit in seconds; the replies may take this much longer than those of other commands.

        Raises:
            ServerError: as `call`; some of the commands may have been executed.
        """
        if not commands:
            return []
        self._send(pack(commands), len(commands), block + self.timeout)
        return self._receive()

    def read(self, *args: Argument, block: float) -> Reply:
        """Send one blocking command and return its reply.

        Args:
            args: the command, its own limit (BLOCK) included.
            block: that limit in seconds, more than 0; the reply may take this much longer than that of any other command.

        Raises:
            StreamqError: as `call`.
        """
        self._send(pack([args]), 1, block + self.timeout)
        return self.reply()

    def connect(self) -> None:
        """Connect now, where that has not been done: what is wrong with the address shows before anything is sent.

        Raises:
            ServerError: as `call`.
        """
        if self._close is None or self._pid != process.pid:
            self._open()

    def close(self) -> None:
        """Close the connection; the next call makes a new one."""
        close, self._close = self._close, None
        self.due = 0
        if close is not None:
            close()

    def __del__(self) -> None:
        self.close()  # a link that was dropped, as those of the parent are after a fork

    def _send(self, packet: bytes, count: int, limit: float) -> None:
        """Connect where needed, and send a packet that so many replies are due to."""
        if (
            self._close is None
            or self.due  # somebody did not wait for a reply, which nobody must take for his own
            or self._pid != process.pid
            or (time.monotonic() - self._used > _IDLE and self._lookout.anything())  # its end: nothing is due
        ):
            self._open()
        self._put(packet, count, limit)

    def _put(self, packet: bytes, count: int, limit: float) -> None:
        try:
            if limit != self._limit:
                self._wait_for(limit)
            self.due = count
            self._socket.sendall(packet)
        except BaseException as error:  # noqa: BLE001 - raised again
            self._give_up(error)

    def _wait_for(self, limit: float) -> None:
        """Let no wait take longer: the kernel sees to it, where Python would ask it before each call whether that will wait."""
        self._limit = limit
        if type(self._socket) is socket.socket:
            timeval = struct.pack("@ll", int(limit), int(limit % 1 * 1e6) or 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        else:  # TLS waits for more than one packet at a time
            self._socket.settimeout(limit)

    def _receive(self) -> list[Reply]:
        try:
            replies = self._receiver.receive(self.due)
        except BaseException as error:  # noqa: BLE001 - raised again
            self._give_up(error)
        self.due = 0
        self._used = time.monotonic()
        return replies

    def _give_up(self, error: BaseException) -> NoReturn:
        """Whatever interrupts an exchange closes the connection, or later replies would shift."""
        self.close()
        if isinstance(error, TimeoutError | BlockingIOError):
            raise ReplyLost(f"{self.endpoint.masked} did not answer in {self._limit:g} s") from error
        if isinstance(error, OSError):
            raise ReplyLost(f"the connection to {self.endpoint.masked} broke: {error.strerror or error}") from error
        if isinstance(error, ProtocolError):
            raise ServerUnusable(
                f"{self.endpoint.masked} answers, but not as Redis does: {error}",
                hint="is it the right port? rediss:// is for servers with TLS",
            ) from error
        raise error

    def _open(self) -> None:
        self.close()
        url = self.endpoint.resolve()
        self._close, self._socket, login = dial(url, self.endpoint.masked, self.timeout)
        self._pid = process.pid
        self._socket.settimeout(None)
        self._wait_for(self.timeout)
        self._receiver = Receiver(self._socket, error_of)
        self._lookout = Lookout(self._socket)
        try:
            self._greet(login)
        except BaseException:
            self.close()
            raise
        self.endpoint.connected()

    def _greet(self, login: list[tuple[str, ...]]) -> None:
        """Log in and give the connection its name, and see at once whether what answers is a Redis that can serve a queue."""
        greeting = [*login, ("COMMAND", "INFO", "XAUTOCLAIM"), ("CLIENT", "SETNAME", self.name)]
        try:
            self._put(pack(greeting), len(greeting), self.timeout)
            *logged_in, command, _ = self._receive()
        except ReplyLost as error:
            is_secured = self.endpoint.masked.startswith("rediss://")
            refused = is_secured and "ALERT" in (getattr(error.__cause__, "reason", None) or "")
            hint = CERTIFICATE if is_secured else "is it Redis or Valkey? Where it wants TLS, the URL is rediss://"
            raise (ServerUnusable if refused else ServerUnreachable)(error.what, hint=hint) from error
        for reply in (*logged_in, command):
            # Who may not ask for COMMAND may well be allowed all that a queue needs.
            if isinstance(reply, StreamqError) and not (reply is command and isinstance(reply, Forbidden | ReplyError)):
                kind = ServerUnusable if isinstance(reply, ReplyError) else type(reply)
                raise kind(f"{self.endpoint.masked}: {reply.what}", hint=reply.hint)
        if command == [None]:
            raise ServerUnusable(
                f"{self.endpoint.masked} is too old: it has no XAUTOCLAIM", hint="use Redis 6.2 or newer, or Valkey"
            )
