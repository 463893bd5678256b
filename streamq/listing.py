"""Lists of tasks by state, read in pages, so that a list of a million tasks costs no more than what is shown of it.

Where the tasks of a state are: waiting ones in the streams of the priorities, running ones in the pending lists, parked ones in
the sorted sets, dead ones among the dead letters, the others in the history of endings and, where they left a row, in the
catalogue. What a page says of a task was true when the page was read; a task that moves on meanwhile is listed once. Called by
`streamq tasks`.
"""

from __future__ import annotations

import fnmatch
import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from streamq import browse, history
from streamq.browse import Record, State
from streamq.keys import GROUP, LETTERS, STREAMS
from streamq.server.reply import ReplyError

if TYPE_CHECKING:
    from streamq.transitions import Transitions

#: Tasks of one page.
PAGE: Final = 200
#: How much earlier than its history, in ms, the row of a task may have been written: the clocks of workers differ.
_EARLIER: Final = 60_000
#: All states that can be listed, in the order in which they are.
STATES: Final[tuple[State, ...]] = ("running", "retrying", "waiting", "scheduled", "dead", "expired", "finished", "cancelled")

T = TypeVar("T")
Command = list[str | bytes | int]
Catalogue = Callable[[], Iterable[Record]]


@dataclass(frozen=True)
class Wanted:
    """Which tasks are wanted.

    Args:
        states: in these states.
        task: of this name; `*` stands for anything.
        where: names and values; a name is that of an argument (`steps.0.width` reaches inside) or else of a field of `Record`.
        since_ms: that ended since then, or, where they have not ended, were sent since then.
    """

    states: tuple[State, ...] = STATES
    task: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    since_ms: int = 0

    def accepts(self, record: Record) -> bool:
        """Whether a task is wanted."""
        if record.state not in self.states or (record.ended_ms or record.sent_ms or 0) < self.since_ms:
            return False
        if self.task is not None and not fnmatch.fnmatchcase(record.task or "", self.task):
            return False
        return all(_matches(_value(record, name), text) for name, text in self.where)


def _value(record: Record, name: str) -> Any:
    """What a name stands for in a task: inside its arguments, or a field of its own, or inside its result."""
    found = _inside(record.args, name)
    if found is None:
        found = getattr(record, name, None) if name in Record.__struct_fields__ else _inside(record.result, name)
    return found


def _inside(value: Any, path: str) -> Any:
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _matches(value: Any, text: str) -> bool:
    if isinstance(value, bool):
        value = str(value).lower()
    return value is not None and fnmatch.fnmatchcase(str(value), text)


def tasks(transitions: Transitions, wanted: Wanted, catalogue: Catalogue = list) -> Iterator[Record]:
    """The tasks that are wanted, each once: those that have not ended first, then by state and time.

    Args:
        transitions: of the queue.
        wanted: which.
        catalogue: gives the finished tasks that left a row, newest first; called where finished ones are wanted.

    Raises:
        ServerError: the server is away.
    """
    seen: set[str] = set()
    for record in _all(transitions, wanted, catalogue):
        if record.id not in seen and wanted.accepts(record):
            seen.add(record.id)
            yield record


def _all(transitions: Transitions, wanted: Wanted, catalogue: Catalogue) -> Iterator[Record]:
    states = set(wanted.states)
    sources: list[tuple[set[State], Callable[[], Iterator[Record]]]] = [
        ({"running"}, lambda: _running(transitions)),
        (
            {"retrying"},
            lambda: _parked(transitions, [f"{kind}:{name}" for kind in ("retry", "again") for name in LETTERS] + _SUSPECTS),
        ),
        ({"waiting"}, lambda: _waiting(transitions, wanted.since_ms)),
        ({"scheduled"}, lambda: _parked(transitions, [f"scheduled:{name}" for name in LETTERS])),
        ({"dead", "expired"}, lambda: _dead(transitions, wanted.since_ms)),
        ({"finished", "cancelled"}, lambda: _ended(transitions, wanted, catalogue)),
    ]
    for of, source in sources:
        if of & states:
            yield from source()


_SUSPECTS = [f"suspects:{stream}" for stream in STREAMS.values()]


def _running(transitions: Transitions) -> Iterator[Record]:
    for letter in STREAMS:
        start = "-"
        stream = transitions.keys.stream(letter)
        while True:
            [rows] = transitions.link.batch([["XPENDING", stream, GROUP, start, "+", PAGE]])
            if isinstance(rows, Exception) or not rows:
                break  # no group: nobody holds anything
            start = f"({rows[-1][0].decode()}"
            held = {letter.encode() + entry: (consumer, idle, count) for entry, consumer, idle, count in rows}
            yield from _read(transitions, held, rows=held)


def _parked(transitions: Transitions, zsets: Iterable[str]) -> Iterator[Record]:
    """The tasks of sorted sets, those first that are due first."""
    due = heapq.merge(*(_members(transitions, transitions.keys[zset]) for zset in zsets))
    for page in _pages(due):
        yield from _read(transitions, {address: None for _, address in page}, due={address: ms for ms, address in page})


def _members(transitions: Transitions, zset: str) -> Iterator[tuple[int, bytes]]:
    start = 0
    while flat := transitions.link.call("ZRANGE", zset, start, start + PAGE - 1, "WITHSCORES"):
        yield from ((int(float(flat[i + 1])), flat[i]) for i in range(0, len(flat), 2))
        start += PAGE


def _pages(items: Iterator[T]) -> Iterator[list[T]]:
    while page := list(islice(items, PAGE)):
        yield page


