"""Slots for sync handlers: a thread each, fed from one queue; every ending is handed to the settler as a value.

While a slot runs a task, its row in the slot table says so, with the deadline: a thread cannot be stopped from outside, so the
supervisor ends the whole process when it passes.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING

from streamq.context import announce
from streamq.worker.table import Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.context import Context
    from streamq.worker.run import Run
    from streamq.worker.settle import Settler
    from streamq.worker.shared import Shared


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
        self._queue: queue.SimpleQueue[Run | None] = queue.SimpleQueue()
        self._busy = [0] * slots
        self._threads = [
            threading.Thread(target=self._work, args=(slot,), name=f"slot-{slot}", daemon=True) for slot in range(slots)
        ]

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Lets each thread end when it has nothing to do any more."""
        for _ in self._threads:
            self._queue.put(None)

    def submit(self, run: Run) -> None:
        """Takes a run: it starts at once where a slot is free, else it is buffered."""
        self._queue.put(run)

    def load(self) -> int:
        """How many runs are running or buffered."""
        return sum(self._busy) + self._queue.qsize()

    def take_back(self) -> list[Run]:
        """The runs that are buffered and have not started, which are the caller's from now on."""
        runs: list[Run] = []
        while True:
            try:
                run = self._queue.get_nowait()
            except queue.Empty:
                return runs
            if run is None:
                self._queue.put(None)
                return runs
            runs.append(run)

    def _work(self, slot: int) -> None:
        get, busy, room = self._queue.get, self._busy, self._room
        while (run := get()) is not None:
            busy[slot] = 1
            if not run.lost:
                self._run(slot, run)
            busy[slot] = 0
            if not room.is_set():
                room.set()

    def _run(self, slot: int, run: Run) -> None:
        definition, settler = run.definition, self._settler
        run.started_ms = self._clock.ms()
        begun = time.monotonic()
        deadline = begun + run.timeout_ms / 1000 if run.timeout_ms else 0.0
        retry_ms = int(settler.backoff_of(definition).delay(run.deliveries) * 1000) if deadline else 0
        self._table.start(
            slot, Row(run.address, run.count, run.started_ms, deadline, run.deliveries, run.limit, retry_ms, run.task.name)
        )
        announce(lambda: self._context(run))
        try:
            arguments = definition.decode(run.task.args)
            result = definition.dump(definition.call(arguments, self._context(run) if definition.needs_context else None))
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, SystemExit included, is its task's error
            self._table.clear(slot)
            run.ended = True
            settler.failed(run, error)
        else:
            self._table.clear(slot)
            run.ended = True
            settler.finished(run, result, time.monotonic() - begun)
