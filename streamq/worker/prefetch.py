"""How many tasks a process may hold beyond those it runs: tiny ones need a buffer, long ones must not have one.

Held is what is expected to start within `SOON`, by the run times of each task's name as they are measured here. How much to ask
for is told by what ran lately; what came nevertheless and would start later is handed back at once (`keep`), and so is what has
waited for much longer than expected, so that no other worker sits idle beside it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What is buffered should start within this time, in seconds.
SOON: Final = 0.05
#: What has been buffered for this long, in seconds, is handed back.
TOO_LONG: Final = 0.25
#: Largest buffer, in tasks: enough to run for as long as a take and a settling of the largest groups are under way.
MOST: Final = 2000


#: Of runs shorter than this, in seconds, one thread does more than several that have to be woken and take turns.
TINY: Final = 20e-6


class Prefetch:
    """The depth of one process's buffer.

    Args:
        fixed: a depth that was asked for; None: measured.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self.fixed = fixed
        #: Mean run time in seconds, of all that ran lately and by name.
        self._mean: float | None = None
        self._means: dict[str, float] = {}

    def note(self, names: Sequence[str], seconds: Sequence[float]) -> None:
        """Takes in how long some runs took, each with its name; slower ones weigh at once, faster ones by and by."""
        counts = Counter(names)
        total = sum(seconds)
        if len(counts) == 1:
            sums = {names[0]: total}
        else:
            sums = dict.fromkeys(counts, 0.0)
            for name, each in zip(names, seconds, strict=True):
                sums[name] += each
        for name, of_name in sums.items():
            self._means[name] = _moved(self._means.get(name), of_name / counts[name])
        self._mean = _moved(self._mean, total / len(names))

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

    def keep(self, names: Sequence[str], slots: int, ahead: int) -> int:
        """How many of some tasks, in order, are expected to start soon enough; where not all are, fewer are asked for next time.

        Args:
            names: theirs.
            slots: how many run at the same time.
            ahead: so many tasks run or wait before them.
        """
        if self.fixed is not None or not names:
            return len(names)
        mean = self._mean or 0.0
        busy = max(0, ahead - slots) * mean
        work = sum(n * self._expected(name) for name, n in Counter(names).items())
        if busy + work <= slots * SOON:
            return len(names)
        free_at = [busy / slots] * slots
        for kept, name in enumerate(names):
            if free_at[0] >= SOON:
                self._mean = max(mean, work / len(names))
                return kept
            heapq.heapreplace(free_at, free_at[0] + self._expected(name))
        return len(names)

    def is_tiny(self, name: str) -> bool:
        """Whether a task of this name is known to end as soon as it has begun."""
        return self._means.get(name, SOON) < TINY

    def _expected(self, name: str) -> float:
        """How long a task of a name will run, in seconds; one that has never run here is taken for a long one."""
        return self._means.get(name, SOON)


def _moved(mean: float | None, latest: float) -> float:
    if mean is None:
        return latest
    return mean + (latest - mean) * (0.5 if latest > mean else 0.2)
