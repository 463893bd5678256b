"""The source of a quarantine child: suspects, tasks that have crashed twice, alone and one after another.

Whoever kills this process is guilty, and nobody stands beside it. The child is started when suspects are due and ends when
none is.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Final

from streamq.errors import StreamqError
from streamq.server.patience import waiting
from streamq.server.reply import CannotPersist, MemoryFull
from streamq.worker.part import Part
from streamq.worker.run import Run

if TYPE_CHECKING:
    from streamq.transitions import Transitions
    from streamq.worker.fetch import Slots
    from streamq.worker.judge import Judge
    from streamq.worker.settle import Settler
    from streamq.worker.shared import Shared

_log = logging.getLogger("streamq.worker")

#: How long it stays when no suspect is due, in seconds, and how often it looks.
LINGER: Final = 2.0
LOOK: Final = 0.05


class Quarantine:
    """The fetching thread of a quarantine child; its arguments are those of the `Fetcher`."""

    def __init__(
        self, transitions: Transitions, shared: Shared, judge: Judge, settler: Settler, slots: dict[bool, Slots]
    ) -> None:
        self._transitions = transitions
        self._consumer = shared.consumer
        self._patience = shared.settings.worker.patience
        self._clock = shared.clock
        self._held = shared.held
        self._taking = shared.taking
        self._on_fatal = shared.on_fatal
        self._on_spent = shared.on_spent
        self._judge = judge
        self._settler = settler
        self._slots = slots
        self._stop = threading.Event()
        self._thread = Part(self._work, "quarantine")

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Takes no further suspect."""
        self._stop.set()
        self._thread.finish()

    def _work(self) -> None:
        idle = 0.0
        try:
            while not self._stop.is_set() and idle < LINGER:
                if self._held:
                    self._stop.wait(LOOK)
                elif self._take():
                    idle = 0.0
                else:
                    self._stop.wait(LOOK)
                    idle += LOOK
        except StreamqError as error:
            if not self._stop.is_set():
                self._on_fatal(error)
            return
        self._on_spent()

    def _take(self) -> bool:
        self._taking.since = time.monotonic()
        try:
            return self._next()
        finally:
            self._taking.since = math.inf

    def _next(self) -> bool:
        """Takes a suspect, where one is due."""
        take = self._transitions.quarantine
        handed, _, _ = waiting(lambda: take(self._consumer), self._patience, stop=self._stop, also=(CannotPersist, MemoryFull))
        if handed is None:
            return False
        self._clock.set(self._transitions.now_ms())
        verdict = self._judge(handed, self._clock.ms())
        if isinstance(verdict, Run):
            _log.info("%s %s: has crashed %d times, runs alone", verdict.task.name, verdict.task.id, handed.crashes)
            self._held[handed.address] = verdict
            self._slots[verdict.definition.is_async].submit([verdict], 0)
        else:
            self._settler.put(verdict)
        return True
