"""What workers do to get tasks: take them, wait for them in a blocked read, renew them, stand still and come back."""

from __future__ import annotations

import functools
from itertools import permutations
from typing import Any, Literal

import hypothesis.strategies as st

from streamq.replies import Handed, parse_read
from streamq.server.reply import ReplyError
from streamq.transitions import Park, reading
from tests.model.base import LOSSES, WHICH, Loss, step
from tests.model.clock import UNIT_MS
from tests.model.model import LIMIT, Run, Task
from tests.model.verdicts import Verdicts

ORDERS = ["".join(order) for n in (3, 1) for order in permutations("hdl", n)]
End = Literal["keep", "finish", "bury", "retry", "release", "snooze", "unknown", "alone"]
ENDS: st.SearchStrategy[End] = st.sampled_from(
    ("keep", "retry", "release", "finish", "keep", "retry", "bury", "snooze", "unknown", "alone")
)
#: What a reader does with what it got where marks stand: looks it over, hands it back unseen, or dies before it looks.
Then = Literal["admit", "hand back", "die"]
THENS: st.SearchStrategy[Then] = st.sampled_from(("admit", "hand back", "die"))


class Workers(Verdicts):
    """The rules of workers that get tasks."""

    def _start(self, tasks: list[Handed], consumer: str, *, quarantine: bool = False) -> None:
        """What a worker does before a slot starts: late tasks and those delivered too often are buried."""
        runs = [(task, self.model.hand_out(task, consumer, quarantine=quarantine)) for task in tasks]
        for handed, run in runs:
            task = self.model.at[handed.address]
            told = dict(zip(handed.fields[::2], handed.fields[1::2], strict=True)).get(b"expires")
            assert (told is None) == (task.expires is None), f"{handed.address} expires {told!r}, the model says {task}"
            if task.expires is not None and task.expires <= self.model.now:
                self.bury_run(run, reason="expired", failed=False, not_started=True)
            elif handed.deliveries > LIMIT:
                self.bury_run(run, reason="deliveries", failed=False, not_started=True)

    def take_some(self, consumer: str, want: int, due_first: int, order: str) -> int:
        """Take once; returns how many came. Whoever was silent for too long gets nothing before he has beaten."""
        if consumer in self.model.fleet.expired(self.model.now):
            taken = self.run.take(consumer, want, due_first, order)
            assert (taken.state, taken.tasks) == ("paused" if self.paused else "silent", []), f"a silent worker was given {taken}"
            self.beat_all()
        for _ in range(len(self.model.at) + len(self.model.debris) + 9):
            taken = self.run.take(consumer, want, due_first, order)
            assert len(taken.tasks) <= want
            assert self.paused == (taken.state == "paused")
            assert not (self.paused and taken.tasks), "a paused queue handed something out"
            self._start(taken.tasks, consumer)
            is_due = 0 < taken.next_due_ms <= taken.now_ms  # a worker asks again at once
            if taken.tasks or not (is_due or taken.state == "more") or not self.model.available(order):
                break
        if not self.paused and not taken.tasks:
            assert not (left := self.model.available(order)), f"nothing was handed out, and there were {left}"
        return len(taken.tasks)

    @step(who=WHICH, want=st.integers(1, 20), due_first=st.integers(0, 20), order=st.sampled_from(ORDERS))
    def take(self, who: int, want: int, due_first: int = 0, order: str = "hdl") -> None:
        """A worker takes."""
        self.take_some(self.worker(who), want, due_first, order)

    @step(who=WHICH)
    def take_all(self, who: int) -> None:
        """A worker takes all that there is."""
        while self.take_some(self.worker(who), 100, 50, "hdl"):
            pass

    @step(who=WHICH, want=st.integers(1, 8), ends=st.lists(ENDS, min_size=1, max_size=4))
    def work(self, who: int, want: int, ends: list[End]) -> None:
        """A worker takes some and ends what it holds, one so and the next so; `keep` leaves the task running."""
        consumer = self.worker(who)
        self.take_some(consumer, want, want // 2, "hdl")
        for i, run in enumerate(self.model.runs(consumer)):
            end = ends[i % len(ends)]
            if end == "finish":
                self.settle_runs([run])
            elif end == "bury":
                self.bury_run(run, reason="error", failed=True, not_started=False)
            elif end != "keep":
                self.park_runs([run], end)

    @step(who=WHICH, want=st.integers(1, 10), loss=LOSSES)
    def take_and_lose_the_reply(self, who: int, want: int, loss: Loss) -> None:
        """The reply to a take is lost; what it gave is found by the next renewal, and handed back."""
        consumer = self.worker(who)
        executed = self.lose("take", (consumer, want, 3, "hdl"), loss)
        known = {run.address for run in self.model.runs(consumer)}
        unknown = [row for row in self.run.renew(consumer) if row.address not in known]
        self.model.renew(consumer)
        assert executed or not unknown
        for row in unknown:
            run = self.model.begin(self.model.at[row.address], consumer)
            assert row.count == run.deliveries
            assert self.run.park(consumer, [Park(row.address, row.count, 0, "release")]) == []
            self.model.park(self.model.at[row.address], "release")

    @step(who=WHICH, count=st.integers(1, 5), then=THENS)
    def read_blocked(self, who: int, count: int, then: Then) -> None:
        """An idle worker's blocked read: what it brings below a mark is admitted, or its reader stops or dies before."""
        self.read_once(self.worker(who), count, then)

    @step(who=WHICH, count=st.integers(1, 5), letter=st.sampled_from("hdl"), then=THENS)
    def read_on(self, who: int, count: int, letter: str, then: Then) -> None:
        """A worker reads on from the priority that has given it much; the same holds for what it brings."""
        self.read_once(self.worker(who), count, then, letter)

    def read_once(self, consumer: str, count: int, then: Then, letter: str | None = None) -> None:
        """One plain read: of one priority, or a blocked one of all."""
        how: dict[str, Any] = {"letters": letter} if letter else {"block_ms": 1}
        reply, control = self.link.batch(reading(self.keys, consumer, count, **how), block=1)
        if isinstance(reply, ReplyError):
            assert reply.code in {"NOGROUP", "UNBLOCKED"}
            return
        tasks, watch = parse_read(self.keys, reply, control)
        assert watch.paused == self.paused
        if then == "die":
            for task in tasks:
                self.model.bring_unseen(self.model.at[task.address], consumer)
            self.end_consumer(consumer)
        elif watch.paused or then == "hand back":
            self._hand_back_unseen(tasks, consumer)
        elif watch.marks:
            fields = {task.address: task.fields for task in tasks}
            rows = self.run.admit(consumer, list(fields))
            self._start([Handed(*row[:5], fields[row[0]], row[5]) for row in rows], consumer)
        else:
            self._start(tasks, consumer)

    def _hand_back_unseen(self, tasks: list[Handed], consumer: str) -> None:
        """What was read is released before anybody looked whether it was parked or known."""
        assert self.run.park(consumer, [Park(task.address, task.count, 0, "release") for task in tasks]) == []
        for handed in tasks:
            task = self.model.at[handed.address]
            if task.place != "parked":
                self.model.begin(task, consumer)
                self.model.park(task, "release")

    @step(lambda self: not self.model.runs(self.quarantine))
    def take_suspect(self) -> None:
        """The quarantine, which holds nothing, asks for a suspect."""
        self.take_one_suspect()

    def take_one_suspect(self) -> None:
        """One suspect that is due, if there is any and nothing stands in the way."""
        if self.model.runs(self.quarantine):
            return
        if self.quarantine in self.model.fleet.expired(self.model.now):
            assert self.run.quarantine(self.quarantine)[0] is None, "a silent worker was given a suspect"
            self.beat_all()
        task, due, _ = self.run.quarantine(self.quarantine)
        assert not (self.paused and (task or due)), "a paused queue handed a suspect out"
        self._start([task] if task else [], self.quarantine, quarantine=True)
        if not task and not self.paused and not self.marks() and not self.model.debris:
            assert not (left := self._due_suspects()), f"no suspect was handed out, and there were {left}"

    def _due_suspects(self) -> list[Task]:
        tasks = [task for task in self.model.at.values() if task.suspect and task.place == "parked" and not task.stray]
        return [task for task in tasks if task.due is not None and task.due <= self.model.now]

    @step(lambda self: not self.paused and any(task.suspect for task in self.model.at.values()), rounds=st.integers(1, 3))
    def kill_the_quarantine(self, rounds: int) -> None:
        """A suspect kills the process that it runs in alone, again and again."""
        for _ in range(rounds):
            self.take_one_suspect()
            self.end_consumer(self.quarantine)

    @step(who=WHICH, silent=st.booleans())
    def stand_still(self, who: int, *, silent: bool = False) -> None:
        """A worker's process is stopped: it neither renews nor calls; with its supervisor, so that it does not beat, or alone."""
        consumer = self.worker(who)
        self.frozen.add(consumer)
        if silent:
            self.silent.add(consumer)

    @step(lambda self: self.frozen, who=WHICH)
    def come_back(self, who: int) -> None:
        """A stopped worker goes on as if nothing had been; its next renewal tells what it still holds."""
        consumer = sorted(self.frozen)[who % len(self.frozen)]
        self.wake(consumer)
        self.renew_one(consumer)

    @step(lambda self: self.model.late(), most=st.integers(1, 4))
    def call_late(self, most: int) -> None:
        """Whoever comes too late with a run that is over changes nothing; that it was refused is counted."""
        for run in self.model.late()[:most]:
            for call in ("settle", "park", "bury", "claim", "renew"):
                if call == "renew" and any(task.holder == run.consumer for task in self.model.at.values()):
                    continue
                changed = self.changed(functools.partial(self._call_late, run, call))
                counted = call in {"settle", "park", "bury"}
                self.model.totals["fenced"] += counted
                expected: dict[str, Any] = {"stats fenced": self.model.totals["fenced"]} if counted else {}
                assert changed == expected, f"{call} of {run}, which is over, changed {changed}"

    def _call_late(self, run: Run, call: str) -> None:
        if call == "settle":
            assert self.run.settle(run.consumer, "w", UNIT_MS, "?\tfinished", "w1 1", [(run.address, run.deliveries)]) == [
                run.address
            ]
        elif call == "park":
            assert self.run.park(run.consumer, [Park(run.address, run.deliveries, 0, "retry", b'{"late":1}')]) == [run.address]
        elif call == "bury":
            assert not self.run.bury(run.consumer, "w", self.letter(run, "error", failed=True, not_started=False))
        elif call == "claim":
            assert self.run.claim("claimed", [run]) == []
        else:
            assert self.run.renew(run.consumer) == []
