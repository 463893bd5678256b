"""What workers do with tasks that they hold: finish, park and bury them, in time or too late, with replies that are lost."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import pytest

from streamq.server.reply import ReplyError
from streamq.transitions import Bury, Park, ParkKind, Reason, fences_told
from tests.model.base import LOSSES, WHICH, Base, Loss, step
from tests.model.model import LIMIT, Run, Task

KINDS: st.SearchStrategy[ParkKind] = st.sampled_from(("retry", "release", "snooze", "unknown", "alone"))


def _holding(self: Verdicts) -> object:
    return self.model.runs()


class Verdicts(Base):
    """The rules of workers that end or park what they hold."""

    def _settle_args(self, runs: list[Run], *, results: bool) -> tuple[Any, ...]:
        extras: list[str | bytes | int] = []
        names: list[str] = []
        for i, run in enumerate(runs, 1):
            task = self.model.at.get(run.address)
            task_id, key = (task.id, task.key or "") if task else (run.address, "")
            result = f"result of {run.address}" if results else ""
            if key or result or task_id != run.address:
                extras += [i, task_id, key, result]
                names += [task_id] if result else []
        lines = "\n".join(f"{self.model.at[run.address].id if run.address in self.model.at else '?'}\tfinished" for run in runs)
        fences = [(run.address, run.deliveries) for run in runs]
        return runs[0].consumer, "w", 600_000, lines, "w1 1", fences, extras, names

    def _finished(self, runs: list[Run], *, results: bool) -> None:
        for run in runs:
            if self.model.holds(run):
                task = self.model.at[run.address]
                if results:
                    self.model.results[task.id] = f"result of {run.address}"
                self.model.end(task, "finished")

    def settle_runs(self, runs: list[Run], *, results: bool = False) -> None:
        """Settle runs of one consumer: what is no longer its own is refused, and nothing else."""
        if runs:
            refused = self.run.settle(*self._settle_args(runs, results=results))
            expected = {run.address for run in runs if not self.model.holds(run)}
            assert set(refused) == expected, f"settle refused {refused}, not {expected}"
            self.model.totals["fenced"] += len(refused)
            self._finished(runs, results=results)

    @step(_holding, who=WHICH, most=st.integers(1, 60), late=st.integers(0, 3), results=st.booleans())
    def finish(self, who: int, most: int = 60, late: int = 0, *, results: bool = False) -> None:
        """A worker settles a group, and things that are no longer its own among it."""
        self.settle_runs(self.some_runs(who, most, late), results=results)

    @step(_holding, who=WHICH, most=st.integers(1, 12), loss=LOSSES)
    def finish_and_lose_the_reply(self, who: int, most: int, loss: Loss) -> None:
        """The reply to a settle is lost, and it is repeated: each task is finished once."""
        if runs := self.some_runs(who, most):
            args = self._settle_args(runs, results=True)
            consumer, worker, ttl, lines, buckets, fences, extras, names = args
            keys = [self.keys.result(task_id) for task_id in names]
            argv = (consumer, worker, ttl, self.run.history, lines, buckets, *fences_told(fences), *extras)
            if self.lose("settle", argv, loss, keys):
                self._finished(runs, results=True)
            self.settle_runs(runs, results=True)

    @step(_holding, who=WHICH, most=st.integers(1, 5), late=st.integers(0, 2), kind=KINDS, delay=st.sampled_from((0, 0, 1, 3)))
    def park(self, who: int, most: int, late: int, kind: ParkKind, delay: int = 0) -> None:
        """A worker retries, hands back, snoozes or does not know some of its tasks."""
        self.park_runs(self.some_runs(who, most, late), kind, delay)

    def park_runs(self, runs: list[Run], kind: ParkKind, delay: int = 0) -> None:
        """Park runs of one consumer; the last delivery of a task is not retried."""
        runs = [run for run in runs if kind != "retry" or not self._is_last(run)]
        attempt = json.dumps({"kind": kind}).encode() if kind == "retry" else b""
        parks = [Park(run.address, run.deliveries, delay * 60_000, kind, attempt) for run in runs]
        refused = self.run.park(runs[0].consumer, parks) if runs else []
        assert set(refused) == {run.address for run in runs if not self.model.holds(run)}
        self.model.totals["fenced"] += len(refused)
        for run in runs:
            if self.model.holds(run):
                self.model.park(self.model.at[run.address], kind, delay)

    def _is_last(self, run: Run) -> bool:
        return self.model.holds(run) and run.deliveries - self.model.at[run.address].forgiven >= LIMIT

    @step(_holding, which=WHICH, started=st.booleans())
    def bury(self, which: int, *, started: bool = True) -> None:
        """A worker buries one of its tasks: one that failed for good, or one that it refuses to start."""
        if run := self.some_run(which, keyed=True):
            self.bury_run(run, reason="error" if started else "invalid", failed=started, not_started=not started)

    @step(_holding, which=WHICH)
    def bury_in_vain(self, which: int) -> None:
        """The dead letters cannot be written, since somebody has put something else there: the task is held as before."""
        if run := self.some_run(which):
            dead, aside, spare = self.keys["dead"], self.keys["aside"], self.keys["spare"]
            self.link.batch([["RENAME", dead, aside], ["RENAME", spare, dead]])
            with pytest.raises(ReplyError, match="WRONGTYPE"):
                self.run.bury(run.consumer, "w", self.letter(run, "error", failed=True, not_started=False))
            self.model.at[run.address].renewed = self.model.now
            self.link.batch([["RENAME", dead, spare], ["RENAME", aside, dead]])

    def letter(self, run: Run, reason: Reason, *, failed: bool, not_started: bool) -> Bury:
        """What a worker says when it buries a run."""
        return Bury(run.address, run.deliveries, reason, "E", "T", b'{"last":1}' if failed else b"", failed, not_started, "image")

    def bury_run(self, run: Run, *, reason: Reason, failed: bool, not_started: bool) -> None:
        """Bury a run that is held, and read the dead letter."""
        assert self.run.bury(run.consumer, "w", self.letter(run, reason, failed=failed, not_started=not_started))
        task = self.model.at[run.address]
        task.attempts += failed
        self.model.totals["failed"] += failed
        deliveries = run.deliveries - task.forgiven - not_started
        assert deliveries <= LIMIT, f"{run} was delivered {deliveries} times"
        self.model.end(task, "expired" if reason == "expired" else "dead")
        self._check_letter(task, deliveries, reason)

    def _check_letter(self, task: Task, deliveries: int, reason: str) -> None:
        entry: Any = self.link.call("HGET", self.keys["dead:ids"], task.id)
        reply: Any = self.link.call("XRANGE", self.keys["dead"], entry, entry)
        [[_, flat]] = reply
        told = dict(zip(flat[:16:2], flat[1:16:2], strict=True))
        assert int(told[b"deliveries"]) == deliveries, f"{told}: there were {deliveries}"
        assert told[b"attempts"].count(b"{") == task.attempts, f"{told}: there were {task.attempts} attempts"
        assert (told[b"priority"], told[b"reason"]) == (task.priority.encode(), reason.encode())
