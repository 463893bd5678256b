"""The demand of a process that has sync and async handlers, when the slots of one kind are busy and those of the other are not.

A take brings whatever is next, of either kind. So a single task of the kind that is busy may wait for its slot, not more; what is
handed back because of that is another worker's turn for a while; and where one kind is stuck, tasks for the other are looked for
behind those of the first, not too many in vain.
"""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING, Final

from streamq.worker.demand import TAKE_MOST, Demand
from streamq.worker.prefetch import SOON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamq.worker.prefetch import Prefetch
    from streamq.worker.run import Run
    from streamq.worker.settle import Settler
    from streamq.worker.slots import Slots

#: How long one whose slots of one kind are busy lets others have what it has handed back of that kind, in seconds: at first, and
#: when it stays so; that is longer than a blocked read, behind which they find it.
REST_FIRST: Final = 0.25
REST: Final = 1.5
#: Most tasks of a kind that is stuck that are passed at a time in vain, in search of one for the other kind.
PASS_MOST: Final = 30


class MixedDemand(Demand):
    """The demand of one process with both kinds of handlers. The arguments are those of `Demand`."""

    def __init__(self, slots: dict[bool, Slots], prefetch: Prefetch, settler: Settler) -> None:
        super().__init__(slots, prefetch, settler)
        #: How many tasks of a kind had room when some were asked for, and until when none are, unless a slot is free before.
        self._free_of = dict.fromkeys(slots, 0)
        self._resting_until = dict.fromkeys(slots, 0.0)
        self._rest = dict.fromkeys(slots, REST_FIRST)
        #: When tasks for one kind may be looked for behind those of the other, and how many of those were passed in vain.
        self._look_at = 0.0
        self._passed = 0

    def beside(self) -> int:
        """One kind may be stuck: how many new tasks to look at for the other."""
        now = time.monotonic()
        stuck = [each.load() >= each.slots and not now - SOON <= each.oldest() < math.inf for each in self._slots.values()]
        if now < self._look_at or not any(stuck) or self._settler.is_behind:
            return 0
        return max(0, min(max(self._free_of.values()), self._most))

    def looked(self, *, found: bool) -> None:
        """Rests from looking where it was in vain."""
        if self._passed >= PASS_MOST:
            self._passed = 0
            self._look_at = time.monotonic() + REST
        elif not found:
            self._look_at = time.monotonic() + SOON

    def kept(self, kind: bool, runs: Sequence[Run]) -> int:  # noqa: FBT001 - a kind is a key
        """How many runs have a slot, or room that they were asked for."""
        slots = self._slots[kind]
        if slots.load() < slots.slots:
            self._passed = 0
        return min(super().kept(kind, runs), max(0, self._free_of[kind], slots.slots + 1 - slots.load()))

    def too_many(self, kind: bool, number: int) -> None:  # noqa: FBT001 - a kind is a key
        """Rests from a kind that is busy, for a time that nobody else rests for exactly."""
        super().too_many(kind, number)
        self._resting_until[kind] = time.monotonic() + self._rest[kind] * random.uniform(1, 2)  # noqa: S311 - no secret
        self._rest[kind] = min(2 * self._rest[kind], REST)
        self._passed += number

    def glance(self) -> float:
        """The other kind may be looked for at any time."""
        return SOON

    def _room(self) -> int:
        """Room for both kinds; or for one, if a task of the other may wait.

        One more than there is room for is taken, and not at regular times: else two processes could for ever take what only the
        other one has a slot for.
        """
        self._free_of = {kind: self._free(kind) for kind in self._slots}
        least, most = min(self._free_of.values()), max(self._free_of.values())
        if least <= 0:
            return min(most, TAKE_MOST, self._most) + 1 if most > 0 and self._may_wait() else 0
        return min(most if self._prefetch.fixed is None else least, TAKE_MOST, self._most)

    def _free(self, kind: bool) -> int:  # noqa: FBT001 - a kind is a key
        slots = self._slots[kind]
        if slots.load() < slots.slots:
            self._resting_until[kind], self._rest[kind] = 0.0, REST_FIRST
        return 0 if self._prefetch.depth(kind, slots.slots) and self._rests(kind) else super()._free(kind)

    def _rests(self, kind: bool) -> bool:  # noqa: FBT001 - a kind is a key
        return time.monotonic() < self._resting_until[kind]

    def _may_wait(self) -> bool:
        """Whether a single task of a kind that is busy may wait for it; not again and again."""
        return all(slots.load() <= slots.slots - self._rests(kind) for kind, slots in self._slots.items())
