"""Walks over the tasks of a state in pages, from any place on.

Where the tasks of a state are: waiting ones in the streams of the priorities (or parked, where they were handed back before they
began), running ones in the pending lists, parked ones in the sorted sets, dead ones among the dead letters, the others in the
history of endings and, where they left a row, in the catalogue. A walk gives each thing that it looks at with its place, and no
record where no task of that state stands there any more. Begun again behind a place, it goes on there, whatever came and went
meanwhile. Called by `listing.py`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, Final, TypeVar

from streamq import browse, history
from streamq.browse import Record
from streamq.keys import GROUP, LETTERS, STREAMS
from streamq.server.reply import ReplyError

if TYPE_CHECKING:
    from collections.abc import Collection

    from streamq.transitions import Transitions

#: Tasks of one page.
PAGE: Final = 200
#: How much earlier than its history, in ms, the row of a task may have been written: the clocks of workers differ.
_EARLIER: Final = 60_000
#: Zsets of tasks that wait to be handed out again, and of scheduled ones.
RETRYING: Final = (
    *(f"{kind}:{name}" for kind in ("retry", "again") for name in LETTERS),
    *(f"suspects:{name}" for name in STREAMS.values()),
)
SCHEDULED: Final = tuple(f"scheduled:{name}" for name in LETTERS)

T = TypeVar("T")
Command = list[str | bytes | int]
Catalogue = Callable[[], Iterable[Record]]
#: A place, and the task there.
Step = tuple[str, Record | None]


def running(transitions: Transitions, after: str) -> Iterator[Step]:
    """The tasks that were handed out, stream by stream; a place is an address."""
    for letter, start in _streams(STREAMS, after):
        stream, last = transitions.keys.stream(letter), start
        while True:
            [rows] = transitions.link.batch([["XPENDING", stream, GROUP, last, "+", PAGE]])
            if isinstance(rows, Exception) or not rows:
                break  # no group: nobody holds anything
            last = f"({rows[-1][0].decode()}"
            held = {letter.encode() + entry: (consumer, idle, count) for entry, consumer, idle, count in rows}
            yield from _read(transitions, held, rows=held)


def unstarted(transitions: Transitions, after: str) -> Iterator[Step]:
    """The tasks that are parked and due: those that were handed back before they began are among them."""
    return parked(transitions, RETRYING, after, until=transitions.now_ms())


def parked(transitions: Transitions, zsets: Iterable[str], after: str, *, until: float = math.inf) -> Iterator[Step]:
    """The tasks of sorted sets, those first that are due first; a place is a due time and an address."""
    ms, _, address = after.partition(",")
    place = (int(ms or 0), address.encode())
    members = heapq.merge(*(_members(transitions, transitions.keys[zset], place) for zset in zsets))
    for page in _pages(takewhile(lambda member: member[0] <= until, members)):
        due = {address: ms for ms, address in page}
        for address, record in _read(transitions, due, due=due):
            yield f"{due[address.encode()]},{address}", record


def _members(transitions: Transitions, zset: str, after: tuple[int, bytes]) -> Iterator[tuple[int, bytes]]:
    start = transitions.link.call("ZCOUNT", zset, "-inf", f"({after[0]}") if after[1] else 0
    while flat := transitions.link.call("ZRANGE", zset, start, start + PAGE - 1, "WITHSCORES"):
        members = ((int(float(flat[i + 1])), flat[i]) for i in range(0, len(flat), 2))
        yield from (member for member in members if member > after)
        start += PAGE


def waiting(transitions: Transitions, since_ms: int, after: str) -> Iterator[Step]:
    """Tasks that nobody has had yet; behind a group that was made anew stand others too. A place is an address."""
    link, keys = transitions.link, transitions.keys
    for letter, start in _streams(LETTERS.values(), after):
        stream = keys.stream(letter)
        last = _undelivered(transitions, stream, since_ms) if start == "-" else start
        while entries := link.call("XRANGE", stream, last, "+", "COUNT", PAGE):
            last = f"({entries[-1][0].decode()}"
            addresses = [letter.encode() + entry for entry, _ in entries]
            pending, *scores = link.batch(
                [
                    ["XPENDING", stream, GROUP, entries[0][0], entries[-1][0], PAGE],
                    *(["ZMSCORE", keys[f"{kind}:{STREAMS[letter]}"], *addresses] for kind in ("retry", "suspects")),
                ]
            )
            held = set() if isinstance(pending, Exception) else {row[0] for row in pending}
            found = {
                address: fields
                for (entry, fields), address, *due in zip(entries, addresses, *scores, strict=True)
                if entry not in held and due == [None, None]
            }
            ids = ids_of(transitions, found)
            for address in addresses:
                at, fields = address.decode(), found.get(address)
                yield at, fields and browse.of_entry(ids[address], at, fields, row=None, known=None, due_ms=None)


def _streams(letters: Iterable[str], after: str) -> Iterator[tuple[str, str]]:
    """The streams that are left behind an address, and where each is to be read from."""
    order = list(letters)
    for letter in order[order.index(after[0]) if after else 0 :]:
        yield letter, f"({after[1:]}" if letter == after[:1] else "-"


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


def dead(transitions: Transitions, since_ms: int, after: str) -> Iterator[Step]:
    """The dead letters, newest first; a place is an entry of theirs."""
    start = f"({after}" if after else "+"
    while letters := transitions.link.call("XREVRANGE", transitions.keys["dead"], start, since_ms, "COUNT", PAGE):
        start = f"({letters[-1][0].decode()}"
        yield from ((entry.decode(), browse.of_letter(entry, fields)) for entry, fields in letters)


def ended(transitions: Transitions, since_ms: int, catalogue: Catalogue, after: str) -> Iterator[Step]:
    """Tasks that have ended and left no dead letter, newest first: as the history has them, then as the catalogue has.

    A place is where it stands (`h` or `c`), when it ended, and how many of that millisecond have been passed. The history is
    bounded (`worker.history`), and begun again from its newest; so is the catalogue, whose rows are told apart from it.
    """
    part, ms, passed = "", 0, 0
    is_behind = not after
    for of, record in _endings(transitions, since_ms, catalogue):
        passed = passed + 1 if (of, record.ended_ms) == (part, ms) else 1
        part, ms = of, record.ended_ms or 0
        place = f"{part}{ms}+{passed}"
        if is_behind:
            yield place, record
        else:
            is_behind = _order(place) >= _order(after)
            if _order(place) > _order(after):
                yield place, record


def _order(place: str) -> tuple[bool, int, int]:
    ms, _, passed = place[1:].partition("+")
    return place[0] == "c", -int(ms), int(passed)


def _endings(transitions: Transitions, since_ms: int, catalogue: Catalogue) -> Iterator[tuple[str, Record]]:
    rows = _Rows(catalogue())
    for page in _pages(history.newest(transitions.link, transitions.keys, since_ms=since_ms)):
        known = rows.since(page[-1].ended_ms - _EARLIER)
        for ending in page:
            record = known.pop(ending.id, None) or Record(id=ending.id)
            browse.take_ending(record, ending)
            yield "h", record
    for older in _pages(rows.left()):
        # A row is written just before its task is settled: where the worker died between the two, the task has not ended.
        present = browse.locate(transitions, [record.id for record in older])
        yield from (("c", record) for record in older if present[record.id].state in ("unknown", "finished"))


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


def _pages(items: Iterator[T]) -> Iterator[list[T]]:
    while page := list(islice(items, PAGE)):
        yield page


def _read(
    transitions: Transitions,
    addresses: Collection[bytes],
    *,
    rows: dict[bytes, tuple[bytes, int, int]] | None = None,
    due: dict[bytes, int] | None = None,
) -> Iterator[Step]:
    """The live tasks at these addresses, in order; none where one has gone meanwhile."""
    keys = transitions.keys
    rows, due = rows or {}, due or {}
    asked: list[Command] = [["TIME"], ["HMGET", keys["attempts"], *addresses]]
    consumers = list(dict.fromkeys(row[0] for row in rows.values()))
    if consumers:
        asked.append(["HMGET", keys["running"], *consumers])
    asked += [["XRANGE", keys.stream(chr(address[0])), address[1:], address[1:]] for address in addresses]
    (seconds, micros), known, *replies = transitions.link.batch(asked)
    now = int(seconds) * 1000 + int(micros) // 1000
    runs = dict(zip(consumers, replies.pop(0), strict=True)) if consumers else {}
    entries = {address: found[0][1] for address, found in zip(addresses, replies, strict=True) if found}
    texts = dict(zip(addresses, known, strict=True))
    ids = ids_of(transitions, entries)
    for address in addresses:
        record = None
        if address in entries:
            row = rows.get(address)
            parts: dict[str, Any] = {"row": row, "known": texts[address], "due_ms": due.get(address), "now_ms": now}
            told = (runs.get(row[0]) if row else None) or b""
            record = browse.of_entry(ids[address], address.decode(), entries[address], **parts, running=told)
        yield address.decode(), record
