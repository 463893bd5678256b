"""The source of a quarantine child: suspects, tasks that have crashed twice or may start but once more, alone and one by one.

Whoever kills this process is guilty, and nobody stands beside it. The child is started when suspects are due and ends when
none is.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from streamq.worker.run import Run
from streamq.worker.source import Source

_log = logging.getLogger("streamq.worker")

#: How long it stays when no suspect is due, in seconds, and how often it looks.
LINGER: Final = 2.0
LOOK: Final = 0.05


class Quarantine(Source):
    """The fetching thread of a quarantine child."""

    def _run(self) -> None:
        idle = 0.0
        while not self._stop.is_set() and idle < LINGER:
            self._room.clear()
            if self._held:
                self._room.wait(LOOK)
            elif self._take():
                idle = 0.0
            else:
                self._stop.wait(LOOK)
                idle += LOOK
        self._on_spent()

    def _take(self) -> bool:
        with self._taking():
            return self._next()

    def _next(self) -> bool:
        """Takes a suspect, where one is due."""
        handed, _, _ = self._patiently(lambda: self._transitions.quarantine(self._consumer))
        if handed is None:
            return False
        self._clock.set(self._patiently(self._transitions.now_ms))
        verdict = self._judge(handed, self._clock.ms(), self._under_way.since, time.monotonic())
        if isinstance(verdict, Run):
            _log.info("%s %s: runs alone (crashes so far: %d)", verdict.task.name, verdict.task.id, handed.crashes)
            self._held[handed.address] = verdict
            self._slots[verdict.definition.is_async].submit([verdict], 0)
        else:
            self._settler.put(verdict)
        return True
