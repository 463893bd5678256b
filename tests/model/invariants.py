"""What must hold of a queue at any instant: the server's whole state beside the model's.

After every step: each accepted task is in exactly one place, and that is the model's; no entry is in a stream without being
waiting, held, parked or dead; who holds it, its counts and its record are the model's, so that none ever falls; names, dead
letters, fleet and lanes; every figure, and that they add up. Every tenth step, and at the end of a play: results, history, and
what the scripts say that only read.
"""

from __future__ import annotations

from typing import Any

from streamq.keys import GROUP, STREAMS, Keys
from streamq.server.connect import Link
from streamq.stats import parse_counts
from streamq.transitions import Transitions
from tests.lua.state import State, pairs, pending, state_of, text
from tests.model.clock import LANE, UNIT_MS
from tests.model.model import Model, Task

#: So many of the newest results are looked at.
RESULTS = 20
_ENDINGS = ("finished", "dead", "expired", "cancelled", "purged")
_FIGURES = (*_ENDINGS, "revived", "failed", "retried", "reaped", "fenced")
_BY_MINUTE = ("finished", "failed", "dead")
#: So long are figures by minute kept, in units.
_MINUTES = 55


class Examiner:
    """Compares a queue with its model.

    Args:
        link: to the server.
        keys: of the queue.
        model: what must be.
        history: how many endings the queue keeps.
        born_ms: the server's clock when the play began.
    """

    def __init__(self, link: Link, keys: Keys, model: Model, history: int, born_ms: int) -> None:
        self.link = link
        self.keys = keys
        self.model = model
        self.history = history
        self.born_ms = born_ms
        self.run = Transitions(link, keys, history=history)

    # Looking

    def state(self) -> State:
        """The whole state of the queue."""
        return state_of(self.link, self.keys)

    def parked(self, state: State | None = None) -> dict[str, tuple[str, int]]:
        """Address of each parked entry, the zset that it stands in, and its due time in ms."""
        parked: dict[str, tuple[str, int]] = {}
        for name, due in (self.state() if state is None else state).items():
            zset, _, address = name.partition(" ")
            if zset.partition(":")[0] in {"scheduled", "retry", "again", "suspects"}:
                assert address not in parked, f"{address} is parked in {zset} and in {parked[address]}"
                parked[address] = zset, due
        return parked

    def pending(self) -> set[str]:
        """The addresses of all that is pending."""
        return {letter + row.entry for letter, name in STREAMS.items() for row in pending(self.link, self.keys[name])}

    def fleet(self) -> set[str]:
        """The consumers whose heartbeats the server knows."""
        members: Any = self.link.call("ZRANGE", self.keys["workers"], 0, -1)
        return {text(member) for member in members}

    # Comparing

    def look(self, *, thorough: bool) -> None:
        """Compare everything, or all but what is seldom wrong.

        Raises:
            AssertionError: something does not hold; says what.
        """
        state = self.state()
        parked = self.parked(state)
        held = {name.partition(" ")[2]: value.rpartition(" ") for name, value in state.items() if name.startswith("pending ")}
        self._follow(parked, state)
        self._check_entries(state, parked)
        self._check_unread(state, parked.keys() | held.keys())
        for task in self.model.living():
            zset, due = parked.get(task.address, ("", 0))
            _check_place(task, zset, held.get(task.address))
            if zset and task.due is not None:
                now = (due - self.born_ms) // UNIT_MS
                assert now == task.due, f"{task.address} is due at {now}, the model says {task.due}"
            _check_record(state.get(f"attempts {task.address}"), task)
        self._check_names(state)
        self._check_figures(state)
        if thorough:
            self._check_endings(state)
            self._check_results()
            self._check_readers(len(parked), len(held))

    def follow(self) -> None:
        """Learn what a hand-out has just parked on its way, before time passes."""
        if any(task.place == "waiting" and (task.address[0] == "s" or task.suspect) for task in self.model.living()):
            state = self.state()
            self._follow(self.parked(state), state)

    def _follow(self, parked: dict[str, tuple[str, int]], state: State) -> None:
        """What a hand-out parks on its way below a mark: what is left of `later`, and suspects. Lanes of an hour ago may go."""
        for task in self.model.living():
            if task.place == "waiting" and task.address in parked and (task.address[0] == "s" or task.suspect):
                known = task.recorded > 0 or task.suspect
                task.place, task.due = "parked", self.model.now if known else task.sent_due
        lanes = {name.partition(" ")[2] for name in state if name.startswith("producers ")}
        for name in self.model.lanes.keys() - lanes:
            assert self.model.lanes[name].time + LANE <= self.model.now, f"the lane {name} was forgotten"
            del self.model.lanes[name]
        assert lanes == self.model.lanes.keys()

    def _check_entries(self, state: State, parked: dict[str, tuple[str, int]]) -> None:
        """Each living task stands in its stream, and nothing else does; nothing is parked or remembered without its entry."""
        entries = {f"{STREAMS[task.address[0]]} {task.address}" for task in self.model.living()}
        found = {name for name in state if name.partition(" ")[0] in STREAMS.values()}
        assert found == entries, f"not living, but in a stream: {found - entries}; living, but in none: {entries - found}"
        known = {name.partition(" ")[2] for name in state if name.startswith("attempts ")}
        nothing = (parked.keys() | known) - self.model.at.keys() - self.model.debris
        assert not nothing, f"parked or remembered without an entry: {nothing}"

    def _check_unread(self, state: State, placed: set[str]) -> None:
        """What is neither pending nor parked is still to be read."""
        replies = self.link.batch([["XINFO", "GROUPS", self.keys[stream]] for stream in STREAMS.values()])
        for (letter, stream), reply in zip(STREAMS.items(), replies, strict=True):
            last = _last_delivered(reply)
            if last is None:
                continue  # no group: nothing has been read for it
            for name in state:
                where, _, address = name.partition(" ")
                if where == stream and address not in placed:
                    entry = tuple(map(int, address[1:].split("-")))
                    assert entry > last, f"{address} was read, and is neither pending nor parked: nobody will bring it again"
                    assert letter != "s" or state.get("control s"), f"{address} of later is not parked, and no mark stands"

    def _check_names(self, state: State) -> None:
        """Keys point to living tasks, moved ones to where they stand, the index to each dead letter; who beats is the fleet."""
        lost = self.model.debris
        unique = {name.partition(" ")[2]: value for name, value in state.items() if name.startswith("unique ")}
        living_keys = {key: holder for key, holder in unique.items() if key in self.model.keys or holder not in lost}
        assert living_keys == self.model.keys, f"unique keys are {unique}, the model says {self.model.keys}"
        moved = {name.partition(" ")[2]: value for name, value in state.items() if name.startswith("moved ")}
        now = {task.id: task.address for task in self.model.living() if task.id != task.address}
        assert {name: at for name, at in moved.items() if at not in lost} == now, f"moved are {moved}, the model says {now}"
        dead = {task.id for task in self.model.dead()}
        for kind, expected in (("dead", dead), ("dead:ids", dead)):
            found = {name.partition(" ")[2] for name in state if name.startswith(f"{kind} ")}
            assert found == expected, f"{kind} are {found}, the model says {expected}"
        for kind in ("workers", "fleet", "running"):
            found = {name.partition(" ")[2] for name in state if name.startswith(f"{kind} ")}
            assert found == self.model.fleet.expiry.keys(), f"{kind} are {found}, the model says {self.model.fleet}"

    def _check_figures(self, state: State) -> None:
        """Every figure is the model's; sent and revived are what lives and what has ended, term by term."""
        totals = self.model.totals
        for name in _FIGURES:
            found = state.get(f"stats {name}", 0)
            assert found == totals[name], f"{name} is {found}, the model says {totals[name]}"
            if name in _BY_MINUTE and self.model.now < _MINUTES:
                minutes = state.get(f"minutes {name}", 0)
                assert minutes == totals[name], f"{name} by minutes is {minutes}, the model says {totals[name]}"
        ended = sum(totals[name] for name in (*_ENDINGS, "lost"))
        assert totals["sent"] + totals["revived"] == len(self.model.at) + ended

    def _check_endings(self, state: State) -> None:
        """The newest endings are there in order, as many as asked for, and not many more."""
        endings = self.model.endings
        found = [tuple(line.split("\t")[:2]) for line in state["ended"] if line]
        assert found == endings[len(endings) - len(found) :], f"endings are {found[-5:]}, not {endings[-5:]}"
        oldest: Any = self.link.call("XRANGE", self.keys["ended"], "-", "+", "COUNT", 1)
        shared = pairs(oldest[0][1])["tasks"].count("\n") + 1 if oldest else 0
        assert min(self.history, len(endings)) <= len(found), f"only {len(found)} of {len(endings)} endings are kept"
        assert len(found) - shared < self.history, f"{len(found)} endings are kept, {self.history} were asked for"

    def _check_results(self) -> None:
        newest = list(self.model.results.items())[-RESULTS:]
        replies = self.link.batch([["GET", self.keys.result(task_id)] for task_id, _ in newest])
        for (task_id, result), reply in zip(newest, replies, strict=True):
            assert reply == result.encode(), f"the result of {task_id} is {reply!r}, not {result}"

    def _check_readers(self, parked: int, held: int) -> None:
        """What the scripts that only read say of it."""
        remains = self.run.remains()
        assert remains.running == held, f"{remains.running} run, {held} are pending"
        if self.model.debris or any(task.pending and task.place == "parked" for task in self.model.at.values()):
            return
        places = [task.place for task in self.model.at.values() if task.address[0] != "s"]
        assert remains.waiting == places.count("waiting"), f"{remains}, the model says {places}"
        scheduled = sum(
            task.address[0] == "s" and task.place == "parked" and not task.recorded for task in self.model.at.values()
        )
        assert remains.retrying == parked - scheduled, f"{remains}: {parked} are parked, {scheduled} of them scheduled"
        counts = parse_counts(self.keys.queue, self.run.stats(0))
        told = (counts.waiting.total + counts.retrying, counts.scheduled, counts.running)
        due = sum(task.address[0] == "s" and task.place == "waiting" for task in self.model.at.values())
        assert told == (remains.waiting + remains.retrying, scheduled + due, held), f"{counts}, {remains}: {due} to be parked"
        assert self.run.parked(1).retrying == counts.retrying, f"{counts}: otherwise where the tasks are told themselves"
        nothing_used = sum(
            task.place == "parked" and task.recorded > 0 and task.recorded == task.forgiven and not task.unknown
            for task in self.model.at.values()
        )
        waiting = counts.waiting.total - remains.waiting
        assert waiting <= nothing_used, f"{waiting} are told to wait again, {nothing_used} can have been handed back"


