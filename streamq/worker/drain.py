"""When a draining worker (`--drain`) has nothing left to wait for, or cannot get there."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from streamq.errors import ServerUnreachable

if TYPE_CHECKING:
    from streamq.replies import Remains
    from streamq.transitions import Transitions

_log = logging.getLogger("streamq.worker")

#: How often the queue is looked at, in seconds.
EVERY: Final = 0.25


class Drain:
    """Watches a queue until it is drained: nothing waits, runs on any worker, is due or waits for a retry, however late."""

    def __init__(self, transitions: Transitions) -> None:
        self._transitions = transitions
        self._looked = 0.0
        #: 0: drained; 1: it cannot be.
        self.exit_status = 0

    def is_over(self) -> bool:
        """Whether the worker may stop."""
        if time.monotonic() - self._looked < EVERY:
            return False
        try:
            left = self._transitions.remains()
        except ServerUnreachable:
            return False
        self._looked = time.monotonic()
        return not left.running and self._is_at_end(left)

    def _is_at_end(self, left: Remains) -> bool:
        """Whether nothing will change any more."""
        if left.paused and left.waiting + left.retrying + left.scheduled_due:
            return self._give_up("the queue is paused; what waits in it stays (streamq queue resume lets it go on)")
        if left.waiting or left.scheduled_due or left.retrying > left.unknown:
            return False
        if left.unknown:
            tasks = "1 task is" if left.unknown == 1 else f"{left.unknown} tasks are"
            return self._give_up(f"{tasks} left that no worker knows (--tasks names the module that has them)")
        _log.info("drained: nothing is left to do")
        return True

    def _give_up(self, why: str) -> bool:
        _log.error("not drained: %s", why)
        self.exit_status = 1
        return True
