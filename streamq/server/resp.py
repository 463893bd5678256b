"""Redis's protocol over a socket that is already open: commands into bytes, bytes into replies, by hiredis.

Shared by `connect.py`, for everything, and `embedded.py`, for the few questions that it asks without redis-py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import hiredis

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence

Argument = str | bytes | int | float
#: What a server can say: bytes, a whole number, None, a list of these, or an error.
Reply = Any

#: What bytes that are no reply at all raise.
ProtocolError: Final = hiredis.ProtocolError

_UNSET: Final = object()
# hiredis declares narrower types than it takes: a tuple of one, and no bytearray.
_pack: Final[Callable[..., bytes]] = hiredis.pack_command


def pack(commands: Iterable[Sequence[Argument]]) -> bytes:
    """Commands as one packet."""
    return b"".join([_pack(tuple(args)) for args in commands])


#: Arguments of a command that are packed already, to be put together with others: how many, and their bytes.
Words = tuple[int, bytes]


def words(args: Sequence[Argument]) -> Words:
    """Arguments, packed."""
    packed = _pack(tuple(args))
    return len(args), packed[packed.index(b"\n") + 1 :]


def word(text: bytes) -> Words:
    """One argument, packed."""
    return 1, b"$%d\r\n%b\r\n" % (len(text), text)


def joined(first: Words, second: Words) -> Words:
    """Arguments, and others behind them."""
    return first[0] + second[0], first[1] + second[1]


def packet(command: Words) -> bytes:
    """The packet of a command whose arguments are packed already."""
    return b"*%d\r\n%b" % command


class Receiver:
    """Reads the replies of one socket.

    Args:
        link: the socket; its timeout holds for each wait for more bytes.
        error_of: makes the exception that stands for an error reply.
    """

    def __init__(self, link: socket.socket, error_of: Callable[[str], Exception]) -> None:
        self._link = link
        reader = hiredis.Reader(notEnoughData=_UNSET, replyError=error_of, errors="replace")
        self._gets: Callable[[], Reply] = reader.gets
        self._feed: Callable[..., None] = reader.feed
        self._buffer = bytearray(65536)

    def receive(self, count: int) -> list[Reply]:
        """The next `count` replies.

        Raises:
            ConnectionResetError: the other side closed the connection.
            OSError: the connection broke, or (TimeoutError) nothing came in time.
            ProtocolError: what came is not Redis's protocol.
        """
        replies: list[Reply] = []
        while True:
            while (reply := self._gets()) is not _UNSET:
                replies.append(reply)
                if len(replies) == count:
                    return replies
            size = self._link.recv_into(self._buffer)
            if size == 0:
                raise ConnectionResetError("the server closed it")
            self._feed(self._buffer, 0, size)
