"""Slots for async handlers: coroutines of one event loop in a thread of its own; a blocked handler harms nothing but its loop.

A slot is one asyncio task that runs handler after handler: one that ends without waiting costs no turn of the loop. What a
handler leaves behind in that asyncio task (a context variable, a cancellation that it has not waited for) no other one may find:
its slot goes on as a new task. A run over its time limit is cancelled on the loop. Should it not let itself be cancelled, or
block the loop, the deadline in the slot table stands a little later, and the supervisor ends the process.
"""

from __future__ import annotations

import asyncio
import contextvars
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
#: How long handlers that never wait may keep the loop from its other business, in seconds.
TURN: Final = 0.005


class LoopSlots(Slots):
    """The async slots of a process.

    Args:
        slots, shared, settler, context: as of all `Slots`.
    """

    def __init__(self, slots: int, shared: Shared, settler: Settler, context: Callable[[Run], Context]) -> None:
        super().__init__(slots, shared, settler, context)
        self._idle: list[asyncio.Future[None]] = []
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stopped = False
        self._turned = 0.0
        self._loop = asyncio.new_event_loop()
        #: The loop keeps weak references only.
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._thread = Part(self._serve, "loop")

    def start(self) -> None:
        """Starts the loop."""
        self._thread.start()

    def stop(self) -> None:
        """Lets each slot end when it has nothing to do any more, and the loop with the last one."""
        self._stopped = True
        self._loop.call_soon_threadsafe(self._ring, self.slots)

    def load(self) -> int:
        """How many runs are running or buffered."""
        return self.slots - len(self._idle) + len(self._buffer)

    def cancel(self, address: str) -> None:
        """Cancels a run that is no longer ours."""

        def on_loop() -> None:
            task = self._running.get(address)
            if task is not None:
                task.cancel()

        self._loop.call_soon_threadsafe(on_loop)

    def _wake(self) -> None:
        """Lets idle slots look at the buffer."""
        self._loop.call_soon_threadsafe(self._ring)

    def _ring(self, most: int | None = None) -> None:
        """Wakes as many slots as there are runs for, or so many."""
        for _ in range(min(len(self._idle), len(self._buffer) if most is None else most)):
            bell = self._idle.pop()
            if not bell.done():
                bell.set_result(None)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        for _ in range(self.slots):
            self._open()
        self._loop.run_forever()
        if self._failure is not None:
            raise self._failure

    def _open(self) -> None:
        task = self._loop.create_task(self._slot(), context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._close)

    def _close(self, task: asyncio.Task[None]) -> None:
        """A slot has ended as a task: it goes on as another one, unless the process stops."""
        self._tasks.discard(task)
        self._failure = None if task.cancelled() else task.exception()
        if self._failure is not None:
            self._loop.stop()
        elif not self._stopped or self._buffer:
            self._open()
        elif not self._tasks:
            self._loop.stop()

    async def _slot(self) -> None:
        """Runs one task after another for as long as nothing of one is left for the next."""
        announce(None)
        own, clean = asyncio.current_task(self._loop), len(contextvars.copy_context())
        assert own is not None  # noqa: S101 - for type checkers: this runs as a task
        while len(contextvars.copy_context()) == clean and not own.cancelling():
            begun = time.monotonic()
            if begun - self._turned > TURN:
                await asyncio.sleep(0)
                self._turned = begun = time.monotonic()
            try:
                run = self._buffer.popleft()
            except IndexError:
                if self._stopped:
                    return
                await self._sleep()
                continue
            if self._is_lost(run, begun):
                self._give_up(run)
            else:
                self._running[run.address] = own
                await self._run(run, begun)
                self._running.pop(run.address, None)
            self._tell_room()

    async def _sleep(self) -> None:
        """Waits to be woken."""
        bell = self._loop.create_future()
        self._idle.append(bell)
        self._room.set()
        try:
            await bell
        except asyncio.CancelledError:  # by what a handler has left running
            if bell in self._idle:
                self._idle.remove(bell)
            raise
        self._turned = time.monotonic()

    async def _run(self, run: Run, begun: float) -> None:
        definition = run.definition
        self._begin(run, begun, CANCEL_GRACE)
        scope = asyncio.timeout(run.timeout_ms / 1000) if run.timeout_ms else None
        try:
            arguments = definition.decode(run.task.args)
            call = definition.call(arguments, self._context(run) if definition.needs_context else None)
            if scope is None:
                value = await call
            else:
                async with scope:
                    value = await call
            run.result = definition.dump(value)
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, SystemExit included, is its task's error
            timed_out = scope is not None and isinstance(error, TimeoutError) and scope.expired()
            self._fail(run, TimedOut(run.timeout_ms) if timed_out else error)
        else:
            run.seconds = time.monotonic() - begun
            self._settler.ended(run)
