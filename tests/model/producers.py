"""What producers do: send, send again where the reply was lost, and send numbers that are long past."""

from __future__ import annotations

from typing import NamedTuple

import hypothesis.strategies as st
import pytest

from streamq.server.reply import MemoryFull, ReplyError
from tests.lua.adding import Call, Row, add, call
from tests.model.base import LOSSES, WHICH, Base, Loss, one_of, step
from tests.model.clock import UNIT_MS
from tests.model.model import Lane, Task

#: Of all streams together.
BOUNDS = (60, 12)
LANES = 3


class Spec(NamedTuple):
    """What a task is to be: a priority's letter, units until it is due and until it expires (0: at once, never), a unique key."""

    letter: str = "d"
    delay: int = 0
    expires: int = 0
    key: str = ""


SPECS = st.builds(
    Spec,
    letter=st.sampled_from("dhl"),
    delay=st.sampled_from((0, 0, 0, 1, 2, 5)),
    expires=st.sampled_from((0, 0, 0, 0, 0, 0, 1, 4)),
    key=st.sampled_from(("", "", "", "one", "two")),
)
BULK = st.lists(SPECS, min_size=1, max_size=8)


def _call(specs: list[Spec]) -> Call:
    rows: list[Row] = []
    for letter, delay, expires, key in specs:
        due = f"+{delay * UNIT_MS}" if delay else ""
        late = f"+{expires * UNIT_MS}" if expires else ""
        head = f"{letter};{due};{late};{'u' if key else ''}" if due or late or key else letter
        rows.append((head, "task", "image", *(("key", key) if key else ()), "args", "{}"))
    return call(rows)


class Producers(Base):
    """The rules of producers."""

    def _accepted(self, specs: list[Spec], bound: int, ids: list[str]) -> None:
        """Compare the ids with what had to be accepted: as many as there is room for, and no key twice."""
        accepted = 0
        for i, (letter, delay, expires, key) in enumerate(specs):
            holder = self.model.keys.get(key)
            if holder is None and 0 < bound <= len(self.model.at):
                assert len(ids) == i, f"{len(ids)} of {len(specs)} were accepted, there was room for {accepted}"
                return
            assert len(ids) > i, f"only {len(ids)} of {len(specs)} were accepted, there was room"
            if holder is not None:
                assert ids[i] == f"={holder}", f"{key} is held by {holder}, not by {ids[i]}"
                continue
            assert ids[i][0] == ("s" if delay else letter), f"{ids[i]} was sent to {letter}, due in {delay}"
            now = self.model.now
            due = now + delay if delay else None
            task = Task(ids[i], ids[i], letter, "parked" if delay else "waiting", key or None, due, due=due)
            task.expires = now + expires if expires else None
            self.model.accept(task)
            accepted += 1
        assert len(ids) == len(specs)

    def _lane(self, lane: int) -> tuple[str, int]:
        name = f"lane{lane % LANES}"
        return name, self.model.lanes[name].number + 1 if name in self.model.lanes else 7

    def _send(self, specs: list[Spec], lane: int, bound: int) -> None:
        name, number = self._lane(lane)
        made = _call(specs)
        if self.full:
            with pytest.raises(MemoryFull):
                add(self.run, name, number, bound, made)
            return
        again, ids = add(self.run, name, number, bound, made)
        assert not again, f"number {number} of {name} was taken for {self.model.lanes.get(name)}"
        self._accepted(specs, bound, ids)
        self.model.lanes[name] = Lane(number, bound, made, ids, self.model.now)

    def send_some(self, specs: list[Spec]) -> None:
        """Send without a bound, unless memory is full."""
        self._send(specs, 0, 0)

    @step(specs=BULK, lane=WHICH, bound=st.sampled_from(BOUNDS))
    def send(self, specs: list[Spec], lane: int = 0, bound: int = BOUNDS[0]) -> None:
        """A producer sends, one task or several."""
        self._send(specs, lane, bound)

    @step(letter=st.sampled_from("dhl"), many=st.integers(1, 40), delay=st.sampled_from((0, 0, 1, 2)))
    def send_many(self, letter: str, many: int, delay: int = 0) -> None:
        """A producer sends many that are alike."""
        self._send([Spec(letter, delay)] * many, 0, BOUNDS[0])

    @step(lambda self: self.model.lanes, lane=WHICH, back=st.integers(1, 5))
    def send_again(self, lane: int, back: int = 1) -> None:
        """A producer that has not seen its last answer sends again, and gets it; a send that is long past is refused."""
        name = one_of(sorted(self.model.lanes), lane)
        last = self.model.lanes[name]
        reply = add(self.run, name, last.number, last.bound, last.call)
        assert reply == (True, last.ids), f"a repeated send was answered by {reply}, the first by {last.ids}"
        with pytest.raises(ReplyError, match="STALE"):
            add(self.run, name, last.number - back, last.bound, last.call)

    @step(lambda self: not self.full, specs=BULK, lane=WHICH, loss=LOSSES)
    def send_and_lose_the_reply(self, specs: list[Spec], lane: int, loss: Loss) -> None:
        """The reply to a send is lost, whether it was executed or not; the send is repeated: its tasks are there once."""
        name, number = self._lane(lane)
        made = _call(specs)
        executed = self.lose(made.script, (name, number, BOUNDS[0], *made.args), loss)
        again, ids = add(self.run, name, number, BOUNDS[0], made)
        assert again == executed, f"number {number} of {name}: executed {executed}, answered again {again}"
        self._accepted(specs, BOUNDS[0], ids)
        self.model.lanes[name] = Lane(number, BOUNDS[0], made, ids, self.model.now)
