"""Slots for sync handlers: a thread each, fed from one buffer; every ending is handed to the settler.

While a slot runs a task, its row in the slot table says so, with the deadline: a thread cannot be stopped from outside, so the
supervisor ends the whole process when it passes. Threads that have nothing to do sleep on a bell of their own; who takes a task
and sees more rings for the next, so that a thousand tiny tasks wake few threads and ten long ones wake ten.
"""

from __future__ import annotations

import collections
import functools
import queue
import time
from typing import TYPE_CHECKING

from streamq.context import announce
from streamq.transitions import Park
from streamq.worker.part import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamq.context import Context
    from streamq.worker.run import Run
    from streamq.worker.settle import Settler
    from streamq.worker.shared import Shared

Bell = queue.SimpleQueue[bool]


class ThreadSlots:
    """The sync slots of a process.

    Args:
        slots: how many.
        shared: of the process; the rows of its table from 0 on are theirs.
        settler: takes the endings.
        context: makes the context of a run, for handlers that ask for one.
    """

    def __init__(self, slots: int, shared: Shared, settler: Settler, context: Callable[[Run], Context]) -> None:
        self.slots = slots
        self._table = shared.table
        self._clock = shared.clock
        self._room = shared.room
        self._settler = settler
        self._context = context
        self._buffer: collections.deque[Run] = collections.deque()
        self._low_water = 0
        self._idle: list[Bell] = []
        self._stopped = False
        self._threads = [Part(functools.partial(self._work, slot), f"slot-{slot}") for slot in range(slots)]

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Lets each thread end when it has nothing to do any more."""
        self._stopped = True
        for _ in self._threads:
            self._ring()

    def submit(self, runs: Sequence[Run], low_water: int) -> None:
        """Takes runs: they start as slots are free; room is told once no more than `low_water` are left in the buffer."""
        self._low_water = low_water
        self._buffer.extend(runs)
        self._ring()

    def load(self) -> int:
        """How many runs are running or buffered."""
        return self.slots - len(self._idle) + len(self._buffer)

    def buffered(self) -> int:
        """How many runs have not started."""
        return len(self._buffer)

    def take_back(self) -> list[Run]:
        """The runs that have not started, which are the caller's from now on."""
        runs: list[Run] = []
        while True:
            try:
                runs.append(self._buffer.popleft())
            except IndexError:
                return runs

    def _ring(self) -> None:
        """Wakes a thread that sleeps, if there is one."""
        try:
            bell = self._idle.pop()
        except IndexError:
            return
        bell.put(True)

    def _work(self, slot: int) -> None:
        buffer, idle, room, take, run = self._buffer, self._idle, self._room, self._buffer.popleft, self._run
        bell: Bell = queue.SimpleQueue()
        while True:
            try:
                task = take()
            except IndexError:
                if self._stopped:
                    return
                self._sleep(bell)
                continue
            if buffer and idle:
                self._ring()
            if task.lost:
                self._settler.put(Park(task.address, task.count, 0, "release"))
            else:
                run(slot, task)
            if len(buffer) <= self._low_water and not room.is_set():
                room.set()

    def _sleep(self, bell: Bell) -> None:
        """Waits to be woken; a task that came before the bell was hung up is not overslept."""
        self._idle.append(bell)
        self._room.set()
        if self._buffer or self._stopped:
            try:
                self._idle.remove(bell)
            except ValueError:
                bell.get()  # somebody has taken it to ring
            return
        bell.get()

    def _run(self, slot: int, run: Run) -> None:
        definition, settler = run.definition, self._settler
        begun = time.monotonic()
        run.started_ms = self._clock.at(begun)
        self._table.start(slot, run, begun, settler.backoff_of(definition))
        announce(lambda: self._context(run))
        try:
            arguments = definition.decode(run.task.args)
            run.result = definition.dump(definition.call(arguments, self._context(run) if definition.needs_context else None))
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, SystemExit included, is its task's error
            self._table.clear(slot)
            settler.failed(run, error)
        else:
            run.seconds = time.monotonic() - begun
            self._table.clear(slot)
            settler.finished(run)
