"""What a supervisor does for a child that is gone: it settles with the child's fence, by what stands in the slot table.

Never for one that lives: it is killed first and settled for then.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import msgspec

from streamq.transitions import Bury, Park
from streamq.verdict import TimedOut, error_text
from streamq.worker.table import Row

if TYPE_CHECKING:
    from streamq.transitions import Transitions
    from streamq.worker.spawn import ChildProcess

__all__ = ["Row", "cause_of", "overdue", "settle"]


def overdue(child: ChildProcess) -> list[Row]:
    """The runs of a child whose deadline has passed."""
    now = time.monotonic()
    return [row for row in child.table.rows() if row.deadline and row.deadline < now]


def cause_of(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def settle(transitions: Transitions, child: ChildProcess, worker: str) -> int:
    """Settles for a child that has ended, and takes its consumer off the group. May be repeated when a reply was lost.

    The runs that it was killed for have failed by timeout. What else had started counts as a crash if the child ended by itself,
    also what had ended and was not settled: it may be what killed it. All the rest is handed back, uncounted.

    Args:
        transitions: the queue.
        child: it has ended.
        worker: the worker's name that people see.

    Returns:
        How many runs were handed back.
    """
    _time_out(transitions, child, worker)
    started = [(row.address, row.started_ms) for row in child.table.started()] if child.crashed else []
    why = f"worker process died: {cause_of(child.exit_status or 0)}"
    total = 0
    while True:
        reaped = transitions.reap(child.consumer, why, started=started)
        total += reaped.handed_back
        if not reaped.left or reaped.crashed + reaped.handed_back == 0:
            return total


def _time_out(transitions: Transitions, child: ChildProcess, worker: str) -> None:
    """Retries the runs that had run out of time, or buries them at their limit."""
    now_ms = transitions.now_ms() if child.overdue else 0
    for row in child.overdue:
        error = error_text(TimedOut(row.timeout_ms))
        attempt = msgspec.json.encode(
            {"delivery": row.deliveries, "worker": worker, "started_ms": row.started_ms, "ended_ms": now_ms, "error": error}
        )
        if row.deliveries < row.limit:
            transitions.park(child.consumer, [Park(row.address, row.delivery, row.retry_ms, "retry", attempt)])
        else:
            letter = Bury(row.address, row.delivery, "timeout", error, "", attempt, failed=True, not_started=0, task=row.task)
            transitions.bury(child.consumer, worker, letter)
