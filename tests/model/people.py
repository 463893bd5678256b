"""What people do: pause, cancel, hasten, revive, discard and purge."""

from __future__ import annotations

from tests.model.driver import Driver


class People(Driver):
    """The steps of people."""

    def pause(self) -> None:
        """Paused or resumed."""
        self.paused = not self.paused and self.rng.random() < 0.3
        self.run.pause(paused=self.paused)

    def cancel(self) -> None:
        """A task is cancelled, by its id or by its present address, or one that is no living one."""
        task = self.rng.choice(list(self.model.tasks.values())) if self.model.tasks else None
        if task is None:
            return
        state = self.run.cancel(self.rng.choice((task.id, task.address)) if task.state == "living" else task.id, "ana")
        if task.state == "living":
            assert state == ("running" if task.pending else "cancelled")
            self.model.end(task, "cancelled")
        else:
            assert state == ("dead" if task.state == "dead" else "unknown")

    def hasten(self) -> None:
        """A task is made due now."""
        if living := self.model.living():
            task = self.rng.choice(living)
            parked = task.address in self.parked()
            state = self.run.hasten(task.id)
            assert state == ("ok" if parked else "running" if task.pending else "waiting")

    def revive(self) -> None:
        """A dead letter goes back, unless its key is taken."""
        if dead := self.model.dead():
            task = self.rng.choice(dead)
            holder = self.model.keys.get(task.key or "")
            state, where = self.run.revive(task.id)
            if holder is not None:
                assert (state, where) == ("taken", holder)
            else:
                assert state == "ok"
                assert where[0] == task.priority
                self.model.revive(task, where)

    def discard(self) -> None:
        """A dead letter is thrown away."""
        if dead := self.model.dead():
            task = self.rng.choice(dead)
            assert self.run.discard(task.id)
            task.state = "ended"

    def purge(self) -> None:
        """A stream is purged: all that nobody holds."""
        letter = self.rng.choice("hdls")
        expected = sorted((task for task in self.model.living(letter) if not task.pending), key=lambda task: _entry(task.address))
        before, after, purged = self.clock() + 1, "-", 0
        while True:
            many, after = self.run.purge(letter, after, before, "ana", batch=self.rng.choice((5, 500)))
            purged += many
            if not after:
                break
        assert purged == len(expected)
        for task in expected:
            self.model.end(task, "purged")


def _entry(address: str) -> tuple[int, ...]:
    return tuple(map(int, address[1:].split("-")))
