"""When a draining worker (`--drain`) has nothing left to wait for, or cannot get there."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from streamq import held, wire
from streamq.errors import ServerUnreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamq.held import Command, Scene
    from streamq.replies import Remains
    from streamq.transitions import Transitions

_log = logging.getLogger("streamq.worker")

#: How often the queue is looked at, in seconds.
EVERY: Final = 0.25
#: How often it looks at all parked tasks, which may be many, in seconds.
ALL_EVERY: Final = 2.0
#: So many parked tasks are looked at by the script (`remains.lua`).
LOOKED: Final = 100


class Drain:
    """Watches a queue until it is drained: nothing waits, runs on any worker, is due or waits for a retry, however late.

    Args:
        transitions: of the queue.
        lease: of this worker, in seconds.
    """

    def __init__(self, transitions: Transitions, lease: float) -> None:
        self._transitions = transitions
        self._lease_ms = round(lease * 1000)
        self._looked = self._looked_at_all = 0.0
        #: There is nothing left to wait for.
        self.ended = False
        #: 0: drained; 1: it cannot be.
        self.exit_status = 0

    def is_over(self) -> bool:
        """Whether the worker may stop."""
        if time.monotonic() - self._looked < EVERY:
            return False
        try:
            left = self._transitions.remains()
            self._looked = time.monotonic()
            self.ended = not left.running and self._is_at_end(left)
        except ServerUnreachable:
            return False
        return self.ended

    def _is_at_end(self, left: Remains) -> bool:
        """Whether nothing will change any more."""
        if left.paused and left.waiting + left.retrying + left.scheduled_due:
            return self._give_up("the queue is paused; what waits in it stays (streamq queue resume lets it go on)")
        if left.waiting or left.scheduled_due:
            return False
        if not left.retrying:
            later = f" now; {_are(left.scheduled_later)} scheduled for later" if left.scheduled_later else ""
            _log.info("drained: nothing is left to do%s", later)
            return True
        if left.unknown < min(left.retrying, LOOKED) or not self._are_all_strange(left):
            return False
        return self._give_up(f"{_are(left.retrying)} left that no worker knows (--tasks names the module that has them)")

    def _are_all_strange(self, left: Remains) -> bool:
        """Whether no live worker knows any of the tasks that are parked, and nothing has changed while they were looked at."""
        if time.monotonic() - self._looked_at_all < ALL_EVERY:
            return False
        self._looked_at_all = time.monotonic()
        scene = held.look(self._transitions, 1, self._lease_ms)
        pages = held.addresses(self._transitions)
        if not all(self._are_strange(page, scene) for page in pages):
            return False
        return self._transitions.remains()._replace(scheduled_later=left.scheduled_later) == left

    def _are_strange(self, addresses: Sequence[str], scene: Scene) -> bool:
        """Whether some worker has not known these tasks, and none that lives does."""
        keys = self._transitions.keys
        commands: list[Command] = [["HMGET", keys["attempts"], *addresses]]
        commands += [["XRANGE", keys.stream(each[0]), each[1:], each[1:]] for each in addresses]
        records, *entries = held.ask(self._transitions, commands)
        if not all(record and int(record.split(None, 4)[3]) for record in records):
            return False
        return all(_is_strange(address, entry[0][1], scene) for address, entry in zip(addresses, entries, strict=True) if entry)

    def _give_up(self, why: str) -> bool:
        _log.error("not drained: %s", why)
        self.exit_status = 1
        return True


def _are(many: int) -> str:
    return "1 task is" if many == 1 else f"{many} tasks are"


def _is_strange(address: str, fields: list[bytes], scene: Scene) -> bool:
    try:
        return wire.parse(address, fields).name not in scene.queue.known
    except wire.Newer:
        return True
    except wire.Malformed:
        return False
