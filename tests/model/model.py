"""What a queue has to be after each step: a dictionary of tasks, and what every transition does to one of them.

The driver tells the model what the server answered; whatever cannot be true is an `AssertionError` that names the task. Nothing
in here looks at the server: `invariants.py` compares the two.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import NamedTuple

from streamq.replies import Handed

#: Crashes that make a suspect.
SUSPECT = 2


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
    key: str | None = None
    state: str = "living"
    recorded: int = 0
    last: int = 0
    forgiven: int = 0
    crashes: int = 0
    attempts: int = 0
    unknown: bool = False
    current: Run | None = None
    #: The consumer of a blocked read that brought it with count 1, although more is known of it, and died before it asked.
    reader: str | None = None
    #: It was brought although it is parked, and stays so.
    stray: bool = False

    @property
    def pending(self) -> bool:
        """Whether somebody holds it, by right or by mistake."""
        return self.current is not None or self.reader is not None


class Model:
    """All tasks that were accepted, and every figure that follows from what was done to them."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.at: dict[str, Task] = {}
        self.keys: dict[str, str] = {}
        self.totals: Counter[str] = Counter()
        self.endings: list[tuple[str, str]] = []
        self.results: dict[str, str] = {}
        #: Hand-outs that are over, whose late calls must be refused.
        self.over: deque[Run] = deque(maxlen=300)

    # Looking

    def living(self, letter: str = "") -> list[Task]:
        """The living tasks, of one stream or of all."""
        return [task for task in self.at.values() if task.address.startswith(letter)]

    def dead(self) -> list[Task]:
        """The dead letters."""
        return [task for task in self.tasks.values() if task.state == "dead"]

    def runs(self, consumer: str = "") -> list[Run]:
        """What is held, by one consumer or by all."""
        runs = [task.current for task in self.at.values() if task.current is not None]
        return [run for run in runs if consumer in {"", run.consumer}]

    def holds(self, run: Run) -> bool:
        """Whether this run still is its task's."""
        task = self.at.get(run.address)
        return task is not None and task.current == run

    # Accepting

    def accept(self, task_id: str, priority: str, key: str | None) -> None:
        """A task was accepted."""
        assert task_id not in self.tasks, f"the id {task_id} was given twice"
        self.tasks[task_id] = self.at[task_id] = Task(task_id, task_id, priority, key)
        self.totals["sent"] += 1
        if key is not None:
            assert key not in self.keys, f"{task_id} took the key {key} of {self.keys[key]}"
            self.keys[key] = task_id

    # Handing out

    def hand_out(self, handed: Handed, consumer: str, *, quarantine: bool = False) -> Run:
        """A task was handed out."""
        task = self.at.get(handed.address)
        assert task is not None, f"{handed.address} was handed out and is no living task"
        assert not task.pending, f"{handed.address} was taken from its holder {task.current}"
        assert handed.count == task.recorded + 1, f"{handed.address} has count {handed.count}, its record says {task.recorded}"
        assert handed.forgiven == task.forgiven, f"{handed.address}: {handed.forgiven} forgiven, {task.forgiven} were handed back"
        assert handed.crashes == task.crashes, f"{handed.address}: {handed.crashes} crashes, {task.crashes} were reaped"
        assert quarantine == (task.crashes >= SUSPECT), f"{handed.address} with {task.crashes} crashes: quarantine {quarantine}"
        assert bool(handed.unknown_ms) == task.unknown, f"{handed.address}: unknown since {handed.unknown_ms}"
        if task.recorded:  # a task of a new life is handed out as a new one
            assert handed.attempts.count(b"{") == task.attempts, f"{handed.address}: attempts {handed.attempts!r}"
        return self.begin(task, consumer)

    def begin(self, task: Task, consumer: str) -> Run:
        """A hand-out begins."""
        task.last = task.recorded + 1
        task.current = Run(task.address, consumer, task.last)
        return task.current

    def bring_unseen(self, task: Task, reader: str, *, parked: bool) -> None:
        """A blocked read brought it and died before it asked what is known of it."""
        if not parked and not task.recorded:
            self.begin(task, reader)
        else:
            task.reader, task.stray = reader, parked

    def _end_run(self, task: Task) -> None:
        if task.current is not None:
            self.over.append(task.current)
        task.current, task.reader, task.stray = None, None, False

    # Parking

    def park(self, task: Task, kind: str) -> None:
        """Its holder parked it."""
        self._end_run(task)
        task.recorded = task.last
        task.attempts += kind == "retry"
        task.forgiven += kind != "retry"
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
        if crashed:
            task.forgiven -= 1
            task.crashes += 1
            task.attempts += 1

    def group_gone(self, letter: str) -> None:
        """The group of a stream was destroyed: nobody holds anything of it."""
        for task in self.living(letter):
            self._end_run(task)

    # Ending

    def end(self, task: Task, state: str) -> None:
        """It finished, died, expired, or was cancelled or purged."""
        self._end_run(task)
        del self.at[task.address]
        if task.key is not None and self.keys.get(task.key) == task.id:
            del self.keys[task.key]
        task.state = "dead" if state in {"dead", "expired"} else "ended"
        self.totals[state] += 1
        self.endings.append((task.id, "cancelled" if state == "purged" else state))

    def revive(self, task: Task, address: str) -> None:
        """A dead letter lives again at another address, all forgiven."""
        self.tasks[task.id] = self.at[address] = Task(task.id, address, task.priority, task.key, attempts=task.attempts)
        if task.key is not None:
            self.keys[task.key] = task.id
        self.totals["revived"] += 1
