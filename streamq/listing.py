"""Lists of tasks by state: as much as is asked for, no more than so many looked at, and where to go on.

What a page says of a task was true when the page was read; a task that moves on meanwhile is listed once. Called by
`streamq tasks`; `walk.py` finds the tasks.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streamq import walk
from streamq.browse import Record, State
from streamq.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.transitions import Transitions
    from streamq.walk import Catalogue, Step

#: Most tasks that one list looks at where nobody says: about a second of reading.
LOOK: Final = 10_000
#: All states that can be listed, in the order in which they are.
STATES: Final[tuple[State, ...]] = ("running", "retrying", "waiting", "scheduled", "dead", "expired", "finished", "cancelled")
#: What is walked over, in order, with the states that are found there, and what a place in it looks like.
_WALKS: Final[dict[str, tuple[frozenset[State], str]]] = {
    "running": (frozenset({"running"}), r"[hdls]\d+-\d+"),
    "retrying": (frozenset({"retrying"}), r"\d+,[hdls]\d+-\d+"),
    "waiting": (frozenset({"waiting"}), r"[hdl]\d+-\d+"),
    "unstarted": (frozenset({"waiting"}), r"\d+,[hdls]\d+-\d+"),
    "scheduled": (frozenset({"scheduled"}), r"\d+,[hdls]\d+-\d+"),
    "dead": (frozenset({"dead", "expired"}), r"\d+-\d+"),
    "ended": (frozenset({"finished", "cancelled"}), r"[hc]\d+\+\d+"),
}


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
        if (record.ended_ms or record.sent_ms or 0) < self.since_ms:
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


class Tasks(Iterator[Record]):
    """The tasks that are wanted, each once: those that have not ended first, then by state and time.

    Args:
        transitions: of the queue.
        wanted: which.
        catalogue: gives the finished tasks that left a row, newest first; called where finished ones are wanted.
        look: how many tasks are looked at, at most; None: all.
        after: the `place` at which another list had stopped.

    Raises:
        UsageError: `after` is no place.
        ServerError: (in iteration) the server is away.
    """

    def __init__(
        self, transitions: Transitions, wanted: Wanted, catalogue: Catalogue = list, *, look: int | None = None, after: str = ""
    ) -> None:
        self._transitions = transitions
        self._wanted = wanted
        self._catalogue = catalogue if "finished" in wanted.states else list
        self._look = look
        self._seen: set[str] = set()
        #: How many tasks were looked at.
        self.looked = 0
        #: Where another list goes on.
        self.place = after
        #: Whether it ended because it had looked at as many as it may.
        self.is_cut = False
        self._steps = self._walk(after)

    def __next__(self) -> Record:
        """The next task that is wanted."""
        while not self.is_cut:
            if self.looked == self._look:
                self.is_cut = True
                break
            place, record = next(self._steps)
            self.looked += 1
            self.place = place
            if record is not None and record.id not in self._seen and self._wanted.accepts(record):
                self._seen.add(record.id)
                return record
        raise StopIteration

    def _walk(self, after: str) -> Iterator[Step]:
        names = list(_WALKS)
        first, _, place = after.partition(":")
        if after and not (first in names and re.fullmatch(_WALKS[first][1], place)):
            hint = "`streamq tasks` tells a place where it has not listed all."
            raise UsageError(f"--after: {after!r} is no place in a list of tasks", hint=hint)
        return self._walk_from(names[names.index(first) if after else 0 :], place)

    def _walk_from(self, names: list[str], place: str) -> Iterator[Step]:
        for name in names:
            states = _WALKS[name][0] & set(self._wanted.states)
            for at, record in self._steps_of(name)(place) if states else ():
                yield f"{name}:{at}", record if record is not None and record.state in states else None
            place = ""

    def _steps_of(self, name: str) -> Callable[[str], Iterator[Step]]:
        of, since = self._transitions, self._wanted.since_ms
        walks: dict[str, Callable[[str], Iterator[Step]]] = {
            "running": lambda after: walk.running(of, after),
            "retrying": lambda after: walk.parked(of, walk.RETRYING, after),
            "unstarted": lambda after: walk.unstarted(of, after),
            "waiting": lambda after: walk.waiting(of, since, after),
            "scheduled": lambda after: walk.parked(of, walk.SCHEDULED, after),
            "dead": lambda after: walk.dead(of, since, after),
            "ended": lambda after: walk.ended(of, since, self._catalogue, after),
        }
        return walks[name]
