"""Slots for async handlers: one event loop in a thread of its own, so that a blocked handler harms neither taking nor settling.

A task over its time limit is cancelled on the loop. Should it not let itself be cancelled, or block the loop, the deadline in the
slot table stands a little later, and the supervisor ends the process.
"""

from __future__ import annotations

import asyncio
import collections
import threading
import time
from typing import TYPE_CHECKING, Final

from streamq.context import announce
from streamq.verdict import TimedOut
from streamq.worker.table import Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.context import Context
    from streamq.worker.run import Run
    from streamq.worker.settle import Settler
    from streamq.worker.shared import Shared

#: How long a cancelled task has to end by itself, in seconds, before its process is ended.
CANCEL_GRACE: Final = 5.0


class LoopSlots:
    """The async slots of a process.

    Args:
        slots: how many.
        first_row: its first row in the slot table.
        shared, settler, context: as of `ThreadSlots`.
    """

    def __init__(self, slots: int, first_row: int, shared: Shared, settler: Settler, context: Callable[[Run], Context]) -> None:
        self.slots = slots
        self._table = shared.table
        self._clock = shared.clock
        self._room = shared.room
        self._settler = settler
        self._context = context
        self._rows = list(range(first_row, first_row + slots))
        self._buffer: collections.deque[Run] = collections.deque()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="loop", daemon=True)

    def start(self) -> None:
        """Starts the loop."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def submit(self, run: Run) -> None:
        """Takes a run: it starts at once where a slot is free, else it is buffered."""
        self._buffer.append(run)
        self._loop.call_soon_threadsafe(self._fill)

    def load(self) -> int:
        """How many runs are running or buffered."""
        return self.slots - len(self._rows) + len(self._buffer)

    def take_back(self) -> list[Run]:
        """The runs that are buffered and have not started, which are the caller's from now on."""
        runs: list[Run] = []
        while True:
            try:
                runs.append(self._buffer.popleft())
            except IndexError:
                return runs

    def cancel(self, address: str) -> None:
        """Cancels a run that is no longer ours."""

        def on_loop() -> None:
            task = self._running.get(address)
            if task is not None:
                task.cancel()

        self._loop.call_soon_threadsafe(on_loop)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _fill(self) -> None:
        while self._rows:
            try:
                run = self._buffer.popleft()
            except IndexError:
                return
            if not run.lost:
                self._running[run.address] = self._loop.create_task(self._run(self._rows.pop(), run))

    async def _run(self, slot: int, run: Run) -> None:
        definition, settler = run.definition, self._settler
        run.started_ms = self._clock.ms()
        begun = time.monotonic()
        limit = run.timeout_ms / 1000
        deadline = begun + limit + CANCEL_GRACE if limit else 0.0
        retry_ms = int(settler.backoff_of(definition).delay(run.deliveries) * 1000) if limit else 0
        self._table.start(
            slot, Row(run.address, run.count, run.started_ms, deadline, run.deliveries, run.limit, retry_ms, run.task.name)
        )
        scope = asyncio.timeout(limit or None)
        announce(lambda: self._context(run))
        try:
            arguments = definition.decode(run.task.args)
            async with scope:
                value = await definition.call(arguments, self._context(run) if definition.needs_context else None)
            result = definition.dump(value)
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, SystemExit included, is its task's error
            self._end(slot, run)
            timed_out = isinstance(error, TimeoutError) and scope.expired()
            settler.failed(run, TimedOut(run.timeout_ms) if timed_out else error)
        else:
            self._end(slot, run)
            settler.finished(run, result, time.monotonic() - begun)

    def _end(self, slot: int, run: Run) -> None:
        self._table.clear(slot)
        run.ended = True
        self._running.pop(run.address, None)
        self._rows.append(slot)
        self._fill()
        if not self._room.is_set():
            self._room.set()
