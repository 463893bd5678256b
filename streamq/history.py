"""The newest endings of a queue: who ended how and when, read backwards, or followed as they happen.

Every script that ends a task writes one line of history (stream `…:ended`, a settled group shares one entry), so whoever waits
for a task follows that stream and nobody polls. The history is bounded: a follower that fell so far behind that endings were
dropped is told so, and has to look its tasks up again. `browse.py` looks up what became of a task, the commands that wait follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streamq.keys import Keys
    from streamq.server.connect import Link

#: Entries of a page; each holds one ending up to a few hundred.
_PAGE: Final = 100


State = Literal["finished", "dead", "cancelled", "expired"]


class Ending(NamedTuple):
    """How one task ended. Times are ms of the server's clock."""

    id: str
    state: State
    task: str
    worker: str
    #: Of the run that ended it; None where it did not run, or nobody knows.
    started_ms: int | None
    ended_ms: int
    deliveries: int


def parse(entry: bytes, fields: Sequence[bytes]) -> list[Ending]:
    """The endings of one entry, in the order in which they were written."""
    _, worker, _, _, _, lines = fields
    ended = int(entry.partition(b"-")[0])
    endings = []
    for line in lines.decode(errors="backslashreplace").split("\n"):
        task_id, state, started, _, deliveries, task = line.split("\t")
        endings.append(Ending(task_id, cast("State", state), task, worker.decode(), int(started) or None, ended, int(deliveries)))
    return endings


def newest(link: Link, keys: Keys, *, since_ms: int = 0) -> Iterator[Ending]:
    """The endings of a queue, newest first, read as far as they are asked for.

    Args:
        link: a connection.
        keys: the queue's keys.
        since_ms: the oldest time that is of interest, by the server's clock.
    """
    last = "+"
    while entries := link.call("XREVRANGE", keys["ended"], last, since_ms, "COUNT", _PAGE):
        for entry, fields in entries:
            yield from reversed(parse(entry, fields))
        last = f"({entries[-1][0].decode()}"


class Follower:
    """Endings as they happen. Made before the tasks that are waited for are sent, it misses none of them.

    Args:
        link: a connection that nobody else uses meanwhile.
        keys: the queue's keys.
    """

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._key = keys["ended"]
        newest_entry = link.call("XREVRANGE", self._key, "+", "-", "COUNT", 1)
        self._last: bytes = newest_entry[0][0] if newest_entry else b"0-0"
        #: How many tasks had ended by then; where the history is empty, the counter says it.
        self._total = _total(newest_entry[0][1]) if newest_entry else int(link.call("HGET", keys["stats"], "endings") or 0)

    def wait(self, seconds: float) -> tuple[list[Ending], bool]:
        """Wait until something ends, at most some seconds.

        Returns:
            What ended, in order, and whether nothing was missed: False where more ended than the history keeps, or where it was
            lost with its server.
        """
        reply = self._link.read(
            "XREAD", "COUNT", _PAGE, "BLOCK", max(1, round(seconds * 1000)), "STREAMS", self._key, self._last, block=seconds
        )
        endings: list[Ending] = []
        whole = True
        for entry, fields in reply[0][1] if reply else []:
            found = parse(entry, fields)
            total = _total(fields)
            whole = whole and total == self._total + len(found)
            self._last, self._total = entry, total
            endings += found
        return endings, whole


def _total(fields: Sequence[bytes]) -> int:
    """How many tasks of the queue had ever ended with this entry."""
    return int(fields[3])
