"""How many tasks a process asks for, and how many of those that came it keeps: what will start soon, and not more.

Who finds work in a queue that was empty asks for as much as starts at once, then for twice as much: others wait for it too. A
buffer is filled again when half of it has been used up. What came and will not start soon is handed back, and less is asked for.

`Demand` is that of a process whose handlers are all of one kind; `mixed.py` is for one that has sync and async ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamq.worker.prefetch import SOON, TOO_LONG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamq.worker.prefetch import Prefetch
    from streamq.worker.run import Run
    from streamq.worker.settle import Settler
    from streamq.worker.slots import Slots

#: Most tasks of one take.
TAKE_MOST: Final = 500


class Demand:
    """The demand of one process.

    Args:
        slots: for sync (False) and for async (True) handlers, as far as there are any.
        prefetch: how deep buffers may be.
        settler: whether it keeps up.
    """

    def __init__(self, slots: dict[bool, Slots], prefetch: Prefetch, settler: Settler) -> None:
        self._slots = slots
        self._prefetch = prefetch
        self._settler = settler
        self._first = max(each.slots for each in slots.values())
        #: Most tasks of the next take.
        self._most = self._first

    def want(self) -> int:
        """How many tasks have room."""
        return 0 if self._settler.is_behind else self._room()

    def beside(self) -> int:
        """How many tasks have room if they are of a kind that has to be looked for behind others that have none."""
        return 0

    def looked(self, *, found: bool) -> None:
        """Some were looked for, and found or not."""

    def is_ample(self, coming: int) -> bool:
        """Whether there is room for a large take behind so many tasks that are about to be handed over."""
        return not self._settler.is_behind and min(map(self._space, self._slots)) - coming >= TAKE_MOST

    def came(self, number: int, asked: int) -> None:
        """So many tasks came of those that were asked for."""
        if number == asked:
            self._most = min(2 * self._most, TAKE_MOST)

    def nothing_came(self) -> None:
        """The queue was found to be empty."""
        self._most = self._first

    def kept(self, kind: bool, runs: Sequence[Run]) -> int:  # noqa: FBT001 - a kind is a key
        """How many runs of a kind, of the first in order, start soon enough to be kept."""
        return self._prefetch.keep(kind, [run.task.name for run in runs], self._slots[kind])

    def too_many(self, kind: bool, number: int) -> None:  # noqa: ARG002, FBT001 - of one kind it does not matter
        """So many runs of a kind had to be handed back: others have their turn."""
        self._most = self._first

    def idle(self) -> int:
        """How many slots of one kind are free."""
        return max(0, *(each.slots - each.load() for each in self._slots.values()))

    def glance(self) -> float:
        """How long to look away where nothing has room, in seconds: what is buffered has to start soon."""
        return SOON if any(each.buffered() for each in self._slots.values()) else TOO_LONG

    def _room(self) -> int:
        return min(*map(self._free, self._slots), TAKE_MOST, self._most)

    def _free(self, kind: bool) -> int:  # noqa: FBT001 - a kind is a key
        """How many tasks have room in the slots of a kind and in the buffer behind them, once half of that has been used up."""
        slots = self._slots[kind]
        depth = self._prefetch.depth(kind, slots.slots)
        is_full = depth and slots.load() >= slots.slots and slots.buffered() > depth // 2
        return 0 if is_full else self._space(kind)

    def _space(self, kind: bool) -> int:  # noqa: FBT001 - a kind is a key
        slots = self._slots[kind]
        return slots.slots + self._prefetch.depth(kind, slots.slots) - slots.load()
