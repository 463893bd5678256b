"""What people do: pause, cancel, hasten, revive, discard, purge and look."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest

from streamq.server.reply import MemoryFull
from tests.model import clock
from tests.model.base import WHICH, one_of, step
from tests.model.model import Task
from tests.model.producers import Producers, Spec


class People(Producers):
    """The rules of people."""

    @step(stays=st.sampled_from((False, False, True)))
    def pause(self, *, stays: bool) -> None:
        """Resumed, or paused, when nothing is handed out, for a moment or longer."""
        self.paused = not self.paused
        assert self.run.pause(paused=self.paused)
        assert not self.run.pause(paused=self.paused)
        if self.paused:
            taken = self.run.take(self.workers[0], 9, 9, "hdl")
            assert (taken.state, taken.tasks) == ("paused", []), f"a paused queue handed out {taken}"
            suspect = self.run.quarantine(self.quarantine)
            assert suspect[:2] == (None, 0), f"a paused queue handed out {suspect}"
            if not stays:
                self.paused = False
                self.run.pause(paused=False)

    @step(lambda self: self.model.tasks, which=WHICH, by_address=st.booleans())
    def cancel(self, which: int, *, by_address: bool = False) -> None:
        """A task is cancelled, by its id or by its present address, or one that is no living one."""
        task = one_of(list(self.model.tasks.values())[::-1], which)
        self._look_up(task)
        living = task.address in self.model.at
        pending = task.pending
        state = self.run.cancel(task.address if living and by_address else task.id, "ana")
        if living:
            assert state == ("running" if pending else "cancelled")
            self.model.end(task, "cancelled")
        else:
            assert state == ("dead" if task.place == "dead" else "unknown"), f"{task} was found {state}"

    @step(lambda self: self.model.at, which=WHICH)
    def hasten(self, which: int) -> None:
        """A task is made due now."""
        task = one_of(self.model.living(), which)
        self._look_up(task)
        state = self.run.hasten(task.id)
        expected = {"parked": "ok", "held": "running", "waiting": "waiting"}[task.place]
        assert state == expected, f"{task} was found {state}"
        if task.place == "parked" and task.due is not None:
            task.due = min(task.due, self.model.now)

    @step(lambda self: self.model.dead(), which=WHICH)
    def revive(self, which: int) -> None:
        """A dead letter goes back, unless its key is taken or there is no room in memory."""
        dead = self.model.dead()
        self._revive(one_of(sorted(dead, key=lambda task: task.key not in self.model.keys), which))

    @step(lambda self: any(task.key for task in self.model.dead()))
    def revive_what_another_replaced(self) -> None:
        """Another task has taken the key of a dead letter, which stays dead."""
        task = next(task for task in self.model.dead() if task.key)
        self.send_some([Spec(key=task.key or "")])
        self._revive(task)

    def _revive(self, task: Task) -> None:
        holder = self.model.keys.get(task.key or "")
        if holder is None and self.full:
            with pytest.raises(MemoryFull):
                self.run.revive(task.id)
            return
        state, where = self.run.revive(task.id)
        if holder is not None:
            assert (state, where) == ("taken", holder)
        else:
            assert (state, where[:1]) == ("ok", task.priority)
            self.model.revive(task, where)

    @step(lambda self: self.model.dead(), which=WHICH)
    def discard(self, which: int) -> None:
        """A dead letter is thrown away."""
        task = one_of(self.model.dead(), which)
        assert self.run.discard(task.id)
        assert not self.run.discard(task.id)
        task.place = "ended"

    @step(lambda self: "purge" not in self.spent, letter=st.sampled_from("dhls"), batch=st.sampled_from((500, 5)))
    def purge(self, letter: str, batch: int) -> None:
        """A stream is purged: all that nobody holds."""
        self.spend("purge")
        expected = self.in_order([task for task in self.model.living(letter) if not task.pending])
        before, after, purged = clock.server_ms(self.link) + 1, "-", 0
        while True:
            many, after = self.run.purge(letter, after, before, "ana", batch=batch)
            purged += many
            if not after:
                break
        assert purged == len(expected), f"{purged} were purged, {expected} were there"
        for task in expected:
            self.model.end(task, "purged")

    def _look_up(self, task: Task) -> None:
        """Somebody asks where a task is."""
        _, address, fields, row, _, due, dead, *_ = self.run.locate(task.id)
        found = (bool(fields), bool(row), bool(due), bool(dead))
        living = task.address in self.model.at
        assert found == (living, task.pending, task.place == "parked", task.place == "dead"), f"{task} was found {found}"
        if living:
            assert address.decode() == task.address
            assert not row or row[0].decode() == task.holder
