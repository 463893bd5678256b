"""How many tasks a process may hold beyond those it runs: tiny ones need a buffer, long ones must not have one.

At most so many are held as are expected to start within `SOON`, by the run times measured here; what has waited in the buffer for
much longer than that is handed back, so that no other worker sits idle beside it.
"""

from __future__ import annotations

from typing import Final

#: What is buffered should start within this time, in seconds.
SOON: Final = 0.05
#: What has been buffered for this long, in seconds, is handed back.
TOO_LONG: Final = 0.25
#: Largest buffer, in tasks.
MOST: Final = 1000


class Prefetch:
    """The depth of one process's buffer.

    Args:
        fixed: a depth that was asked for; None: measured.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self.fixed = fixed
        self._mean: float | None = None

    def note(self, seconds: float, runs: int) -> None:
        """Takes in how long runs took together; slower ones weigh at once, faster ones by and by."""
        mean = seconds / runs
        if self._mean is None:
            self._mean = mean
        else:
            self._mean += (mean - self._mean) * (0.5 if mean > self._mean else 0.2)

    def stall(self) -> None:
        """Takes in that what was buffered has not started: what runs is slow, though none of it has ended to tell how slow."""
        self._mean = max(self._mean or 0.0, TOO_LONG)

    def depth(self, slots: int) -> int:
        """How many tasks may wait behind so many slots."""
        if self.fixed is not None:
            return self.fixed
        if self._mean is None:
            return 0
        return min(MOST, int(slots * SOON / max(self._mean, 1e-6)))
