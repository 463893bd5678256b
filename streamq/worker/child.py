"""A child process of a worker: takes tasks, runs them, settles them. Started by the supervisor, and dead with it.

Its threads: the fetcher, the slots, the settler, each with what it needs and nothing shared but queues and `held`; the main
thread listens to the supervisor. Leases are not its business: the supervisor keeps them, so that a handler which holds the
interpreter for longer than a lease loses nothing.
"""

from __future__ import annotations

import gc
import logging
import socket
import sys
import threading
from typing import TYPE_CHECKING, Final

from streamq.app import adopt
from streamq.context import Context
from streamq.errors import LeaseLost, StreamqError
from streamq.keys import Keys
from streamq.log import set_up
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.server.patience import waiting
from streamq.transitions import Transitions
from streamq.worker import handlers
from streamq.worker.budget import Budget
from streamq.worker.compare import Comparison
from streamq.worker.control import Channel, Failed, Fleet, Go, Pending, Ready, Spent, Start, Stop
from streamq.worker.fetch import Fetcher
from streamq.worker.judge import Judge
from streamq.worker.lifeline import die_with_parent, leave_signals_to_supervisor
from streamq.worker.part import Part, end_process
from streamq.worker.prefetch import Prefetch
from streamq.worker.quarantine import Quarantine
from streamq.worker.run import Run, ServerClock, Taking
from streamq.worker.settle import Settler
from streamq.worker.shared import Shared
from streamq.worker.slots import Slots
from streamq.worker.table import Table
from streamq.worker.threads import ThreadSlots

if TYPE_CHECKING:
    from streamq.worker.loop import LoopSlots

_log = logging.getLogger("streamq.worker")

#: How often the end of the last run is looked for while stopping, in seconds.
_LOOK: Final = 0.02
#: So many new objects until the collector looks for cycles among them: each task makes a dozen, and hardly ever a cycle.
GARBAGE: Final = 20_000


