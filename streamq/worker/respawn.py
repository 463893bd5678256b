"""When a child that died may be replaced: at once, unless they keep dying young."""

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

    def died(self, age: float) -> None:
        """A child has died by itself, so many seconds after its start."""
        self._young_deaths = self._young_deaths + 1 if age < YOUNG else 0
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
