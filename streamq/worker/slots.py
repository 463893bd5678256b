"""What the slots of both kinds of handlers have in common: a buffer of runs that have not started, and how it tells of room.

`threads.py` runs sync handlers, `loop.py` async ones. The fetcher fills the buffer and takes back from it; the slots empty it.
"""

from __future__ import annotations

import abc
import collections
import math
from typing import TYPE_CHECKING

from streamq.context import announce

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamq.context import Context
    from streamq.worker.run import Run
    from streamq.worker.settle import Settler
    from streamq.worker.shared import Shared


class Slots(abc.ABC):
    """The slots of one kind of handler.

    Args:
        slots: how many.
        shared: of the process.
        settler: takes the endings.
        context: makes the context of a run, for handlers that ask for one.
    """

    def __init__(self, slots: int, shared: Shared, settler: Settler, context: Callable[[Run], Context]) -> None:
        self.slots = slots
        self._table = shared.table
        self._clock = shared.clock
        self._room = shared.room
        self._prefetch = shared.prefetch
        self._settler = settler
        self._context = context
        self._buffer: collections.deque[Run] = collections.deque()
        self._low_water = 0
        lease = shared.settings.worker.lease
        #: So many seconds after it was asked for a run starts without a look at the heartbeat; and so long that lasts.
        self._fresh, self._lasts = lease / 6, lease / 2

    @abc.abstractmethod
    def start(self) -> None:
        """Begins to run what is submitted."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Ends when there is nothing to do any more."""

    @abc.abstractmethod
    def load(self) -> int:
        """How many runs are running or buffered."""

    @abc.abstractmethod
    def _wake(self) -> None:
        """Something is in the buffer."""

    def submit(self, runs: Sequence[Run], low_water: int) -> None:
        """Takes runs: they start as slots are free; room is told once no more than `low_water` are left in the buffer."""
        self._low_water = low_water
        self._buffer.extend(runs)
        self._wake()

    def buffered(self) -> int:
        """How many runs have not started."""
        return len(self._buffer)

    def waiting(self) -> list[str]:
        """The names of the tasks that have not started, in order."""
        return [run.task.name for run in self._buffer.copy()]

    def oldest(self) -> float:
        """When the run came that has waited longest; infinity: none waits."""
        try:
            return self._buffer[0].taken
        except IndexError:
            return math.inf

    def ring(self) -> None:
        """Wakes a slot that sleeps, if there is one: something has waited for longer than it should."""
        self._wake()

    def take_back(self) -> list[Run]:
        """The runs that have not started, which are the caller's from now on."""
        runs: list[Run] = []
        while True:
            try:
                runs.append(self._buffer.popleft())
            except IndexError:
                return runs

    def _is_lost(self, run: Run, now: float) -> bool:
        """Whether a run that has not started is another's, or may be: this worker has been silent since it asked for it."""
        return run.lost or (now - run.asked > self._fresh and not self._table.is_unbroken(run.asked, now, self._lasts))

    def _give_up(self, run: Run) -> None:
        """Hands back a run that was lost before it started; should it be ours again by now, it is not kept from others."""
        self._settler.hand_back(run)

    def _tell_room(self) -> None:
        """Wakes the fetcher when the buffer is low."""
        if len(self._buffer) <= self._low_water and not self._room.is_set():
            self._room.set()

    def _begin(self, run: Run, begun: float, grace: float = 0.0) -> None:
        """Writes down that a run begins, before anything of its handler does."""
        run.started_ms = self._clock.at(begun)
        run.row = self._table.start(run, begun, self._settler.backoff_of, grace)
        announce(lambda: self._context(run))

    def _fail(self, run: Run, error: BaseException) -> None:
        """A run's handler has raised."""
        run.error, run.ended_ms = error, self._clock.ms()
        self._settler.ended(run)
