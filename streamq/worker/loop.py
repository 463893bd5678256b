"""Slots for async handlers: one event loop in a thread of its own, so that a blocked handler harms neither taking nor settling.

A task over its time limit is cancelled on the loop. Should it not let itself be cancelled, or block the loop, the deadline in the
slot table stands a little later, and the supervisor ends the process.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from streamq.context import announce
from streamq.verdict import TimedOut
from streamq.worker.part import Part
from streamq.worker.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.context import Context
    from streamq.worker.run import Run
    from streamq.worker.settle import Settler
    from streamq.worker.shared import Shared

#: How long a cancelled task has to end by itself, in seconds, before its process is ended.
CANCEL_GRACE: Final = 5.0


class LoopSlots(Slots):
    """The async slots of a process.

    Args:
        slots, shared, settler, context: as of all `Slots`.
    """

    def __init__(self, slots: int, shared: Shared, settler: Settler, context: Callable[[Run], Context]) -> None:
        super().__init__(slots, shared, settler, context)
        self._free = slots
        self._running: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = Part(self._serve, "loop")

    def start(self) -> None:
        """Starts the loop."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def load(self) -> int:
        """How many runs are running or buffered."""
        return self.slots - self._free + len(self._buffer)

    def cancel(self, address: str) -> None:
        """Cancels a run that is no longer ours."""

        def on_loop() -> None:
            task = self._running.get(address)
            if task is not None:
                task.cancel()

        self._loop.call_soon_threadsafe(on_loop)

    def _wake(self) -> None:
        """Lets the loop look at the buffer."""
        self._loop.call_soon_threadsafe(self._fill)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _fill(self) -> None:
        while self._free:
            try:
                run = self._buffer.popleft()
            except IndexError:
                return
            if self._is_lost(run, time.monotonic()):
                self._give_up(run)
            else:
                self._free -= 1
                self._running[run.address] = self._loop.create_task(self._run(run))

    async def _run(self, run: Run) -> None:
        definition, settler = run.definition, self._settler
        run.started_ms = self._clock.ms()
        begun = time.monotonic()
        run.row = self._table.start(run, begun, settler.backoff_of(definition), grace=CANCEL_GRACE)
        scope = asyncio.timeout(run.timeout_ms / 1000 or None)
        announce(lambda: self._context(run))
        try:
            arguments = definition.decode(run.task.args)
            async with scope:
                value = await definition.call(arguments, self._context(run) if definition.needs_context else None)
            run.result = definition.dump(value)
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, SystemExit included, is its task's error
            timed_out = isinstance(error, TimeoutError) and scope.expired()
            settler.failed(run, TimedOut(run.timeout_ms) if timed_out else error)
        else:
            run.seconds = time.monotonic() - begun
            settler.finished(run)
        self._running.pop(run.address, None)
        self._free += 1
        self._fill()
        self._tell_room()
