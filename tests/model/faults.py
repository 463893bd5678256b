"""What happens to workers and to the server: death, time that runs out, groups and scripts that are gone."""

from __future__ import annotations

from typing import Any

from tests.model.driver import HEARTBEAT_MS, LEASE_MS
from tests.model.workers import Workers


class Faults(Workers):
    """The steps that nobody wishes for, and the recovery from them."""

    def renew(self) -> None:
        """A worker renews: it is told what it holds, no more and no less."""
        consumer = self.rng.choice(self.workers)
        held = {row.address for row in self.run.renew(consumer)}
        assert held == {run.address for run in self.model.runs(consumer)}

    def crash(self) -> None:
        """A worker is killed: reaped by name by who saw it, with or without knowledge of what had started, or left to time."""
        consumer = self.rng.choice([*self.workers, self.quarantine])
        self.end(consumer)
        self.ghosts.append(consumer)
        if self.rng.random() < 0.6:
            self.reap(consumer)

    def reap(self, consumer: str = "") -> None:
        """Somebody finds a consumer dead, and takes what it held in batches."""
        if not consumer and not self.ghosts:
            return
        consumer = consumer or self.rng.choice(self.ghosts)
        runs = self.model.runs(consumer)
        started = set(self.rng.sample(runs, self.rng.randint(0, len(runs)))) if self.rng.random() < 0.6 else None
        told = None if started is None else [(run.address, 1) for run in started]
        reaped, left = 0, True
        while left:
            crashed, handed_back, left = self.run.reap(consumer, "killed", started=told, batch=self.rng.choice((3, 100)))
            reaped += crashed + handed_back
        lost = [task for task in self.model.living() if consumer in {task.reader, task.current and task.current.consumer}]
        assert reaped == sum(not task.stray for task in lost), f"{reaped} were reaped, {lost} were held"
        for task in lost:
            self.model.lose(task, crashed=started is None or task.current in started)
        self.ghosts = [ghost for ghost in self.ghosts if ghost != consumer]

    def sweep(self) -> None:
        """The living beat, and one sweep looks for what time has run out for; after a restart it rests."""
        before = self.pending()
        self.beat()
        swept = self.run.sweep(LEASE_MS, 0, self.rng.choice((3, 10, 100)))
        lost = self.find_lost(before)
        assert swept.reaped == len(lost)
        assert not (swept.held_back and lost), "reaped while held back"

    def restart_and_sweep(self) -> None:
        """After a restart nobody is reaped by time for one lease."""
        before = self.pending()
        self.restart()
        self.beat()
        swept = self.run.sweep(LEASE_MS, 0)
        hold: Any = self.link.call("HGET", self.keys["control"], "hold")
        assert swept.held_back or self.clock() > int(hold)
        lost = self.find_lost(before)
        assert not (swept.held_back and lost), "reaped while held back"

    def claim(self) -> None:
        """A person hands stuck runs on."""
        runs = self._some_runs(3)
        claimed = self.run.claim("claimed", runs)
        assert set(claimed) == {run.address for run in runs if self.model.holds(run)}
        for address in claimed:
            self.model.lose(self.model.at[address], crashed=True)

    def leave(self) -> None:
        """A worker leaves, unless it holds anything."""
        consumer = self.rng.choice(self.workers)
        assert self.run.leave(consumer) == (not self.model.runs(consumer))

    def destroy_group(self) -> None:
        """Somebody destroys the group of a stream; if he can, one of which a suspect runs in quarantine."""
        suspects = [run.address[0] for run in self.model.runs(self.quarantine)]
        letter = self.rng.choice([*"hdls", *suspects * 4])
        self.link.call("XGROUP", "DESTROY", self.keys.stream(letter), "workers")
        self.model.group_gone(letter)
        if self.rng.random() < 0.5:
            self.run.open()

    def flush_scripts(self) -> None:
        """The server forgets all scripts."""
        self.link.call("SCRIPT", "FLUSH")

    def let_time_pass(self) -> None:
        """Leases and heartbeats run out, delays are over."""
        end = self.clock() + self.rng.choice((1, 5, HEARTBEAT_MS + 5))
        while self.clock() <= end:
            pass