def _waiting(transitions: Transitions, since_ms: int) -> Iterator[Record]:
    """Tasks that nobody has had yet; behind a group that was made anew stand others too."""
    link, keys = transitions.link, transitions.keys
    for priority, letter in LETTERS.items():
        stream = keys.stream(letter)
        start = _undelivered(transitions, stream, since_ms)
        while entries := link.call("XRANGE", stream, start, "+", "COUNT", PAGE):
            start = f"({entries[-1][0].decode()}"
            addresses = [letter.encode() + entry for entry, _ in entries]
            pending, *scores = link.batch(
                [
                    ["XPENDING", stream, GROUP, entries[0][0], entries[-1][0], PAGE],
                    *(["ZMSCORE", keys[f"{kind}:{priority}"], *addresses] for kind in ("retry", "suspects")),
                ]
            )
            held = set() if isinstance(pending, Exception) else {row[0] for row in pending}
            found = {
                address: fields
                for (entry, fields), address, *parked in zip(entries, addresses, *scores, strict=True)
                if entry not in held and parked == [None, None]
            }
            ids = ids_of(transitions, found)
            for address, fields in found.items():
                yield browse.of_entry(ids[address], address.decode(), fields, row=None, known=None, due_ms=None)


def _undelivered(transitions: Transitions, stream: str, since_ms: int) -> str | int:
    """Where the entries of a stream begin that were never delivered and came since then: what is parked or runs lies before."""
    try:
        groups = transitions.link.call("XINFO", "GROUPS", stream)
    except ReplyError as error:
        if "no such key" not in error.text:
            raise
        groups = []
    for group in groups:
        told = dict(zip(group[::2], group[1::2], strict=True))
        last = told[b"last-delivered-id"].decode()
        if told[b"name"] == GROUP.encode() and int(last.partition("-")[0]) >= since_ms:
            return f"({last}"
    return since_ms


def ids_of(transitions: Transitions, entries: dict[bytes, list[bytes]]) -> dict[bytes, str]:
    """The id of each task: its address, but for one that was moved; a stranger may write what he likes into the field `id`."""
    ids = {address: address.decode() for address in entries}
    named = {address: dict(zip(fields[::2], fields[1::2], strict=False)) for address, fields in entries.items()}
    claimed = {address: fields[b"id"] for address, fields in named.items() if b"id" in fields}
    if claimed:
        moved = transitions.link.call("HMGET", transitions.keys["moved"], *claimed.values())
        for (address, first), now in zip(claimed.items(), moved, strict=True):
            if now == address:
                ids[address] = first.decode()
    return ids


def _read(
    transitions: Transitions,
    addresses: dict[bytes, Any],
    *,
    rows: dict[bytes, tuple[bytes, int, int]] | None = None,
    due: dict[bytes, int] | None = None,
) -> Iterator[Record]:
    """The records of live tasks at these addresses; one that has gone meanwhile is passed over."""
    keys = transitions.keys
    rows, due = rows or {}, due or {}
    asked: list[Command] = [["HMGET", keys["attempts"], *addresses]]
    consumers = list(dict.fromkeys(row[0] for row in rows.values()))
    if consumers:
        asked.append(["HMGET", keys["running"], *consumers])
    asked += [["XRANGE", keys.stream(chr(address[0])), address[1:], address[1:]] for address in addresses]
    known, *replies = transitions.link.batch(asked)
    running = dict(zip(consumers, replies.pop(0), strict=True)) if consumers else {}
    entries = {address: found[0][1] for address, found in zip(addresses, replies, strict=True) if found}
    texts = dict(zip(addresses, known, strict=True))
    ids = ids_of(transitions, entries)
    for address, fields in entries.items():
        row = rows.get(address)
        parts = {"row": row, "known": texts[address], "due_ms": due.get(address)}
        runs = running.get(row[0]) if row else None
        yield browse.of_entry(ids[address], address.decode(), fields, **parts, running=runs or b"")


def _dead(transitions: Transitions, since_ms: int) -> Iterator[Record]:
    start = "+"
    while letters := transitions.link.call("XREVRANGE", transitions.keys["dead"], start, since_ms, "COUNT", PAGE):
        start = f"({letters[-1][0].decode()}"
        yield from (browse.of_letter(entry, fields) for entry, fields in letters)


def _ended(transitions: Transitions, wanted: Wanted, catalogue: Catalogue) -> Iterator[Record]:
    """Tasks that have ended and left no dead letter, newest first: as the history has them, then as the catalogue has."""
    rows = _Rows(catalogue() if "finished" in wanted.states else ())
    for page in _pages(history.newest(transitions.link, transitions.keys, since_ms=wanted.since_ms)):
        known = rows.since(page[-1].ended_ms - _EARLIER)
        for ending in page:
            record = known.pop(ending.id, None) or Record(id=ending.id)
            browse.take_ending(record, ending)
            if record.state in ("finished", "cancelled"):
                yield record
    for older in _pages(rows.left()):
        # A row is written just before its task is settled: where the worker died between the two, the task has not ended.
        present = browse.locate(transitions, [record.id for record in older])
        yield from (record for record in older if present[record.id].state in ("unknown", "finished"))


class _Rows:
    """Rows of the catalogue, read along with the history."""

    def __init__(self, rows: Iterable[Record]) -> None:
        self._rows = iter(rows)
        self._next: Record | None = next(self._rows, None)
        self._known: dict[str, Record] = {}

    def since(self, ms: int) -> dict[str, Record]:
        """The rows that were written since then, by id, but for those that were taken out of it before."""
        while self._next is not None and (self._next.ended_ms or 0) >= ms:
            self._known[self._next.id] = self._next
            self._next = next(self._rows, None)
        return self._known

    def left(self) -> Iterator[Record]:
        """All that is left, newest first."""
        yield from self._known.values()
        while self._next is not None:
            yield self._next
            self._next = next(self._rows, None)
