"""The ledger: what producers and handlers say of each task, on disk, outside of the server that is being tormented.

Every line is one write at the file's end, so lines of many processes, killed ones among them, are whole and in the order in which
they happened. A send is noted before and after, a run likewise: what stands there is what the world saw, whatever Redis thinks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec


class Send(msgspec.Struct, tag="send", array_like=True, frozen=True):
    """A producer is about to send tasks `first`, `first` + 1, …: one letter a task says of which kind."""

    first: int
    kinds: str
    at: float


class Accepted(msgspec.Struct, tag="accepted", array_like=True, frozen=True):
    """The server has accepted them."""

    first: int
    ids: list[str]
    at: float


class Refused(msgspec.Struct, tag="refused", array_like=True, frozen=True):
    """They were certainly not accepted."""

    first: int
    many: int
    why: str
    at: float


class Unknown(msgspec.Struct, tag="unknown", array_like=True, frozen=True):
    """They may have been accepted or not: the producer was told so."""

    first: int
    many: int
    why: str
    at: float


class Start(msgspec.Struct, tag="start", array_like=True, frozen=True):
    """A handler begins."""

    n: int
    #: Names this run among all.
    run: str
    id: str
    worker: str
    pid: int
    #: Hand-outs of the task, hand-backs included.
    count: int
    delivery: int
    at: float


class End(msgspec.Struct, tag="end", array_like=True, frozen=True):
    """It has returned or raised; nothing is said yet of what the server makes of it."""

    n: int
    run: str
    how: str
    at: float


Line = Send | Accepted | Refused | Unknown | Start | End

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class Ledger:
    """Writes lines.

    Args:
        path: the file; made where it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, kind: type[Any], *values: Any) -> None:
        """Write a line of this kind; the time is added."""
        os.write(self._file, _encode(kind(*values, at=time.monotonic())) + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read(path: Path) -> Iterator[Line]:
    """All lines of a ledger."""
    with path.open("rb") as file:
        for text in file:
            yield _decode(text)
