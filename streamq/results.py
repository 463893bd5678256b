"""What is kept of a finished task for a while: `…:result:<id>`, one JSON object, written by the worker and read by whoever asks.

A result is kept as the JSON that the handler's definition made of it, and nothing is decoded on the way. Any client may read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

_NULL = msgspec.Raw(b"null")


class Kept(msgspec.Struct, kw_only=True):
    """A finished task's result and how it came about. Times are ms of the server's clock."""

    #: The result as JSON.
    result: msgspec.Raw = _NULL
    #: The attempts that failed before, an object of `delivery, worker, started_ms, ended_ms, error` each.
    attempts: list[msgspec.Raw] = []
    worker: str
    started_ms: int
    ended_ms: int
    deliveries: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Kept).decode


def encode(
    result: bytes | None, *, attempts: Iterable[bytes], worker: str, started_ms: int, ended_ms: int, deliveries: int
) -> bytes:
    """Return what is kept of a finished task.

    Args:
        result: what its handler returned, as JSON; None: nothing.
        attempts: the attempts that failed before, a JSON object each.
        worker: who finished it, by the name that people see.
        started_ms: when the run began that finished it.
        ended_ms: when that ended.
        deliveries: how many of its deliveries count.
    """
    return _encode(
        Kept(
            result=_NULL if result is None else msgspec.Raw(result),
            attempts=[msgspec.Raw(attempt) for attempt in attempts],
            worker=worker,
            started_ms=started_ms,
            ended_ms=ended_ms,
            deliveries=deliveries,
        )
    )


def decode(raw: bytes) -> Kept:
    """Return what is kept of a finished task.

    Raises:
        msgspec.DecodeError: it was not written by streamq.
    """
    return _decode(raw)
