"""What a worker says of itself while it works: a line every few seconds in which something was finished."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamq.worker.table import Counters

_log = logging.getLogger("streamq.worker")

#: Pause between two lines, in seconds.
EVERY: Final = 5.0


class Progress:
    """Adds up the figures of children that live and that are gone."""

    def __init__(self) -> None:
        self._gone = (0, 0)
        self._told = (0, 0)
        self._at = time.monotonic()

    def keep(self, counters: Counters) -> None:
        """Keeps the figures of a child that is gone."""
        self._gone = (self._gone[0] + counters.finished, self._gone[1] + counters.failed)

    def tell(self, living: Sequence[Counters], running: int) -> None:
        """Logs what has changed since the last line."""
        now = time.monotonic()
        if now - self._at < EVERY:
            return
        finished = self._gone[0] + sum(each.finished for each in living)
        failed = self._gone[1] + sum(each.failed for each in living)
        if (finished, failed) != self._told:
            rate = (finished - self._told[0]) / (now - self._at)
            _log.info("finished %d (%.1f/s), failed attempts %d, running %d", finished, rate, failed, running)
        self._told, self._at = (finished, failed), now
