"""Looks over everything that a queue holds, in slices that block no server however much that is, and names what is wrong.

Each slice is one script that judges what it sees at one instant, so that tasks on their way are never mistaken for lost ones. A
slice grows and shrinks with the time it takes. Nothing is looked at that came after the survey began, so that it ends on a busy
queue too. What settles by itself within moments counts only if it still stands when it is looked at again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streamq.keys import GROUP, LETTERS, PRIORITIES, STREAMS
from streamq.server.reply import ReplyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq.transitions import Transitions

#: Entries of the first slice, and of the largest and smallest one.
_SLICE, _MOST, _LEAST = 100, 500, 10
#: A slice that takes longer than this, in seconds, is followed by a smaller one; one that takes less than half, by a larger one.
_LONGEST = 0.005
#: What a worker sets right by itself when its next call comes.
SETTLING: Final = frozenset({"parked-and-pending", "counts"})
#: How long it is given, in seconds.
LOOK_AGAIN: Final = 1.0

_ZSETS: Final = (
    *(f"{kind}:{priority}" for kind in ("retry", "again", "scheduled") for priority in PRIORITIES),
    *(f"suspects:{stream}" for stream in STREAMS.values()),
)


class Part(NamedTuple):
    """One thing to look over, slice by slice."""

    what: str
    of: str = ""
    #: The last entry to look at.
    until: str = ""


class Survey(NamedTuple):
    """What was seen."""

    #: Name of a fault -> its subjects.
    found: dict[str, list[bytes]]
    #: How many entries, rows and members were looked at.
    looked: int


def look(transitions: Transitions) -> Survey:
    """Look over a queue.

    Raises:
        ServerError: the server is away, or the user may not do this.
    """
    found: dict[str, dict[bytes, None]] = {}
    looked = 0
    for part in _parts(transitions):
        for many, faults in _slices(transitions, part):
            looked += many
            for name, subject in faults:
                found.setdefault(name, {})[subject] = None  # a scan may give a member twice
    settling = [(name, subject) for name in SETTLING & found.keys() for subject in found.pop(name)]
    if settling:
        time.sleep(LOOK_AGAIN)
    for name, subject in settling:
        if still_stands(transitions, name, subject):
            found.setdefault(name, {})[subject] = None
    return Survey({name: list(subjects) for name, subjects in found.items()}, looked)


def still_stands(transitions: Transitions, fault: str, subject: bytes | str) -> bool:
    """Whether a fault that was seen stands now."""
    return len(transitions.run("survey", "again", fault, subject, "", 1)) > len(("next", "looked"))


def _parts(transitions: Transitions) -> Iterator[Part]:
    """What there is to look over, streams first as they are now; `later` has no last delivered entry that means anything."""
    for letter in STREAMS:
        last = _pairs(_asked(transitions, "XINFO", "STREAM", transitions.keys.stream(letter)) or [])
        if not last:
            continue
        end: str = last["last-generated-id"].decode()
        delivered = group_of(transitions, letter)
        if delivered is not None:
            yield Part("entries", letter, delivered if letter in LETTERS.values() else end)
            yield Part("pending", letter, end)
    for zset in _ZSETS:
        yield Part("parked", zset)
    for what in ("records", "keys", "moved"):
        yield Part(what)


def last_of(transitions: Transitions, name: str) -> tuple[int, int]:
    """The last id that a stream has given, in its two parts; (0, 0): there is no such stream."""
    told = _pairs(_asked(transitions, "XINFO", "STREAM", transitions.keys[name]) or [])
    ms, _, number = told.get("last-generated-id", b"0-0").partition(b"-")
    return int(ms), int(number)


def group_of(transitions: Transitions, letter: str) -> str | None:
    """The last entry that the group of a stream was given; None: there is no such group."""
    for group in _asked(transitions, "XINFO", "GROUPS", transitions.keys.stream(letter)) or []:
        told = _pairs(group)
        if told["name"] == GROUP.encode():
            last: bytes = told["last-delivered-id"]
            return last.decode()
    return None


def consumers_of(transitions: Transitions, letter: str) -> dict[str, tuple[int, int]]:
    """The consumers of a stream: how much each holds, and for how long it has not been seen, in ms."""
    rows = _asked(transitions, "XINFO", "CONSUMERS", transitions.keys.stream(letter), GROUP) or []
    told = [_pairs(row) for row in rows]
    return {each["name"].decode(errors="backslashreplace"): (each["pending"], each["idle"]) for each in told}


def _slices(transitions: Transitions, part: Part) -> Iterator[tuple[int, list[tuple[str, bytes]]]]:
    """How many were looked at and what is wrong, slice by slice."""
    at, size = "", _SLICE
    while True:
        began = time.perf_counter()
        following, looked, *flat = transitions.run("survey", part.what, part.of, at, part.until, size)
        took = time.perf_counter() - began
        yield looked, [(name.decode(), subject) for name, subject in zip(flat[::2], flat[1::2], strict=True)]
        if not following:
            return
        at = following.decode()
        if took > _LONGEST:
            size = max(_LEAST, size // 2)
        elif took < _LONGEST / 2:
            size = min(_MOST, size * 2)


def _asked(transitions: Transitions, *command: str) -> Any:
    """A reply; None where there is no such stream or group."""
    try:
        return transitions.link.call(*command)
    except ReplyError as error:
        if error.code != "NOGROUP" and "no such key" not in error.text:
            raise
        return None


def _pairs(flat: list[Any]) -> dict[str, Any]:
    return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
