"""What the transitions answer, as named values: the replies of the scripts, read once where they come in.

`transitions.py` makes them; the worker and the reading side pass them on. Times are milliseconds of the server's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from streamq.keys import STREAMS

if TYPE_CHECKING:
    from streamq.keys import Keys

#: Names and values of an entry, in turn.
Fields = list[bytes]


class Handed(msgspec.Struct, frozen=True, gc=False):
    """A task as a hand-out gives it.

    `address` and `count` are the fence, with the consumer's name. `count - forgiven` is what counts against the limit.
    """

    address: str
    count: int
    forgiven: int
    crashes: int
    #: Since when no worker knew the task's name, ms of the server's clock; 0 where one did.
    unknown_ms: int
    #: Names and values of the entry, in turn.
    fields: Fields
    #: The attempts so far, a JSON object a line.
    attempts: bytes = b""

    @property
    def deliveries(self) -> int:
        """How many hand-outs count against the limit, this one included."""
        return self.count - self.forgiven


class Taken(NamedTuple):
    """What a take brought."""

    #: `ok`; `paused`: the queue hands nothing out; `more`: another call at once will bring what this one passed over.
    state: str
    now_ms: int
    tasks: list[Handed]
    #: When the next parked task is due, where nothing was handed out; 0: none is parked.
    next_due_ms: int
    #: The letter of the priority that all came from, new ones every one; empty: there is no such.
    only: str


class Swept(NamedTuple):
    """What a sweep did."""

    reaped: int
    suspects_due: int
    #: The timed paths rest: beats, the clock or the server have just come back.
    held_back: bool


class Reaped(NamedTuple):
    """What was recovered from a dead consumer."""

    crashed: int
    handed_back: int
    #: There is more to reap.
    left: bool


class Held(NamedTuple):
    """A pending entry of a consumer."""

    address: str
    count: int  # type: ignore[assignment]  # hides tuple.count
    idle_ms: int


class Remains(NamedTuple):
    """What keeps a queue from being drained, and what is scheduled for later, which does not."""

    waiting: int
    running: int
    retrying: int
    #: Of the retrying, those that wait for a worker that knows their name (among the first hundred).
    unknown: int
    scheduled_due: int
    scheduled_later: int
    paused: bool


class Due(NamedTuple):
    """A task that waits to be handed out again."""

    due_ms: int
    address: str


class Parked(NamedTuple):
    """What waits to be handed out again because it failed, was put off or recovered."""

    retrying: int
    #: The first of them, in order.
    first: list[Due]


class Watch(NamedTuple):
    """What stands between a blocked read and the start of what it brought."""

    #: Letter -> last entry of a stream whose group was made anew; at or below it an entry is looked up first.
    marks: dict[str, str]
    paused: bool


def expand_ids(ranges: str) -> list[str]:
    """The ids behind the ranges that `add.lua` answers with: `d1764000000000-0+2` are three."""
    if ranges.endswith("+0") and " " not in ranges:
        return [ranges[:-2]]
    ids: list[str] = []
    for text in ranges.split():
        if text.startswith("="):
            ids.append(text)
            continue
        first, more = text.split("+")
        prefix, low = first.split("-")
        ids += [f"{prefix}-{seq}" for seq in range(int(low), int(low) + int(more) + 1)]
    return ids


def parse_parked(reply: list[Any], most: int) -> Parked:
    """What waits to be handed out again, at most so many of the first."""
    retrying, flat = reply
    first = sorted(Due(int(float(due)), address.decode()) for address, due in zip(flat[::2], flat[1::2], strict=True))
    return Parked(retrying, first[:most])


def parse_read(keys: Keys, reply: Any, control: list[bytes | None]) -> tuple[list[Handed], Watch]:
    """What a blocked read brought, each with count 1, and what it has to pass before it starts."""
    tasks: list[Handed] = []
    for stream, entries in reply or []:
        prefix = keys.letters[stream]
        tasks += [Handed(prefix + entry.decode(), 1, 0, 0, 0, fields) for entry, fields in entries]
    marks = {letter: mark.decode() for letter, mark in zip(STREAMS, control, strict=False) if mark}
    return tasks, Watch(marks, paused=control[-1] is not None)
