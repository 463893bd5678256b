"""The dead letters: tasks that were given up, whole, with why; looked through, put back into their queue, or thrown away.

Letters are read in pages, the newest first, and acted on many in a packet, each by a script of its own, so that one that cannot
be put back (its unique key belongs to another task now) keeps none of the others. Called by `dead` and by programs.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from streamq import browse
from streamq.server.reply import ReplyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from streamq.transitions import Reason, Transitions

#: What may be done to a letter: back to its queue, all its deliveries forgiven; or thrown away.
Deed = Literal["revive", "discard"]

#: Letters of one page; each may carry a traceback.
_PAGE: Final = 100
#: Letters that are acted on in one packet.
_PACKET: Final = 200


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter. Times are ms, by the server's clock."""

    id: str
    task: str | None
    #: Of an entry that is no task: all its fields.
    args: Any
    priority: str | None
    reason: str | None
    #: What ended the last attempt.
    error: str | None
    traceback: str | None
    #: How often it was started.
    deliveries: int
    #: `{delivery, worker, started_ms, ended_ms, error}` each.
    attempts: list[dict[str, Any]]
    died_ms: int
    sent_ms: int | None
    #: Who gave it up.
    worker: str | None
    unique: str | None


class Wanted(NamedTuple):
    """Which letters are wanted."""

    #: Of this name; `*` stands for anything.
    task: str | None = None
    reason: Reason | None = None
    #: That died since then, ms.
    since_ms: int = 0

    def accepts(self, letter: Letter) -> bool:
        """Whether a letter is wanted."""
        named = self.task is None or fnmatch.fnmatchcase(letter.task or "", self.task)
        return named and self.reason in (None, letter.reason)


class Outcome(NamedTuple):
    """What came of acting on one letter."""

    id: str
    done: bool
    #: `ok`, `unknown`, or `taken by ID`: that task holds its unique key now.
    result: str


def letters(transitions: Transitions, wanted: Wanted) -> Iterator[Letter]:
    """The letters that are wanted, the newest first, read as far as they are asked for.

    Raises:
        ServerError: the server is away.
    """
    last = "+"
    while page := transitions.link.call("XREVRANGE", transitions.keys["dead"], last, wanted.since_ms, "COUNT", _PAGE):
        last = f"({page[-1][0].decode()}"
        yield from filter(wanted.accepts, (_letter(entry, fields) for entry, fields in page))


def find(transitions: Transitions, ids: Sequence[str]) -> list[Letter | None]:
    """The letters of tasks, in the order asked for; None for one that has none.

    Raises:
        ServerError: the server is away.
    """
    keys = transitions.keys
    entries = transitions.link.call("HMGET", keys["dead:ids"], *ids)
    found = transitions.link.batch([["XRANGE", keys["dead"], entry, entry] for entry in entries if entry is not None])
    pages = iter(found)
    return [_first(next(pages)) if entry is not None else None for entry in entries]


def act(transitions: Transitions, deed: Deed, ids: Iterable[str]) -> Iterator[Outcome]:
    """Revive or discard letters, and tell what came of each, in order.

    Raises:
        ServerError: the server is away, or is full; what was told of is done, of the rest of its packet nothing is known.
    """
    waiting = list(ids)
    transitions.load(deed)
    for start in range(0, len(waiting), _PACKET):
        packet = waiting[start : start + _PACKET]
        replies = transitions.link.batch([transitions.command(deed, [each]) for each in packet])
        for task_id, reply in zip(packet, replies, strict=True):
            if isinstance(reply, Exception):
                raise reply
            yield _outcome(task_id, reply)


def _letter(entry: bytes, fields: list[bytes]) -> Letter:
    record = browse.of_letter(entry, fields)
    return Letter(
        id=record.id,
        task=record.task,
        args=record.args,
        priority=record.priority,
        reason=record.reason,
        error=record.error,
        traceback=record.traceback,
        deliveries=record.deliveries,
        attempts=record.attempts,
        died_ms=record.ended_ms or 0,
        sent_ms=record.sent_ms,
        worker=record.worker,
        unique=record.unique,
    )


def _first(page: Any) -> Letter | None:
    """The letter of a page that holds one; None: it was revived or discarded meanwhile."""
    if isinstance(page, ReplyError):
        raise page
    return _letter(*page[0]) if page else None


def _outcome(task_id: str, reply: Any) -> Outcome:
    """What the scripts answer: `revive` a list, `discard` a word."""
    state, *holder = reply if isinstance(reply, list) else [reply]
    text = state.decode()
    return Outcome(task_id, text == "ok", f"taken by {holder[0].decode()}" if text == "taken" else text)
