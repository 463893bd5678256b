"""When a child that died may be replaced: at once, unless they keep dying before they have done anything.

One that had finished tasks was ended by another of its tasks, which is bounded by its own limit: the tasks behind it must not
wait.
"""

from __future__ import annotations

import math
import time
from typing import Final

from streamq.backoff import exponential

#: A child that lived for less than this, in seconds, died young.
YOUNG: Final = 5.0
_PAUSES: Final = exponential(0.5, 30, jitter=False)


class Respawn:
    """The pauses of one supervisor."""

    def __init__(self) -> None:
        self._young_deaths = 0
        self._due = 0.0

    def died(self, age: float, *, worked: bool) -> None:
        """A child has died by itself, so many seconds after its start; whether it had finished any task."""
        self._young_deaths = self._young_deaths + 1 if age < YOUNG and not worked else 0
        if self._young_deaths > 1:
            self._due = time.monotonic() + _PAUSES.delay(self._young_deaths - 1)

    def wait_for_change(self) -> None:
        """Nothing is started until `changed`: a new one would fail in the same way."""
        self._due = math.inf

    def changed(self) -> None:
        """What children are made of has changed: one may be started at once."""
        self._young_deaths = 0
        self._due = 0.0

    def is_due(self) -> bool:
        """Whether a new one may be started now."""
        return time.monotonic() >= self._due
