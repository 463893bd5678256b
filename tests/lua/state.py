"""The whole state of a queue as one flat dictionary, so that a test can say all that a call changed, and nothing else did.

Names are what a person would say: `"default d1-0"` is an entry with its fields, `"pending d1-0"` its row of the pending list,
`"retry:default d1-0"` a parked entry with its due time, `"attempts d1-0"` its record, `"dead d1-0"` a dead letter.
"""

from __future__ import annotations

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
HASHES = ("attempts", "unique", "moved", "producers", "control", "stats", "fleet", "running", "dead:ids")


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
    """Everything that a queue holds; the figures by minute are summed over the minutes."""
    state: State = {}
    for letter, name in STREAMS.items():
        for entry, flat in entries(link, keys[name]):
            state[f"{name} {letter}{entry}"] = pairs(flat)
        state |= {f"pending {letter}{row.entry}": f"{row.consumer} {row.deliveries}" for row in pending(link, keys[name])}
    for name in ZSETS:
        for member, score in pairs(_ask(link, "ZRANGE", keys[name], 0, -1, "WITHSCORES")).items():
            state[f"{name} {member}"] = int(float(score))
    for name in HASHES:
        for field, value in pairs(_ask(link, "HGETALL", keys[name])).items():
            state[f"{name} {field}"] = int(value) if name == "stats" else value
    for _, flat in entries(link, keys["dead"]):
        letter_of_death = pairs(flat[:16])
        state[f"dead {letter_of_death['id']}"] = letter_of_death | {"fields": pairs(flat[16:])}
    state.pop("stats endings_oldest", None)  # a hint, of no meaning to anybody
    state["ended"] = [line for _, flat in entries(link, keys["ended"]) for line in pairs(flat)["tasks"].split("\n")]
    for field, value in pairs(_ask(link, "HGETALL", keys["minutes"])).items():
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
    try:
        rows = _ask(link, "XPENDING", stream, GROUP, "-", "+", 100_000)
    except ReplyError as error:
        if error.code == "NOGROUP":
            return []
        raise
    return [Pending(text(entry), text(consumer), idle, count) for entry, consumer, idle, count in rows]


def entries(link: Link, stream: str) -> list[tuple[str, list[bytes]]]:
    """The entries of a stream, fields in order and with repetitions."""
    return [(text(entry), flat) for entry, flat in _ask(link, "XRANGE", stream, "-", "+")]


def _ask(link: Link, *command: str | int) -> Any:
    return link.call(*command)
