"""What a queue has to be after each step: a dictionary of tasks, and what every transition does to one of them.

The machine tells the model what the server answered; whatever cannot be true is an `AssertionError` that names the task. Nothing
in here looks at the server: `invariants.py` compares the two. Times are in units of `clock.py`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from streamq.replies import Handed
from tests.lua.adding import Call
from tests.model.clock import HEARTBEAT, LEASE, QUIET

#: Crashes that make a suspect.
SUSPECT = 2
#: Deliveries that a task may have.
LIMIT = 3

#: Where a task is; exactly one of them. `lost`: somebody deleted its stream.
Place = Literal["waiting", "parked", "held", "dead", "ended", "lost"]


class Run(NamedTuple):
    """A hand-out: the fence with which it may be ended."""

    address: str
    consumer: str
    deliveries: int


@dataclass
class Task:
    """One accepted task.

    `recorded` is the delivery count that its record has, `last` that of its last hand-out; both begin anew with each life.
    """

    id: str
    address: str
    priority: str
    place: Place = "waiting"
    key: str | None = None
    #: When it was to start at the earliest, and when at the latest; None: any time.
    sent_due: int | None = None
    expires: int | None = None
    #: Until when it is parked; None: its last look-up was put off a little.
    due: int | None = None
    recorded: int = 0
    last: int = 0
    forgiven: int = 0
    crashes: int = 0
    attempts: int = 0
    unknown: bool = False
    #: Its holder would not run it beside others.
    alone: bool = False
    current: Run | None = None
    #: The consumer of a blocked read that brought it with count 1, although more is known of it, and died before it asked.
    reader: str | None = None
    #: When its lease was renewed last.
    renewed: int = 0

    @property
    def pending(self) -> bool:
        """Whether somebody holds it, by right or by mistake."""
        return self.current is not None or self.reader is not None

    @property
    def stray(self) -> bool:
        """It was brought although it is parked, and stays so."""
        return self.reader is not None and self.place == "parked"

    @property
    def holder(self) -> str | None:
        """The consumer that it is pending for."""
        return self.current.consumer if self.current is not None else self.reader

    @property
    def suspect(self) -> bool:
        """It has crashed so often that it runs alone, or is to do so once."""
        return self.alone or self.crashes >= SUSPECT


@dataclass
class Lane:
    """A producer: its last number, the send, what was answered, and when."""

    number: int
    bound: int
    call: Call
    ids: list[str]
    time: int


@dataclass
class Fleet:
    """Who beats, and since when the timed recovery rests."""

    #: Consumer -> until when its heartbeat holds.
    expiry: dict[str, int] = field(default_factory=dict)
    last: int | None = None
    run: int = 0
    hold: int = 0

    def beat(self, now: int, run: int, consumers: Iterable[str]) -> None:
        """Consumers beat at once. Silence, or another run of the server, forbids all recovery by time for one lease."""
        if self.last is None or now - self.last >= QUIET or run != self.run:
            self.hold = now + LEASE
        self.last, self.run = now, run
        self.expiry |= dict.fromkeys(consumers, now + HEARTBEAT)

    def rests(self, now: int) -> bool:
        """Whether nothing is reaped by time alone."""
        return self.last is None or now < self.hold or now - self.last >= QUIET

    def expired(self, now: int) -> set[str]:
        """Consumers whose heartbeat has expired."""
        return {consumer for consumer, until in self.expiry.items() if until <= now}


class Model:
    """All tasks that were accepted, and every figure that follows from what was done to them."""

    def __init__(self) -> None:
        self.now = 0
        self.tasks: dict[str, Task] = {}
        self.at: dict[str, Task] = {}
        self.keys: dict[str, str] = {}
        self.lanes: dict[str, Lane] = {}
        self.fleet = Fleet()
        self.totals: Counter[str] = Counter()
        self.endings: list[tuple[str, str]] = []
        self.results: dict[str, str] = {}
        #: Hand-outs that are over, whose late calls must be refused.
        self.over: deque[Run] = deque(maxlen=300)
        #: Addresses and ids of tasks whose stream was deleted: their parked entries, records and names may be left.
        self.debris: set[str] = set()

    # Looking

    def living(self, letter: str = "") -> list[Task]:
        """The living tasks, of one stream or of all."""
        return [task for task in self.at.values() if task.address.startswith(letter)]

    def dead(self) -> list[Task]:
        """The dead letters."""
        return [task for task in self.tasks.values() if task.place == "dead"]

    def runs(self, consumer: str = "") -> list[Run]:
        """What is held, by one consumer or by all."""
        runs = [task.current for task in self.at.values() if task.current is not None]
        return [run for run in runs if consumer in {"", run.consumer}]

    def holds(self, run: Run) -> bool:
        """Whether this run still is its task's."""
        task = self.at.get(run.address)
        return task is not None and task.current == run

    def late(self, consumer: str = "") -> list[Run]:
        """Runs that are over, the most dangerous first: of tasks held with the same count or by the same consumer.

        After a remade group the same consumer can get the same count again: that run is not over.
        """
        runs = [run for run in dict.fromkeys(reversed(self.over)) if consumer in {"", run.consumer} and not self.holds(run)]
        runs = [run for run in runs if run.address not in self.at or self.at[run.address].reader != run.consumer]
        return sorted(runs, key=self._danger, reverse=True)

    def _danger(self, run: Run) -> int:
        task = self.at.get(run.address)
        if task is None or task.current is None:
            return int(task is not None)
        return 2 + (task.current.deliveries == run.deliveries) + (task.current.consumer == run.consumer)

    def available(self, order: str) -> list[Task]:
        """What a take in this order of priorities must bring: all that is due, and all that waits.

        But for what waits in `later`, which nobody misses before a worker starts or sweeps, and makes the group anew.
        """
        tasks = [task for task in self.at.values() if task.priority in order and not task.suspect and not task.pending]
        return [
            task
            for task in tasks
            if (task.place == "waiting" and task.address[0] != "s") or (task.due is not None and task.due <= self.now)
        ]

    def stale(self) -> list[Task]:
        """What a sweep may recover: the heartbeat of its holder has expired, or its own lease has run out."""
        expired = self.fleet.expired(self.now)
        pending = [task for task in self.at.values() if task.pending]
        return [task for task in pending if task.holder in expired or task.renewed + LEASE <= self.now]

    # Accepting

    def accept(self, task: Task) -> None:
        """A task was accepted."""
        assert task.id not in self.tasks, f"the id {task.id} was given twice"
        self.tasks[task.id] = self.at[task.id] = task
        self.totals["sent"] += 1
        if task.key is not None:
            assert task.key not in self.keys, f"{task.id} took the key {task.key} of {self.keys[task.key]}"
            self.keys[task.key] = task.id

    # Handing out

    def hand_out(self, handed: Handed, consumer: str, *, quarantine: bool = False) -> Run:
        """A task was handed out."""
        task = self.at.get(handed.address)
        assert task is not None, f"{handed.address} was handed out and is no living task"
        assert not task.pending, f"{handed.address} was taken from its holder {task.holder}"
        assert handed.count == task.recorded + 1, f"{handed.address} has count {handed.count}, its record says {task.recorded}"
        assert handed.forgiven == task.forgiven, f"{handed.address}: {handed.forgiven} forgiven, {task.forgiven} were handed back"
        assert handed.crashes == task.crashes, f"{handed.address}: {handed.crashes} crashes, {task.crashes} were reaped"
        assert quarantine == task.suspect, f"{handed.address} with {task.crashes} crashes: quarantine {quarantine}"
        assert bool(handed.unknown_ms) == task.unknown, f"{handed.address}: unknown since {handed.unknown_ms}"
        assert handed.deliveries <= LIMIT + 1, f"{handed.address} was handed out beyond its limit, {handed.deliveries} times"
        if task.place == "parked":
            assert task.due is None or task.due <= self.now, f"{handed.address} is due at {task.due}, it is {self.now}"
        if task.recorded:  # a task of a new life is handed out as a new one
            assert handed.attempts.count(b"{") == task.attempts, f"{handed.address}: attempts {handed.attempts!r}"
        return self.begin(task, consumer)

    def begin(self, task: Task, consumer: str) -> Run:
        """A hand-out begins."""
        task.last = task.recorded + 1
        task.current = Run(task.address, consumer, task.last)
        task.place, task.due, task.renewed, task.alone = "held", None, self.now, False
        return task.current

    def bring_unseen(self, task: Task, reader: str) -> None:
        """A blocked read brought it and died before it asked what is known of it."""
        if task.place == "parked" or task.recorded:
            task.reader, task.renewed = reader, self.now
            task.due = None  # whoever would hand it out looks again a little later
            task.place = "parked" if task.place == "parked" else "held"
        else:
            self.begin(task, reader)

    def renew(self, consumer: str) -> None:
        """All that a consumer holds is renewed."""
        for run in self.runs(consumer):
            self.at[run.address].renewed = self.now

    def _end_run(self, task: Task) -> None:
        if task.current is not None:
            self.over.append(task.current)
        task.current, task.reader = None, None

    # Parking

    def park(self, task: Task, kind: str, delay: int = 0) -> None:
        """Its holder parked it."""
        self._end_run(task)
        task.recorded, task.place, task.due = task.last, "parked", self.now + delay
        task.attempts += kind == "retry"
        task.alone = kind == "alone"
        task.forgiven += kind != "retry"
        for name in ("failed", "retried"):
            self.totals[name] += kind == "retry"
        if kind != "release":
            task.unknown = kind == "unknown"

    def lose(self, task: Task, *, crashed: bool) -> None:
        """Its holder was reaped."""
        if task.stray:
            self._end_run(task)
            return
        if task.reader is not None:
            task.last = task.recorded + 1
        self.park(task, "release")
        self.totals["reaped"] += 1
        if crashed:
            self.totals["failed"] += 1
            task.forgiven -= 1
            task.crashes += 1
            task.attempts += 1

    def group_gone(self, letter: str) -> None:
        """The group of a stream was destroyed: nobody holds anything of it."""
        for task in self.living(letter):
            if task.place == "held":
                task.place = "waiting"
            self._end_run(task)

    def stream_gone(self, letter: str) -> None:
        """A stream was deleted, and with it all that stood in it: the one way in which a task is lost."""
        for task in self.living(letter):
            self._end_run(task)
            task.place = "lost"
            self.debris |= {task.id, task.address}
            self.totals["lost"] += 1
            del self.at[task.address]
            if task.key is not None and self.keys.get(task.key) == task.id:
                del self.keys[task.key]

    # Ending

    def end(self, task: Task, state: str) -> None:
        """It finished, died, expired, or was cancelled or purged."""
        self._end_run(task)
        del self.at[task.address]
        if task.key is not None and self.keys.get(task.key) == task.id:
            del self.keys[task.key]
        task.place = "dead" if state in {"dead", "expired"} else "ended"
        self.totals[state] += 1
        self.endings.append((task.id, "cancelled" if state == "purged" else state))

    def revive(self, dead: Task, address: str) -> None:
        """A dead letter lives again at another address, all forgiven."""
        expires = dead.expires if dead.expires is not None and dead.expires > self.now else None
        task = Task(dead.id, address, dead.priority, key=dead.key, expires=expires, attempts=dead.attempts)
        self.tasks[task.id] = self.at[address] = task
        if task.key is not None:
            self.keys[task.key] = task.id
        self.totals["revived"] += 1
