"""The steps of the random test, all together, and how often each comes."""

from __future__ import annotations

from collections.abc import Callable

from tests.model.faults import Faults
from tests.model.people import People
from tests.model.producers import Producers


class Steps(Producers, Faults, People):
    """All that can happen to a queue."""


#: How often each step comes.
WEIGHTS: dict[Callable[[Steps], None], int] = {
    Steps.add: 22,
    Steps.add_and_lose_the_reply: 1,
    Steps.take: 24,
    Steps.take_and_lose_the_reply: 1,
    Steps.read_blocked: 8,
    Steps.take_suspect: 6,
    Steps.settle: 18,
    Steps.settle_and_lose_the_reply: 1,
    Steps.park: 14,
    Steps.bury: 4,
    Steps.renew: 4,
    Steps.crash: 6,
    Steps.reap: 3,
    Steps.sweep: 5,
    Steps.restart_and_sweep: 1,
    Steps.claim: 2,
    Steps.leave: 2,
    Steps.destroy_group: 5,
    Steps.flush_scripts: 1,
    Steps.let_time_pass: 6,
    Steps.pause: 3,
    Steps.cancel: 2,
    Steps.hasten: 3,
    Steps.revive: 4,
    Steps.discard: 1,
    Steps.purge: 1,
}
