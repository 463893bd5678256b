"""Whether a task that was handed out starts here: it is compared with its expiry, its limit and the tasks that this worker knows.

Pure but for the clock that it is given: a `Run` starts, a `Park` waits for another worker, a `Bury` goes to the dead letters
without having started, so its hand-out is not counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamq import wire
from streamq.replies import Handed
from streamq.transitions import Bury, Park
from streamq.units import duration
from streamq.worker.run import Run

if TYPE_CHECKING:
    from streamq.config import Settings
    from streamq.registry import Registry
    from streamq.transitions import Reason

#: A task that this worker does not know waits this long for one that does, in ms; then, unless such a one lives, twice as long,
#: up to the most.
UNKNOWN_FIRST_MS: Final = 500
UNKNOWN_MOST_MS: Final = 10_000


class Judge:
    """Decides for one worker.

    Args:
        registry: the tasks that it knows.
        settings: limits.
        alone: whether it judges for a process that runs one task at a time, with nothing beside it.
    """

    def __init__(self, registry: Registry, settings: Settings, *, alone: bool = False) -> None:
        self._registry = registry
        self._limit = settings.worker.max_deliveries
        self._unknown_ms = settings.worker.unknown * 1000
        self._alone = alone
        #: Names of the tasks that live workers know: what waits for one of them does not wait long.
        self.elsewhere: frozenset[str] = frozenset()

    def __call__(self, handed: Handed, now_ms: int, asked: float, taken: float) -> Run | Park | Bury:
        """What becomes of a task that was handed out.

        Args:
            handed: the task.
            now_ms: the server's time.
            asked: when it was asked for, by `time.monotonic()`.
            taken: when it came.
        """
        try:
            task = wire.parse(handed.address, handed.fields)
        except wire.Malformed as error:
            return self._unreadable(handed, error, now_ms)
        if task.expires_ms is not None and task.expires_ms <= now_ms:
            late = (now_ms - task.expires_ms) / 1000
            return _bury(handed, task.name, "expired", f"expired {late:.1f} s before a worker was free")
        definition = self._registry.get(task.name)
        if definition is None:
            return self._unknown(handed, task.name, f"task {task.name}", now_ms)
        limit = task.max_deliveries or definition.max_deliveries or self._limit
        address, count = handed.address, handed.count
        deliveries = count - handed.forgiven
        if deliveries > limit:
            what = f"started {limit} time{'s' * (limit != 1)}, and never ended: its worker died or lost its lease each time"
            return _bury(handed, task.name, "deliveries", what, not_started=deliveries - limit)
        if handed.crashes and deliveries == limit and not self._alone:
            return Park(address, count, 0, "alone")  # whoever it crashed beside must not take its last delivery too
        waited = now_ms - (task.due_ms or int(address[1 : address.index("-")]))
        time_limit = task.timeout_ms or definition.timeout_ms or 0
        return Run(address, count, deliveries, limit, handed.attempts, task, definition, time_limit, max(0, waited), taken, asked)

    def _unreadable(self, handed: Handed, error: wire.Malformed, now_ms: int) -> Park | Bury:
        name = wire.name_of(handed.fields)
        if isinstance(error, wire.Newer):
            return self._unknown(handed, name, f"version {error.version} of the format", now_ms)
        return _bury(handed, name, "invalid", error.what)

    def _unknown(self, handed: Handed, name: str, what: str, now_ms: int) -> Park | Bury:
        since = handed.unknown_ms or now_ms
        if now_ms - since >= self._unknown_ms:
            return _bury(handed, name, "unknown-task", f"no worker has known {what} for {duration(self._unknown_ms / 1000)}")
        doublings = 0 if name in self.elsewhere else min(handed.forgiven, 10)
        return Park(handed.address, handed.count, min(UNKNOWN_FIRST_MS << doublings, UNKNOWN_MOST_MS), "unknown")


def _bury(handed: Handed, name: str, reason: Reason, error: str, *, not_started: int = 1) -> Bury:
    """A letter for a task that does not start here; nor did it where a worker died while it buried a task beyond its limit."""
    return Bury(handed.address, handed.count, reason, error, "", b"", failed=False, not_started=not_started, task=name)
