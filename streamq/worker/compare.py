"""What the server says that this process holds, against what the process knows: a lost lease is seen, a lost reply made good.

The supervisor asks the server with each renewal, and the child compares. Both sides move meanwhile, so each finding waits until
it can have no other reason.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from streamq.transitions import Park
from streamq.worker.complaint import tell_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.worker.control import Pending
    from streamq.worker.settle import Settler
    from streamq.worker.shared import Shared


class Comparison:
    """The comparisons of one child, made by its main thread.

    Args:
        shared: of the process.
        settler: hands back what nobody here knows.
        cancel: cancels the run of an address, where it is an async one.
    """

    def __init__(self, shared: Shared, settler: Settler, cancel: Callable[[str], None]) -> None:
        self._held = shared.held
        self._taking = shared.taking
        self._settler = settler
        self._cancel = cancel
        #: What the server says we hold and nobody here knows -> when that was first noticed.
        self._strangers: dict[str, float] = {}

    def __call__(self, pending: Pending) -> None:
        """Compares once."""
        theirs = {address: count for address, count, _ in pending.held}
        self._find_lost(theirs, pending.asked)
        self._find_strangers(theirs, pending.asked)

    def _find_lost(self, theirs: dict[str, int], asked: float) -> None:
        """What was ours when the server was asked, and is not any more, was cancelled or recovered by another worker."""
        lost: list[str] = []
        for address, run in list(self._held.items()):
            if address not in theirs and run.taken < asked and not run.ended and not run.lost:
                run.lost = True
                lost.append(f"{run.task.name} {run.task.id}")
                if run.definition.is_async:
                    run.cancelled = True
                    self._cancel(address)
        tell_of(
            lost,
            "lease lost, or cancelled; its result will be refused",
            "leases lost to other workers, or cancelled; their results will be refused",
        )

    def _find_strangers(self, theirs: dict[str, int], asked: float) -> None:
        """What we hold and nobody here knows came with a reply that never arrived: it is handed back.

        Unless the reply is still on its way, however long a handler kept this process from reading it: so the server has to say
        it again when asked after the first notice, and no take may be under way that began before that.
        """
        now = time.monotonic()
        self._strangers = {address: self._strangers.get(address, now) for address in theirs if address not in self._held}
        given_back: list[str] = []
        for address, noticed in list(self._strangers.items()):
            if noticed < asked and noticed < self._taking.since and address not in self._held:
                given_back.append(address)
                self._settler.put(Park(address, theirs[address], 0, "release"))
                del self._strangers[address]  # noticed anew, should it still be ours when the settler has done so
        tell_of(
            given_back,
            "was handed out, but the reply was lost; handed back",
            "were handed out, but the reply was lost; handed back",
        )