def _last_delivered(groups: Any) -> tuple[int, ...] | None:
    if isinstance(groups, Exception):
        return None  # the stream is gone
    for group in groups:
        told = dict(zip(map(text, group[::2]), group[1::2], strict=True))
        if text(told["name"]) == GROUP:
            return tuple(map(int, text(told["last-delivered-id"]).split("-")))
    return None


def _check_place(task: Task, zset: str, row: tuple[str, str, str] | None) -> None:
    """It is waiting, parked or held, exactly one of them, as the model says; a suspect waits among the suspects."""
    assert (row is not None) == task.pending, f"{task.address}: pending {row}, the model says {task}"
    assert bool(zset) == (task.place == "parked"), f"{task.address} is parked in {zset or 'none'}, the model says {task}"
    if row is not None:
        assert row[0] == task.holder, f"{task.address} is held by {row[0]}, the model says {task}"
        counts = {1} if task.reader is not None else {task.last}
        assert int(row[2]) in counts, f"{task.address} is held with count {row[2]}, the model says {task}"
    if zset:
        assert (zset.partition(":")[0] == "suspects") == task.suspect, (
            f"{task.address} with {task.crashes} crashes waits in {zset}"
        )


def _check_record(record: str | None, task: Task) -> None:
    """What is remembered of it is the model's, and so never less than it was."""
    assert (record is not None) == bool(task.recorded or task.attempts), f"{task.address}: {record!r}, the model says {task}"
    if record is not None:
        count, forgiven, crashes, unknown = map(int, record.partition("\n")[0].split())
        found, told = (count, forgiven, crashes, unknown > 0), (task.recorded, task.forgiven, task.crashes, task.unknown)
        assert found == told, f"{task.address}: record {record!r}, the model says {task}"
        assert record.count("{") == task.attempts, f"{task.address}: attempts {record!r}, the model says {task}"
