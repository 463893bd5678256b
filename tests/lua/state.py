"""The whole state of a queue as one flat dictionary, so that a test can say all that a call changed, and nothing else did.

Names are what a person would say: `"default d1-0"` is an entry with its fields, `"pending d1-0"` its row of the pending list,
`"retry:default d1-0"` a parked entry with its due time, `"attempts d1-0"` its record, `"dead d1-0"` a dead letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from streamq.keys import GROUP, STREAMS, Keys
from streamq.server.connect import Link
from streamq.server.reply import ReplyError

State = dict[str, Any]

ZSETS = (
    *(f"{kind}:{priority}" for kind in ("scheduled", "retry", "again") for priority in ("high", "default", "low")),
    *(f"suspects:{stream}" for stream in STREAMS.values()),
    "workers",
)
HASHES = ("attempts", "unique", "moved", "producers", "control", "stats", "fleet", "running", "limits", "dead:ids")


class After:
    """Equal to each number from `ms` to half a minute later: a time that the server's clock gave during the test."""

    def __init__(self, ms: float) -> None:
        self.ms = ms

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str | int | float) and self.ms <= float(other) <= self.ms + 30_000

    __hash__ = None  # type: ignore[assignment]  # equality with a range cannot be hashed

    def __repr__(self) -> str:
        return f"After({self.ms})"


def text(value: bytes) -> str:
    """Bytes as text that loses nothing."""
    return value.decode(errors="surrogateescape")


def pairs(flat: list[bytes]) -> dict[str, str]:
    """Names and values in turn as a dictionary."""
    return {text(flat[i]): text(flat[i + 1]) for i in range(0, len(flat), 2)}


def state_of(link: Link, keys: Keys) -> State:
    """Everything that a queue holds, asked for in one packet; the figures by minute are summed over the minutes."""
    asked = [_pending(keys[name]) for name in STREAMS.values()]
    asked += [["XRANGE", keys[name], "-", "+"] for name in (*STREAMS.values(), "dead", "ended")]
    asked += [["ZRANGE", keys[name], 0, -1, "WITHSCORES"] for name in ZSETS]
    asked += [["HGETALL", keys[name]] for name in (*HASHES, "minutes")]
    replies: Iterator[Any] = iter(link.batch(asked))
    state: State = {}
    for letter, reply in zip(STREAMS, replies, strict=False):
        state |= {f"pending {letter}{row.entry}": f"{row.consumer} {row.deliveries}" for row in _rows(reply)}
    for (letter, name), reply in zip(STREAMS.items(), replies, strict=False):
        state |= {f"{name} {letter}{text(entry)}": pairs(flat) for entry, flat in reply}
    for _, flat in next(replies):
        letter_of_death = pairs(flat[:16])
        state[f"dead {letter_of_death['id']}"] = letter_of_death | {"fields": pairs(flat[16:])}
    state["ended"] = [line for _, flat in next(replies) for line in pairs(flat)["tasks"].split("\n")]
    for name, reply in zip(ZSETS, replies, strict=False):
        state |= {f"{name} {member}": int(float(score)) for member, score in pairs(reply).items()}
    for name, reply in zip(HASHES, replies, strict=False):
        state |= {f"{name} {field}": int(value) if name == "stats" else value for field, value in pairs(reply).items()}
    state.pop("stats endings_oldest", None)  # a hint, of no meaning to anybody
    for field, value in pairs(next(replies)).items():
        name = field.partition(":")[2]
        if name and name != "since":
            state[f"minutes {name}"] = state.get(f"minutes {name}", 0) + int(value)
    return state


def changes(before: State, after: State) -> State:
    """What differs between two states: name to new value, None for what is gone."""
    names = sorted(before.keys() | after.keys())
    return {name: after.get(name) for name in names if before.get(name) != after.get(name)}


class Pending(NamedTuple):
    """A row of a pending list."""

    entry: str
    consumer: str
    idle_ms: int
    deliveries: int


def pending(link: Link, stream: str) -> list[Pending]:
    """The pending list of a stream; empty where the group is gone."""
    [reply] = link.batch([_pending(stream)])
    return _rows(reply)


def _pending(stream: str) -> list[str | int]:
    return ["XPENDING", stream, GROUP, "-", "+", 100_000]


def _rows(reply: Any) -> list[Pending]:
    if isinstance(reply, ReplyError) and reply.code == "NOGROUP":
        return []
    if isinstance(reply, Exception):
        raise reply
    return [Pending(text(entry), text(consumer), idle, count) for entry, consumer, idle, count in reply]


def entries(link: Link, stream: str) -> list[tuple[str, list[bytes]]]:
    """The entries of a stream, fields in order and with repetitions."""
    return [(text(entry), flat) for entry, flat in _ask(link, "XRANGE", stream, "-", "+")]


def _ask(link: Link, *command: str | int) -> Any:
    return link.call(*command)
