"""Waiting for tasks to end: `produce --wait` and `task wait`.

The history of endings is followed, so that nobody polls for single tasks. Every few seconds some of those that are waited for
are looked up all the same, so that one that vanished without an ending (its server lost it) is reported instead of waited for in
vain. A server that is away is waited for as long as `server.wait` says.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Final

from streamq import browse
from streamq.history import Follower
from streamq.server.patience import waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streamq.cli.state import State

#: How often, in seconds, some of the tasks are looked up.
_QUIET: Final = 5.0
#: How many.
_SOME: Final = 500


class Wait:
    """One wait for tasks; made before they are sent, it misses no ending.

    Args:
        state: the command's; the wait has connections of its own.
    """

    def __init__(self, state: State) -> None:
        self._transitions = state.transitions
        self._limit = state.settings.worker.max_deliveries
        self._patience = state.settings.server.wait
        self._follower = Follower(state.link(), state.keys)

    def find(self, ids: Iterable[str]) -> list[browse.Record]:
        """What is known of tasks now."""
        asked = list(ids)
        return waiting(lambda: browse.find(self._transitions, asked, max_deliveries=self._limit), self._patience)

    def ends(self, ids: Iterable[str], timeout: float | None = None) -> Iterator[browse.Record]:
        """The tasks as they end, those that nobody knows among them; without the rest when the time is over.

        Args:
            ids: what to wait for, in any order.
            timeout: longest wait in seconds; None: none.
        """
        left = dict.fromkeys(ids)
        end = None if timeout is None else time.monotonic() + timeout
        looked = time.monotonic()
        while left:
            remaining = _QUIET if end is None else min(_QUIET, end - time.monotonic())
            if remaining <= 0:
                return
            endings, whole = waiting(lambda: self._follower.wait(remaining), self._patience)  # noqa: B023 - called at once
            told = {ending.id: ending for ending in endings if ending.id in left}
            asked = list(told) if whole else list(left)
            if time.monotonic() - looked >= _QUIET:
                looked = time.monotonic()
                asked += [task_id for task_id in islice(left, _SOME) if task_id not in told and whole]
            for record in self.find(asked):
                if record.state == "unknown" and record.id in told:
                    browse.take_ending(record, told[record.id])
                if record.ended or record.state == "unknown":
                    del left[record.id]
                    yield record
                else:
                    left[record.id] = left.pop(record.id)  # to the end: another time others are looked up
