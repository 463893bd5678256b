"""Recovery by time: heartbeats and sweeps. What they may take, and what they must, follows from the model's clock."""

from __future__ import annotations

import hypothesis.strategies as st

from tests.model.base import WHICH, step
from tests.model.clock import LEASE, UNIT_MS
from tests.model.faults import BATCHES
from tests.model.producers import Producers, Spec
from tests.model.workers import Workers

#: One sweep looks at so many of those whose heartbeats have expired.
AT_ONCE = 10


class Recovery(Producers, Workers):
    """The rules of beats and sweeps."""

    def _sweep(self, batch: int) -> None:
        """One sweep: it takes what is stale, nothing else, and nothing at all while it rests."""
        stale = self.model.stale()
        expired = self.model.fleet.expired(self.model.now)
        rests = self.model.fleet.rests(self.model.now)
        before = {task.holder for task in self.model.at.values()}
        swept = self.run.sweep(LEASE * UNIT_MS, 0, batch)
        assert self.run.open() == 0, "a sweep makes the groups that are missing"
        assert swept.held_back == rests, f"held back: {swept.held_back}, the model says {rests}"
        pending = self.examiner.pending()
        lost = [task for task in self.model.at.values() if task.pending and task.address not in pending]
        assert not rests or not lost, f"reaped while nothing may be: {lost}"
        assert not (wrong := [task for task in lost if task not in stale]), f"reaped, although its holder lives: {wrong}"
        assert swept.reaped == sum(not task.stray for task in lost), f"{swept.reaped} were reaped, {lost} were lost"
        for task in lost:
            self.model.lose(task, crashed=True)
        holders = {task.holder for task in self.model.at.values()}
        gone = expired - self.examiner.fleet()
        assert not (gone & holders), f"taken off, although something is held: {gone & holders}"
        assert not (rests and gone), f"taken off while nothing may be: {gone}"
        bare = expired - (before if batch < len(self.model.at) else holders)  # what was left over by a batch comes next time
        assert rests or len(expired) > AT_ONCE or bare <= gone, f"of {bare} only {gone} were taken off"
        for consumer in gone:
            del self.model.fleet.expiry[consumer]

    @step(batch=BATCHES)
    def sweep(self, batch: int) -> None:
        """One sweep of the fleet."""
        self._sweep(batch)

    @step(batch=BATCHES)
    def sweep_through(self, batch: int) -> None:
        """As many sweeps as it takes to come round: whatever is stale has been recovered, however much else is held."""
        self._sweep_through(batch)

    def _sweep_through(self, batch: int) -> None:
        pending = sum(task.pending for task in self.model.at.values())
        for _ in range(2 * (pending // batch + 3)):
            self._sweep(batch)
        if not self.model.fleet.rests(self.model.now):
            assert not (left := self.model.stale()), f"never recovered: {left}"

    @step(lambda self: "crowd" not in self.spent, letter=st.sampled_from("dhl"), many=st.integers(9, 15), batch=BATCHES)
    def strand_behind_a_crowd(self, letter: str, many: int, batch: int) -> None:
        """A worker holds many tasks for long; another one, that stands still, holds what stands behind them."""
        self.spend("crowd")
        busy, stuck = self.workers[:2]
        self.wake(busy)
        for consumer, size in ((busy, many), (stuck, 1)):
            self.send_some([Spec(letter)] * size)
            while self.take_some(consumer, 100, 100, letter):
                pass
        self.frozen.add(stuck)
        self.advance(2 * LEASE + 1, awake=True)
        self._sweep_through(batch)

    @step(lambda self: self.model.runs(), who=WHICH, silent=st.booleans())
    def overtake(self, who: int, *, silent: bool) -> None:
        """A worker stands still past its lease while the others go on; sweeps take what it holds; it comes back."""
        consumer = self.worker(who)
        self.frozen.add(consumer)
        if silent:
            self.silent.add(consumer)
        for _ in range(2 * LEASE + 1):
            self.advance(1, awake=True)
            self._sweep(100)
        assert not self.model.runs(consumer), f"{consumer} stood still for {2 * LEASE + 1} units and keeps its tasks"
        self.wake(consumer)
        self.renew_one(consumer)

    @step(lambda self: self.model.runs(), who=WHICH, most=st.integers(1, 3), late=st.integers(0, 2))
    def claim(self, who: int, most: int, late: int) -> None:
        """A person hands stuck runs on."""
        runs = self.some_runs(who, most, late)
        claimed = self.run.claim("claimed", runs) if runs else []
        assert set(claimed) == {run.address for run in runs if self.model.holds(run)}
        for address in claimed:
            self.model.lose(self.model.at[address], crashed=True)
