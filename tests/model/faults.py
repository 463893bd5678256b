"""What happens to workers and to the server: death, time that runs out, what is destroyed or forgotten, memory that is full."""

from __future__ import annotations

from collections import Counter
from typing import Any

import hypothesis.strategies as st

from streamq.keys import STREAMS
from tests.model import clock
from tests.model.base import WHICH, one_of, step
from tests.model.workers import THENS, Then, Workers

#: Which of a dead worker's runs had started, as a bit each; None: nobody knows.
KNOWN = st.one_of(st.none(), st.integers(0, 2**8 - 1))
BATCHES = st.sampled_from((100, 3, 1))


class Faults(Workers):
    """The rules that nobody wishes for."""

    @step(who=WHICH, found=st.booleans(), known=KNOWN, batch=BATCHES)
    def kill_worker(self, who: int, *, found: bool, known: int | None = None, batch: int = 100) -> None:
        """A worker is killed, found dead at once or left to time; whoever finds it may know what had started."""
        consumer = self.worker(who)
        self.end_consumer(consumer)
        if found:
            self.reap_one(consumer, known, batch)

    @step(who=WHICH, rounds=st.integers(1, 4), want=st.integers(1, 10))
    def kill_worker_after_worker(self, who: int, rounds: int, want: int) -> None:
        """Something kills one worker after the other, each with all that it has just taken."""
        for _ in range(rounds):
            consumer = self.worker(who)
            self.take_some(consumer, want, want, "hdl")
            self.end_consumer(consumer)
            self.reap_one(consumer, None, 100)

    @step(lambda self: self.ghosts, which=WHICH, known=KNOWN, batch=BATCHES)
    def reap(self, which: int, known: int | None, batch: int) -> None:
        """Somebody finds a worker dead, and takes what it held in batches."""
        self.reap_one(one_of(self.ghosts, which), known, batch)

    def reap_one(self, consumer: str, known: int | None, batch: int) -> None:
        """Recover all that a consumer held, whose process is dead."""
        runs = self.model.runs(consumer)
        started = [run for i, run in enumerate(runs) if known is not None and known >> (i % 8) & 1]
        told = [(run.address, 1) for run in started] if known is not None else None
        reaped, left = 0, True
        while left:
            crashed, handed_back, left = self.run.reap(consumer, "killed", started=told, batch=batch)
            assert crashed + handed_back > 0 or not left or any(task.stray for task in self.model.at.values()), "reaps for ever"
            reaped += crashed + handed_back
        lost = [task for task in self.model.living() if task.holder == consumer]
        assert reaped == sum(not task.stray for task in lost), f"{reaped} were reaped, {lost} were held"
        for task in lost:
            self.model.lose(task, crashed=known is None or task.current in started)
        self.ghosts = [ghost for ghost in self.ghosts if ghost != consumer]
        self.model.fleet.expiry.pop(consumer, None)

    @step(units=st.sampled_from((1, 2, 3, 4, 7)), awake=st.booleans())
    def let_time_pass(self, units: int, *, awake: bool = True) -> None:
        """Delays are over, leases and heartbeats run out: those of the dead and stopped, or everybody's."""
        self.advance(units, awake=awake)

    @step(lambda self: "hour" not in self.spent)
    def let_an_hour_pass(self) -> None:
        """Nobody is there for an hour."""
        self.spend("hour")
        self.advance(clock.LANE + 1, awake=False)

    @step(lambda self: self.may_restart, beating=st.booleans())
    def kill_server(self, *, beating: bool) -> None:
        """The server is killed and started again; the first beat tells that nobody may be reaped by time."""
        self.restart()
        if beating:
            self.beat_all()

    @step(who=WHICH)
    def leave(self, who: int) -> None:
        """A worker leaves, unless it holds anything."""
        consumer = self.worker(who)
        consumer = one_of(sorted({run.consumer for run in self.model.runs()} & {*self.awake()}) or [consumer], who)
        left = not self.run.reap(consumer, "gone", batch=0).left
        assert left == (not self.model.runs(consumer)), f"{consumer} left: {left}, and held {self.model.runs(consumer)}"
        if left:
            self.model.fleet.expiry.pop(consumer, None)

    @step(which=WHICH, opened=st.booleans(), wants=st.lists(st.integers(1, 4), max_size=3))
    def destroy_group(self, which: int, *, opened: bool = True, wants: list[int]) -> None:
        """Somebody destroys the group of a stream; it is made anew at once, or by whoever misses it first."""
        self.delete_group(one_of(self._busy_streams(), which))
        if opened:
            self.run.open()
        for i, want in enumerate(wants):
            self.take_some(self.worker(which + i), want, want // 2, "hdl")

    @step(which=WHICH, count=st.integers(1, 5), then=THENS, again=st.booleans())
    def read_past_a_mark(self, which: int, count: int, then: Then, *, again: bool) -> None:
        """Somebody destroys the group of a stream, another makes it anew, and a blocked read brings what was known before."""
        self.delete_group(one_of(self._busy_streams(), which))
        self.run.open()
        self.read_once(self.worker(which), count, then)
        if again:
            self.read_once(self.worker(which + 1), count, "admit")

    def _busy_streams(self) -> list[str]:
        """The letters of the streams, first those of which most is known: parked, suspect, or handed out before."""
        known = Counter(task.address[0] for task in self.model.at.values() if task.place == "parked" or task.recorded)
        return sorted("hdls", key=lambda letter: -known[letter])

    @step(lambda self: any(task.suspect and task.place == "held" for task in self.model.at.values()), opened=st.booleans())
    def destroy_the_group_of_a_suspect(self, *, opened: bool) -> None:
        """Somebody destroys the group of the stream of which a suspect runs in quarantine."""
        letter = next(task.address[0] for task in self.model.at.values() if task.suspect and task.place == "held")
        self.delete_group(letter)
        if opened:
            self.run.open()
            self.read_once(self.workers[0], 5, "admit")

    @step(lambda self: "stream" not in self.spent, letter=st.sampled_from("dhls"))
    def delete_stream(self, letter: str) -> None:
        """Somebody deletes a stream: the only step that loses tasks. Within the same millisecond entry ids might repeat."""
        self.spend("stream")
        self.link.call("DEL", self.keys.stream(letter))
        self.model.stream_gone(letter)
        clock.tick(self.link)

    @step()
    def open(self) -> None:
        """A worker starts: what groups are missing are made."""
        self.run.open()
        assert self.run.open() == 0
        for stream in STREAMS.values():
            groups: Any = self.link.call("XINFO", "GROUPS", self.keys[stream])
            assert len(groups) == 1

    @step()
    def flush_scripts(self) -> None:
        """The server forgets all scripts."""
        self.link.call("SCRIPT", "FLUSH")

    @step(lambda self: not self.full)
    def fill_memory(self) -> None:
        """The server has reached its memory limit and takes nothing new; whoever beats goes on."""
        self.link.call("CONFIG", "SET", "maxmemory", 1)
        self.full = True
        self.beat_all()

    @step(lambda self: self.full)
    def lift_memory(self) -> None:
        """The memory limit is lifted."""
        self.link.call("CONFIG", "SET", "maxmemory", 0)
        self.full = False
