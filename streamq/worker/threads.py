"""Slots for sync handlers: a thread each, fed from one buffer; every ending is handed to the settler.

While a slot runs a task, a row of the slot table says so, with the deadline: a thread cannot be stopped from outside, so the
supervisor ends the whole process when it passes. Threads that have nothing to do sleep on a bell of their own; who takes a task
and sees more rings for the next, unless its own will be over at once: a thousand tiny tasks wake one thread, ten long ones ten.
Should a tiny one be long for once, the fetcher rings for what stands behind it.
"""

from __future__ import annotations

import contextvars
import queue
import time
from typing import TYPE_CHECKING

from streamq.context import announce
from streamq.worker.part import Part
from streamq.worker.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.context import Context
    from streamq.worker.run import Run
    from streamq.worker.settle import Settler
    from streamq.worker.shared import Shared

Bell = queue.SimpleQueue[bool]


class ThreadSlots(Slots):
    """The sync slots of a process. The arguments are those of `Slots`."""

    def __init__(self, slots: int, shared: Shared, settler: Settler, context: Callable[[Run], Context]) -> None:
        super().__init__(slots, shared, settler, context)
        self._idle: list[Bell] = []
        self._stopped = False
        self._threads = [Part(self._work, f"slot-{slot}") for slot in range(slots)]

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Lets each thread end when it has nothing to do any more."""
        self._stopped = True
        for _ in self._threads:
            self._wake()

    def load(self) -> int:
        """How many runs are running or buffered."""
        return self.slots - len(self._idle) + len(self._buffer)

    def seat(self) -> Bell | None:
        """The seat of a slot that sleeps, the caller's from now on; None: all are busy, or others are to start before."""
        if self._buffer:
            return None
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def leave(self, seat: Bell) -> None:
        """Gives a seat back: its slot may be woken again."""
        self._idle.append(seat)
        self._room.set()
        if self._buffer or self._stopped:
            self._wake()

    def run_here(self, run: Run, seat: Bell) -> None:
        """Runs a task in the calling thread, in the seat of a slot that sleeps on."""
        try:
            contextvars.Context().run(self._begin_or_give_up, run, time.monotonic())
        finally:
            self.leave(seat)

    def _wake(self) -> None:
        """Wakes a thread that sleeps, if there is one."""
        try:
            bell = self._idle.pop()
        except IndexError:
            return
        bell.put(True)

    def _work(self) -> None:
        bell: Bell = queue.SimpleQueue()
        is_over = False
        while not is_over:
            is_over = contextvars.Context().run(self._serve, bell)

    def _serve(self, bell: Bell) -> bool:
        """Runs tasks; True: there will be no more; False: a handler has left a context variable, which the next must not find."""
        buffer, idle, take = self._buffer, self._idle, self._buffer.popleft
        is_tiny = self._prefetch.is_tiny
        announce(None)
        clean = len(contextvars.copy_context())
        while len(contextvars.copy_context()) == clean:
            try:
                run = take()
            except IndexError:
                if self._stopped:
                    return True
                self._sleep(bell)
                continue
            if buffer and idle and not is_tiny(run.task.name):
                self._wake()
            self._begin_or_give_up(run, time.monotonic())
            self._tell_room()
        return False

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

    def _begin_or_give_up(self, run: Run, begun: float) -> None:
        if self._is_lost(run, begun):
            self._give_up(run)
        else:
            self._run(run, begun)

    def _run(self, run: Run, begun: float) -> None:
        definition = run.definition
        self._begin(run, begun)
        try:
            arguments = definition.decode(run.task.args)
            run.result = definition.dump(definition.call(arguments, self._context(run) if definition.needs_context else None))
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, SystemExit included, is its task's error
            self._fail(run, error)
        else:
            run.seconds = time.monotonic() - begun
            self._settler.ended(run)
