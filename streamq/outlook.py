"""What will happen next to a task that runs, is stuck or waits for a retry, as one short sentence for people.

It follows the rules by which workers act: a lease is renewed each third of its time; what a dead process of the same machine held
is taken at once, other workers' tasks when their heartbeat expires or the lease runs out, after a rest where the fleet or the
server has just come back; a task that has used its deliveries becomes a dead letter at the next hand-out. No input or output.
Called by `pending.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from streamq.units import duration

if TYPE_CHECKING:
    from collections.abc import Collection

    from streamq.fleet import State

#: A renewal counts as late when it is this much overdue, ms: the keeper of the leases has other things to do.
_LATE: Final = 1000
#: With so many crashes a task runs alone (`lua/include/parked.lua`).
SUSPECT_AFTER: Final = 2

_CAUSE: Final = {
    "alive": "its lease ran out",
    "stopped": "worker is stopped",
    "lost": "worker gives no sign of life",
    "dead": "worker is dead",
    None: "its lease ran out",
}


class Queue(NamedTuple):
    """What holds for all tasks of a queue."""

    now_ms: int
    paused: bool
    #: How many worker processes live.
    alive: int
    #: Until when nothing is recovered by heartbeat or lease; in the past: recovery is at work.
    rests_until_ms: int
    #: Names of the tasks that live workers know.
    known: Collection[str]


class Run(NamedTuple):
    """A task that was handed out."""

    #: Of its worker; None where it never beat: a stranger's consumer.
    life: State | None
    #: It is known to have started.
    started: bool
    deliveries: int
    most: int
    crashes: int
    #: How long until: the next renewal, the end of the lease, the end of the heartbeat; negative where that is past.
    renewal_ms: int
    lease_ms: int
    beat_ms: int
    #: A live worker can see the machine of its worker.
    watched: bool


class Wait(NamedTuple):
    """A task that waits to be handed out again."""

    task: str
    due_ms: int
    deliveries: int
    most: int
    crashes: int
    #: When it becomes a dead letter unless a worker comes that knows it; 0: its name was known.
    unknown_until_ms: int


def of_run(run: Run, queue: Queue) -> str:
    """What comes next for a task that was handed out."""
    if run.life in ("dead", "lost") or run.lease_ms <= 0:
        return _recovery(run, queue)
    left = run.lease_ms if run.life is None else max(0, min(run.lease_ms, run.beat_ms))
    if run.life is None:
        return f"not a streamq worker's: {_handed_on(left, queue)}{_after(run)}"
    if run.life == "stopped":
        return f"worker is stopped: unless it goes on, {_handed_on(left, queue)}{_after(run)}"
    if run.renewal_ms < -_LATE:
        return f"renewal is {about(-run.renewal_ms)} late: {_handed_on(left, queue)}{_after(run)}"
    if not run.started:
        return "handed out, not seen running yet"
    return f"lease renewed in {about(run.renewal_ms)}"


def of_wait(wait: Wait, queue: Queue) -> str:
    """What comes next for a task that waits to be handed out again."""
    left = wait.due_ms - queue.now_ms
    if wait.unknown_until_ms and wait.task not in queue.known:
        return f"no live worker knows it: dead letter in {about(wait.unknown_until_ms - queue.now_ms)} unless one comes"
    if left > 0:
        when = f"retry in {about(left)}"
    elif queue.paused:
        when = "due, waits: the queue is paused"
    elif not queue.alive:
        when = "due, waits: no worker is alive"
    else:
        when = "due: the next free worker takes it"
    if wait.deliveries >= wait.most:
        return f"{when}, as a dead letter: {_used(wait)}"
    alone = f", alone: {wait.crashes} workers died with it" if wait.crashes >= SUSPECT_AFTER else ""
    return f"{when} ({_next(wait)}){alone}"


def about(ms: float) -> str:
    """A length of time in whole seconds, a second at least."""
    return duration(max(1, round(ms / 1000)))


def _recovery(run: Run, queue: Queue) -> str:
    """How a task gets away from a worker that has lost it."""
    cause = _CAUSE[run.life] if run.life in ("dead", "lost", "stopped") else f"its lease ran out {about(-run.lease_ms)} ago"
    if run.life == "dead" and run.watched:
        left = 0
    else:
        timed = run.lease_ms if run.life is None else min(run.lease_ms, run.beat_ms)
        left = max(0, timed, queue.rests_until_ms - queue.now_ms)
    return f"{cause}: {_handed_on(left, queue)}{_after(run)}"


def _handed_on(left: int, queue: Queue) -> str:
    if not queue.alive:
        return "waits, no worker is alive"
    return f"handed on in {about(left)}" if left > 0 else "handed on within a second"


def _after(run: Run) -> str:
    """What being handed on leads to."""
    if run.deliveries >= run.most:
        return f", as a dead letter: {_used(run)}"
    alone = ", alone" if run.crashes + 1 >= SUSPECT_AFTER else ""
    return f" ({_next(run)}{alone})"


def _next(task: Run | Wait) -> str:
    return f"delivery {task.deliveries + 1} of {task.most}"


def _used(task: Run | Wait) -> str:
    return "its one delivery is used" if task.most == 1 else f"all {task.most} deliveries are used"
