"""What workers do with tasks: take, finish, park and bury them, in time or too late, with replies that are lost."""

from __future__ import annotations

import json
from typing import Any

from streamq.replies import Handed, parse_read
from streamq.server.reply import ReplyError
from streamq.transitions import Bury, Park, ParkKind, blocking_read
from tests.model.driver import Driver
from tests.model.model import Run, Task

KINDS: tuple[ParkKind, ...] = ("retry", "retry", "retry", "release", "snooze", "unknown")


class Workers(Driver):
    """The steps of workers."""

    def _start(self, tasks: list[Handed], consumer: str, *, quarantine: bool = False) -> None:
        runs = [(task, self.model.hand_out(task, consumer, quarantine=quarantine)) for task in tasks]
        for task, run in runs:
            fields = dict(zip(task.fields[::2], task.fields[1::2], strict=True))
            if int(fields.get(b"expires", 2**53)) <= self.clock():
                self._bury(run, reason="expired", failed=False, not_started=True)

    def take(self) -> None:
        """A worker takes."""
        consumer = self.rng.choice(self.workers)
        order = "".join(self.rng.sample("hdl", self.rng.randint(1, 3)))
        want = self.rng.randint(1, 20)
        taken = self.run.take(consumer, want, self.rng.randint(0, want), order)
        assert len(taken.tasks) <= want
        assert self.paused == (taken.state == "paused")
        assert not (self.paused and taken.tasks), "a paused queue handed something out"
        self._start(taken.tasks, consumer)

    def take_and_lose_the_reply(self) -> None:
        """The server is killed while a take is under way: what it gave is found by the next renewal, and handed back."""
        consumer = self.rng.choice(self.workers)
        self.call_and_kill(self.run.command("take", (consumer, self.rng.randint(1, 10), 3, "hdl")))
        known = {run.address for run in self.model.runs(consumer)}
        for row in self.run.renew(consumer):
            if row.address in known or self.model.at[row.address].reader == consumer:
                continue
            run = self.model.begin(self.model.at[row.address], consumer)
            assert row.count == run.deliveries
            assert self.run.park(consumer, [Park(row.address, row.count, 0, "release")]) == []
            self.model.park(self.model.at[row.address], "release")

    def read_blocked(self) -> None:
        """An idle worker's blocked read: what it brings below a mark is admitted, or its reader dies or stops before."""
        consumer = self.rng.choice(self.workers)
        reply, control = self.link.batch(blocking_read(self.keys, consumer, self.rng.randint(1, 5), 1), block=1)
        if isinstance(reply, ReplyError):
            assert reply.code in {"NOGROUP", "UNBLOCKED"}
            return
        tasks, watch = parse_read(self.keys, reply, control)
        assert watch.paused == self.paused
        if watch.paused or (watch.marks and self.rng.random() < 0.3):
            self._hand_back_unseen(tasks, consumer)
        elif watch.marks and self.rng.random() < 0.4:
            parked = self.parked()
            for task in tasks:
                self.model.bring_unseen(self.model.at[task.address], consumer, parked=task.address in parked)
            self.end(consumer)
            self.ghosts.append(consumer)
        elif watch.marks:
            fields = {task.address: task.fields for task in tasks}
            rows = self.run.admit(consumer, list(fields))
            self._start([Handed(*row[:5], fields[row[0]], row[5]) for row in rows], consumer)
        else:
            self._start(tasks, consumer)

    def _hand_back_unseen(self, tasks: list[Handed], consumer: str) -> None:
        """What was read is released before anybody looked whether it was parked or known."""
        parked = self.parked()
        refused = self.run.park(consumer, [Park(task.address, task.count, 0, "release") for task in tasks])
        assert refused == []
        for task in tasks:
            if task.address not in parked:
                self.model.begin(self.model.at[task.address], consumer)
                self.model.park(self.model.at[task.address], "release")

    def take_suspect(self) -> None:
        """The quarantine asks for a suspect."""
        if not self.model.runs(self.quarantine):
            task, _, _ = self.run.quarantine(self.quarantine)
            assert not (self.paused and task), "a paused queue handed a suspect out"
            self._start([task] if task else [], self.quarantine, quarantine=True)

    # Verdicts

    def _some_runs(self, most: int) -> list[Run]:
        """Runs of one consumer: held ones, and some that are over."""
        consumers = [run.consumer for run in self.model.runs()]
        if not consumers:
            return []
        held = self.model.runs(self.rng.choice(consumers))
        runs = self.rng.sample(held, min(len(held), self.rng.randint(1, most)))
        taken = {run.address for run in runs}
        late = {run.address: run for run in self.model.over if run.consumer == runs[0].consumer and run.address not in taken}
        for address in list(late):
            # After a remade group the same consumer can get the same count again; the process then keeps the run that it has.
            if address in self.model.at and self.model.at[address].reader is not None:
                del late[address]
        living = [run for run in late.values() if run.address in self.model.at]
        chosen = living if living and self.rng.random() < 0.7 else list(late.values())
        runs += self.rng.sample(chosen, min(len(chosen), self.rng.choice((0, 0, 1, 3))))
        self.rng.shuffle(runs)
        return runs

    def _settle_command(self, runs: list[Run]) -> tuple[list[Any], list[str]]:
        extras: list[Any] = []
        results: list[str] = []
        for i, run in enumerate(runs, 1):
            task = self.model.at.get(run.address)
            task_id, key = (task.id, task.key or "") if task else (run.address, "")
            result = f"result of {run.address}" if self.rng.random() < 0.3 else ""
            if key or result or task_id != run.address:
                extras += [i, task_id, key, result]
                results += [task_id] if result else []
        lines = "\n".join(f"{self.model.at[run.address].id if run.address in self.model.at else '?'}\tfinished" for run in runs)
        fences = [value for run in runs for value in (run.address, run.deliveries)]
        return [runs[0].consumer, "w", 600_000, lines, "w1 1", fences, extras, results], extras

    def _finished(self, runs: list[Run], extras: list[Any]) -> None:
        results = {extras[i]: extras[i + 3] for i in range(0, len(extras), 4)}
        for i, run in enumerate(runs, 1):
            if self.model.holds(run):
                task = self.model.at[run.address]
                if results.get(i):
                    self.model.results[task.id] = results[i]
                self.model.end(task, "finished")

    def settle(self) -> None:
        """A worker settles a group; what is no longer its own is refused, and nothing else."""
        if runs := self._some_runs(self.rng.choice((12, 60))):
            args, extras = self._settle_command(runs)
            refused = self.run.settle(*args)
            expected = {run.address for run in runs if not self.model.holds(run)}
            assert set(refused) == expected, f"settle refused {refused}, not {expected}"
            self._finished(runs, extras)

    def settle_all(self) -> None:
        """Everybody settles all that he holds."""
        for consumer in {run.consumer for run in self.model.runs()}:
            runs = self.model.runs(consumer)
            args, extras = self._settle_command(runs)
            assert self.run.settle(*args) == []
            self._finished(runs, extras)

    def settle_and_lose_the_reply(self) -> None:
        """The server is killed while a settle is under way, and it is repeated: each task is finished once."""
        if runs := [run for run in self._some_runs(12) if self.model.holds(run)]:
            args, extras = self._settle_command(runs)
            consumer, worker, ttl, lines, buckets, fences, _, results = args
            keys = [self.keys.result(task_id) for task_id in results]
            told = (consumer, worker, ttl, self.run.history, lines, buckets, len(runs), *fences, *extras)
            self.call_and_kill(self.run.command("settle", told, keys))
            refused = self.run.settle(*args)
            assert len(refused) in {0, len(runs)}, "half of a group was settled"
            self._finished(runs, extras)

    def park(self) -> None:
        """A worker retries, hands back, snoozes or does not know some of its tasks."""
        runs = self._some_runs(5)
        kinds = [self.rng.choice(KINDS) for _ in runs]
        attempts = [json.dumps({"run": run}).encode() if kind == "retry" else b"" for run, kind in zip(runs, kinds, strict=True)]
        parks = [
            Park(run.address, run.deliveries, self.rng.randint(0, 40), kind, attempt)
            for run, kind, attempt in zip(runs, kinds, attempts, strict=True)
        ]
        refused = self.run.park(runs[0].consumer, parks) if runs else []
        assert set(refused) == {run.address for run in runs if not self.model.holds(run)}
        for run, kind in zip(runs, kinds, strict=True):
            if self.model.holds(run):
                self.model.park(self.model.at[run.address], kind)

    def bury(self) -> None:
        """A worker buries one of its tasks, or tries to with one that is no longer its own."""
        if runs := self._some_runs(1):
            started = self.rng.random() < 0.7
            self._bury(
                self.rng.choice(runs), reason="error" if started else "deliveries", failed=started, not_started=not started
            )

    def _bury(self, run: Run, *, reason: Any, failed: bool, not_started: bool) -> None:
        attempt = b'{"last":1}' if failed else b""
        told = Bury(run.address, run.deliveries, reason, "E", "T", attempt, failed, not_started, "image")
        accepted = self.run.bury(run.consumer, "w", told)
        assert accepted == self.model.holds(run), f"burying {run}: {accepted}"
        if accepted:
            task = self.model.at[run.address]
            task.attempts += failed
            deliveries = run.deliveries - task.forgiven - not_started
            self.model.end(task, "expired" if reason == "expired" else "dead")
            self._check_letter(task, deliveries)

    def _check_letter(self, task: Task, deliveries: int) -> None:
        entry: Any = self.link.call("HGET", self.keys["dead:ids"], task.id)
        [[_, flat]] = self.link.call("XRANGE", self.keys["dead"], entry, entry)
        assert int(flat[9]) == deliveries
        assert flat[11].count(b"{") == task.attempts
        assert flat[13].decode() == task.priority
