"""How many tasks a process may hold beyond those it runs: tiny ones need a buffer, long ones must not have one.

Held is what is expected to start within `SOON`, by the run times of each task's name as they are measured here. How much to ask
for is told by what ran lately; what came nevertheless and would start later is handed back at once (`keep`), and so is what has
waited for much longer than expected, so that no other worker sits idle beside it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What is buffered should start within this time, in seconds.
SOON: Final = 0.05
#: What has been buffered for this long, in seconds, is handed back.
TOO_LONG: Final = 0.1
#: What has not ended is taken to run for this long, in seconds.
STALLED: Final = 1.0
#: Largest buffer, in tasks: enough to run for as long as a take and a settling of the largest groups are under way.
MOST: Final = 4000
#: Of runs shorter than this, in seconds, one thread does more than several that have to be woken and take turns.
TINY: Final = 20e-6


class Waiting(Protocol):
    """Slots, as far as a buffer's depth depends on them."""

    @property
    def slots(self) -> int:
        """How many tasks run at the same time."""

    def load(self) -> int:
        """How many tasks run or wait."""

    def buffered(self) -> int:
        """How many wait."""

    def waiting(self) -> list[str]:
        """Their names, in order."""


class Prefetch:
    """The depth of one process's buffer.

    Args:
        fixed: a depth that was asked for; None: measured.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self.fixed = fixed
        #: Mean run time in seconds, by kind of handler of all that ran lately, and by name.
        self._mean: dict[bool, float] = {}
        self._means: dict[str, float] = {}
        self._kinds: dict[str, bool] = {}

    def note(self, names: Sequence[str], seconds: Sequence[float]) -> None:
        """Takes in how long some runs took, each with its name; slower ones weigh at once, faster ones by and by."""
        counts = Counter(names)
        if len(counts) == 1:
            sums = {names[0]: sum(seconds)}
        else:
            sums = dict.fromkeys(counts, 0.0)
            for name, each in zip(names, seconds, strict=True):
                sums[name] += each
        of_kind: dict[bool, list[float]] = {}
        for name, of_name in sums.items():
            self._means[name] = _moved(self._means.get(name), of_name / counts[name])
            total = of_kind.setdefault(self._kinds.get(name, False), [0.0, 0])
            total[0] += of_name
            total[1] += counts[name]
        for kind, (total_of_kind, runs) in of_kind.items():
            self._mean[kind] = _moved(self._mean.get(kind), total_of_kind / runs)

    def stall(self, kind: bool) -> None:  # noqa: FBT001 - a kind is a key
        """Takes in that what was buffered has not started: what runs is slow, though none of it has ended to tell how slow."""
        self._mean[kind] = max(self._mean.get(kind, 0.0), STALLED)

    def depth(self, kind: bool, slots: int) -> int:  # noqa: FBT001 - a kind is a key
        """How many tasks may wait behind so many slots for handlers of a kind: async ones (True), or sync ones."""
        if self.fixed is not None:
            return self.fixed
        mean = self._mean.get(kind)
        return 0 if mean is None else min(MOST, int(slots * SOON / max(mean, 1e-6)))

    def keep(self, kind: bool, names: Sequence[str], slots: Waiting) -> int:  # noqa: FBT001 - a kind is a key
        """How many of some tasks, in order, are expected to start soon enough; where not all are, fewer are asked for next time.

        Args:
            kind: of their handlers.
            names: theirs.
            slots: where they would run, and what waits there before them.
        """
        counts = Counter(names)
        if not counts.keys() <= self._kinds.keys():
            self._kinds.update(dict.fromkeys(counts, kind))
        if self.fixed is not None or slots.load() + len(names) <= slots.slots:
            return len(names)
        work, longest = self._work(counts), max(map(self._expected, {*self._kinds, *self._means}))
        if work + slots.buffered() * longest <= slots.slots * SOON:
            return len(names)  # all are so short that it does not matter which are waiting
        free_at = [0.0] * slots.slots
        for name in slots.waiting():
            heapq.heapreplace(free_at, free_at[0] + self._expected(name))
        for kept, name in enumerate(names):
            if free_at[0] >= SOON:
                self._mean[kind] = max(self._mean.get(kind, 0.0), work / len(names))
                return kept
            heapq.heapreplace(free_at, free_at[0] + self._expected(name))
        return len(names)

    def _work(self, counts: Counter[str]) -> float:
        """How long so many tasks of each name will run, in seconds."""
        return sum(n * self._expected(name) for name, n in counts.items())

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