class Child:
    """The parts of one child process.

    Args:
        start: who it is.
        channel: to its supervisor.
        table: its slot table.
        budget: of the worker, where there is one.
    """

    def __init__(self, start: Start, channel: Channel, table: Table, budget: Budget | None) -> None:
        self._start = start
        self._channel = channel
        self._guard_lock = threading.Lock()
        self._endpoint = Endpoint.of(start.settings, start="revive")
        self._keys = Keys(start.settings.queue.name)
        self._guard_door = self._door("guard")
        self.registry = handlers.load(start.settings)
        self._shared = Shared(
            consumer=start.consumer,
            worker=start.worker,
            settings=start.settings,
            clock=ServerClock(),
            held={},
            taking=Taking(),
            table=table,
            prefetch=Prefetch(0 if start.quarantine else start.settings.worker.prefetch),
            room=threading.Event(),
            on_fatal=self._fatal,
            on_spent=self._spent,
        )
        self._settler = Settler(self._door("settle"), self._shared)
        self._threads, self._loop = self._make_slots()
        self._judge = Judge(self.registry, start.settings, alone=start.quarantine)
        self._source = self._make_source(budget)
        self.compare = Comparison(self._shared, self._settler, self._cancel)

    @property
    def has_sync(self) -> bool:
        """Whether any of its tasks is sync."""
        return self._threads is not None

    @property
    def has_async(self) -> bool:
        """Whether any of its tasks is async."""
        return self._loop is not None

    def _make_slots(self) -> tuple[ThreadSlots | None, LoopSlots | None]:
        start, parts = self._start, (self._shared, self._settler, self._context)
        kinds = {each.is_async for name in self.registry.names() if (each := self.registry.get(name)) is not None}
        threads = ThreadSlots(start.sync_slots, *parts) if False in kinds else None
        if True not in kinds:
            return threads, None
        from streamq.worker.loop import LoopSlots  # asyncio costs a process 10 MB: only one with async handlers pays

        return threads, LoopSlots(start.async_slots, *parts)

    def _make_source(self, budget: Budget | None) -> Fetcher | Quarantine:
        """What takes tasks: in quarantine suspects only, else whatever there is."""
        slots: dict[bool, Slots] = {}
        if self._threads is not None:
            slots[False] = self._threads
        if self._loop is not None:
            slots[True] = self._loop
        door, judge = self._door("take"), self._judge
        if self._start.quarantine:
            return Quarantine(door, self._shared, judge, self._settler, slots)
        return Fetcher(door, self._shared, judge, self._settler, slots, budget, self._threads if self._loop is None else None)

    def go(self) -> None:
        """Starts all parts."""
        self._settler.start()
        for slots in (self._threads, self._loop):
            if slots is not None:
                slots.start()
        self._source.start()

    def stop(self) -> None:
        """Takes nothing more, hands back what has not started, finishes what runs, settles all of it."""
        self._source.stop()
        while self._shared.held and not self._settler.has_failed:
            self._shared.room.clear()
            self._shared.room.wait(_LOOK)
        for slots in (self._threads, self._loop):
            if slots is not None:
                slots.stop()
        self._settler.stop()

    def know(self, fleet: Fleet) -> None:
        """Takes in which tasks live workers know."""
        self._judge.elsewhere = frozenset(fleet.tasks)

    def _cancel(self, address: str) -> None:
        if self._loop is not None:
            self._loop.cancel(address)

    def _context(self, run: Run) -> Context:
        return run.context(self._start.worker, self._start.consumer, self._guard)

    def _guard(self, run: Run) -> None:
        """Asks the server whether a run still owns its task, and waits for the server where it restarts."""
        with self._guard_lock:
            holds, wait = self._guard_door.holds, self._start.settings.server.wait
            held = waiting(lambda: holds(self._start.consumer, run.address, run.count), wait)
        if not held:
            run.lost = True
            raise LeaseLost(f"task {run.task.id} is no longer this run's: it was cancelled, or another worker has it")

    def _door(self, duty: str) -> Transitions:
        link = Link(self._endpoint, name=f"streamq-{duty}-{self._start.consumer}")
        return Transitions(link, self._keys, history=self._start.settings.worker.history)

    def _fatal(self, error: StreamqError) -> None:
        self._channel.send(Failed(error.what, error.hint, error.exit_status))

    def _spent(self) -> None:
        self._channel.send(Spent())


def main() -> None:
    """Runs a child: `python -m streamq.worker.child CONTROL_FD TABLE_FD BUDGET_FD SLOTS PARENT_PID`."""
    control, table_fd, budget_fd, slots, parent = map(int, sys.argv[1:])
    die_with_parent(parent)
    leave_signals_to_supervisor()
    channel = Channel(socket.socket(fileno=control))
    table, budget = Table(table_fd, slots), Budget(budget_fd) if budget_fd >= 0 else None
    Part(lambda: _live(channel, table, budget), "main").run()


def _live(channel: Channel, table: Table, budget: Budget | None) -> None:
    start = channel.receive()
    if isinstance(start, Start):
        set_up(start.settings.log)
        try:
            adopt(start.settings)
            child = Child(start, channel, table, budget)
        except StreamqError as error:
            _log.debug("the process cannot start", exc_info=True)
            channel.send(Failed(error.what, error.hint, error.exit_status))
            end_process(0)
        gc.freeze()
        gc.set_threshold(GARBAGE)
        channel.send(Ready(child.registry.names(), child.registry.limits(), child.has_sync, child.has_async))
        _obey(child, channel)
    end_process(1)  # the supervisor is gone, and nobody keeps the leases


def _obey(child: Child, channel: Channel) -> None:
    """Does what the supervisor says for as long as there is one."""
    stopping: Part | None = None
    while (message := channel.receive()) is not None:
        if isinstance(message, Go):
            child.go()
        elif isinstance(message, Pending):
            child.compare(message)
        elif isinstance(message, Fleet):
            child.know(message)
        elif isinstance(message, Stop) and stopping is None:
            stopping = Part(lambda: _stop(child), "stopping")
            stopping.start()


def _stop(child: Child) -> None:
    child.stop()
    end_process(0)


if __name__ == "__main__":
    main()
