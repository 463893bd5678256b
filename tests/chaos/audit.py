"""The whole history of a round, checked: what was accepted has ended, once, and whatever ran again had a reason.

The ledger says what producers and handlers saw, the records what was done to them, the queue what it believes. A task counts as
finished when a run of it returned and it is no dead letter. A run is repeated for a reason when the one before it had raised,
its process was killed, its worker was silent for longer than a heartbeat lasts, or the server forgot who held it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.kinds import KINDS, LEASE, TIMEOUT
from tests.chaos.ledger import Accepted, End, Line, Refused, Send, Start, Unknown
from tests.chaos.records import Records

#: A heartbeat lasts so long, in seconds: shorter silences must go unnoticed.
HEARTBEAT = LEASE / 2
#: Longest pause between two heartbeats, in seconds: who speaks again is heard so much later.
_BEAT = LEASE / 6
#: What a worker had taken before the server forgot it, it may begin so much later, in seconds: its slots were busy.
_TAKEN = 10.0
#: A run that has ended may wait so long for its settling, in seconds: the server was away, loads its data, and is found again.
_UNSETTLED = 3 * LEASE
#: What follows from a death may be noted in the ledger so much earlier than the death in the records, in seconds.
_SLACK = 0.5


@dataclass
class Run:
    """One run of a handler."""

    start: Start
    end: End | None = None

    @property
    def returned(self) -> bool:
        """Whether the handler returned."""
        return self.end is not None and self.end.how == "returned"


@dataclass
class Told:
    """What is known of one task."""

    n: int
    kind: str = ""
    id: str = ""
    sent_at: float = 0.0
    accepted_at: float | None = None
    refused: bool = False
    runs: list[Run] = field(default_factory=list)

    @property
    def ids(self) -> set[str]:
        """Under which ids it was seen: more than one is a task that was added twice."""
        return {run.start.id for run in self.runs} | ({self.id} if self.id else set())


@dataclass
class Verdict:
    """What a round came to."""

    figures: Counter[str] = field(default_factory=Counter)
    #: Each breaks a promise.
    faults: list[str] = field(default_factory=list)


class History:
    """All that the ledger tells, by task.

    Args:
        lines: of the ledger, in order.
    """

    def __init__(self, lines: Iterable[Line]) -> None:
        self.tasks: dict[int, Told] = {}
        #: When a run of a guilty task began, by worker and process.
        self.guilty: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
        self.figures: Counter[str] = Counter()
        runs: dict[str, Run] = {}
        for line in lines:
            if isinstance(line, Send):
                for i, kind in enumerate(line.kinds):
                    self.tasks[line.first + i] = Told(line.first + i, kind, sent_at=line.at)
            elif isinstance(line, Accepted):
                for i, task_id in enumerate(line.ids):
                    task = self.tasks[line.first + i]
                    task.id, task.accepted_at = task_id, line.at
            elif isinstance(line, Refused | Unknown):
                self.figures["sends refused" if isinstance(line, Refused) else "sends unknown"] += line.many
                for i in range(line.many):
                    self.tasks[line.first + i].refused = isinstance(line, Refused)
            elif isinstance(line, Start):
                runs[line.run] = run = Run(line)
                task = self.tasks[line.n]
                task.runs.append(run)
                if KINDS[task.kind].guilty:
                    self.guilty[line.worker, line.pid].append(line.at)
            else:
                runs[line.run].end = line


class Audit:
    """Holds a history against what the queue says.

    Args:
        history: what the ledger tells.
        records: what was done.
        letters: the dead letters: number of the task and the deliveries that counted.
    """

    def __init__(self, history: History, records: Records, letters: Mapping[int, list[int]]) -> None:
        self._history = history
        self._records = records
        self._letters = letters
        self._guilty = {key: sorted(times) for key, times in history.guilty.items()}
        self._deaths: defaultdict[str, list[tuple[float, int | None]]] = defaultdict(list)
        for death in records.deaths:
            self._deaths[death.worker].append((death.at, death.pid))
        self._silences: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for silence in records.silences:
            if silence.is_seen or silence.end - silence.begin > HEARTBEAT - _BEAT - _SLACK:
                self._silences[silence.worker].append((silence.begin, silence.end + _BEAT + _SLACK))
        self.verdict = Verdict(Counter(history.figures))

    def check(self, stats: Mapping[str, Any]) -> Verdict:
        """Check every task, and the figures of the queue."""
        for task in self._history.tasks.values():
            if task.accepted_at is not None or task.runs or task.n in self._letters:
                self._check_task(task)
        strangers = self._letters.keys() - self._history.tasks.keys()
        self._expect(not strangers, f"dead letters of tasks that nobody sent: {sorted(strangers)[:5]}")
        self._check_figures(stats)
        return self.verdict

    def _expect(self, holds: bool, what: str) -> None:  # noqa: FBT001
        if not holds:
            self.verdict.faults.append(what)

    def _check_task(self, task: Told) -> None:
        figures, kind = self.verdict.figures, KINDS[task.kind]
        figures["accepted"] += task.accepted_at is not None
        figures["accepted, although the sender was not told"] += task.accepted_at is None
        letters = self._letters.get(task.n, [])
        finished = not letters and any(run.returned for run in task.runs)
        figures["finished"] += finished
        figures["dead"] += bool(letters)
        self._expect(not task.refused or task.accepted_at is not None, f"task {task.n} was refused, and ran or died")
        if len(task.ids) > 1 and not self._forgotten(task.sent_at, task.runs[-1].start.at):
            self._expect(False, f"task {task.n} was added twice: {sorted(task.ids)}")
        if letters:
            self._check_letters(task, letters)
        elif not finished:
            self._check_lost(task)
        elif kind.limit is not None:
            self._expect(False, f"task {task.n} ({kind.task}) was finished, and cannot be: {_told(task)}")
        for before, after in zip(task.runs, task.runs[1:], strict=False):
            self._check_repeat(task, before, after)

    def _check_letters(self, task: Told, letters: list[int]) -> None:
        kind = KINDS[task.kind]
        self._expect(len(letters) == 1, f"task {task.n} is {len(letters)} dead letters")
        self._expect(kind.limit is not None, f"task {task.n} ({kind.task}) is innocent, and dead: {_told(task)}")
        if kind.limit is not None:
            what = f"task {task.n} ({kind.task}) died after {letters[0]} deliveries, its limit is {kind.limit}: {_told(task)}"
            self._expect(letters[0] <= kind.limit, what)
            self._expect(not kind.guilty or letters[0] == kind.limit, what)

    def _check_lost(self, task: Told) -> None:
        if task.accepted_at is None:
            return  # a producer that was told that nothing is known; or runs that a loss has made vain
        for loss in self._records.losses:
            if loss.tasks and task.sent_at <= loss.end and task.accepted_at >= loss.begin:
                self.verdict.figures[f"lost by {loss.what}"] += 1
                return
        self._expect(False, f"task {task.n} was accepted as {task.id} and is LOST: {_told(task)}")

    def _check_repeat(self, task: Told, before: Run, after: Run) -> None:
        self.verdict.figures["repeated"] += 1
        reason = self._reason(task, before, after)
        if reason:
            self.verdict.figures[f"repeated: {reason}"] += 1
        else:
            gap = f"{after.start.at - before.start.at:.2f} s later"
            self._expect(False, f"task {task.n} was REPEATED without a reason, {gap}: {_told(task)}")

    def _reason(self, task: Told, before: Run, after: Run) -> str:
        begin, end = before.start.at, after.start.at
        worker, pid = before.start.worker, before.start.pid
        if before.end is not None and not before.returned:
            return "it had raised"
        if KINDS[task.kind].guilty:
            return "it had ended its process"
        if self._forgotten(begin, min(end, before.end.at + _UNSETTLED) if before.end else end):
            return "the server forgot"
        if any(begin - _SLACK <= at <= end + _SLACK and killed in {None, pid} for at, killed in self._deaths[worker]):
            return "its process was killed"
        older = after.start.count < before.start.count
        if self._was_silent(worker, begin, end) or (older and self._was_silent(after.start.worker, begin, end)):
            return "its worker was silent"
        return "a task beside it ended the process" if self._was_beside_a_guilty_one(before, end) else ""

    def _was_silent(self, worker: str, begin: float, end: float) -> bool:
        return any(since <= end and until >= begin for since, until in self._silences[worker])

    def _was_beside_a_guilty_one(self, run: Run, end: float) -> bool:
        times = self._guilty.get((run.start.worker, run.start.pid), [])
        first = bisect_left(times, run.start.at - TIMEOUT - 2 * _SLACK)
        return first < len(times) and times[first] <= end

    def _forgotten(self, begin: float, end: float) -> bool:
        return any(loss.begin <= end and loss.end + _TAKEN >= begin for loss in self._records.losses)

    def _check_figures(self, stats: Mapping[str, Any]) -> None:
        figures = self.verdict.figures
        figures["refused to runs that had lost their lease"] = stats["fenced_total"]
        figures["recovered from the dead and the silent"] = stats["reaped_total"]
        left = {name: stats[name] for name in ("scheduled", "running", "retrying")} | {"waiting": sum(stats["waiting"].values())}
        self._expect(not any(left.values()), f"the queue is not through: {left}")
        if any(loss.tasks for loss in self._records.losses):
            return  # what it counted is partly forgotten too
        for name in ("finished", "dead"):
            counted = stats[f"{name}_total"]
            self._expect(counted == figures[name], f"the queue counts {counted} {name}, the ledger {figures[name]}")
        ended = stats["finished_total"] + stats["dead_total"]
        self._expect(stats["sent_total"] == ended, f"the queue counts {stats['sent_total']} sent, and {ended} ended")


def _told(task: Told) -> str:
    runs = [
        f"{run.start.worker}/{run.start.pid} count {run.start.count} at {run.start.at:.2f}"
        + (f" {run.end.how} at {run.end.at:.2f}" if run.end else " no end")
        for run in task.runs
    ]
    return f"sent {task.sent_at:.2f}, accepted {task.accepted_at}, runs {runs}"
