"""How many tasks a second the worker runs: empty ones from a full queue, and such that only wait.

Empty tasks are counted while every process is at work and something waits: neither the start nor the end is in the rate. Waiting
ones are held against the least time that their slots need for them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from streamq.bench.field import Field, fitting, rate, starts, took
from streamq.bench.figures import Empty, Rate, Waited, Waiting
from streamq.bench.ground import HISTORY, TASKS_MOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamq.prepared import Prepared
    from streamq.task import Task

#: How long a task waits, in seconds.
WAIT: Final = 0.1
#: Tasks of the first run for each process, which warms up; and how many runs there are at most to find a number that lasts.
_FIRST, _RUNS = 2000, 4
#: Waits of each slot before the clock runs, and how often at most: until no process takes more than its part any more, as it
#: does for a while after tasks that were much shorter.
_LEARN, _LEARN_MOST = 2, 5
#: Slots of all processes together for which that many tasks may wait.
SLOTS_MOST: Final = TASKS_MOST // _LEARN
#: What a run takes beyond the seconds that are wanted, and the share of these that is enough.
_MORE, _ENOUGH = 0.3, 0.7


def empty(field: Field, sync: Task[..., Any], asynchronous: Task[..., Any], processes: int, seconds: float) -> Empty:
    """Measure tasks that do nothing, of both kinds."""
    found = [_empty(field, task.prepare(), processes, seconds) for task in (sync, asynchronous)]
    return Empty(sync=found[0], async_=found[1])


def _empty(field: Field, task: Prepared[Any], processes: int, seconds: float) -> Rate:
    many = fitting(_FIRST * processes)
    field.steady(task, many)
    for _ in range(_RUNS):
        samples = field.steady(task, many)
        lasted = samples[-1].at - samples[0].at
        if lasted >= _ENOUGH * seconds or many == TASKS_MOST:
            break
        many = fitting(max(2 * many, rate(samples).per_s * (seconds + _MORE)))
    return rate(samples)


def waiting(field: Field, sync: tuple[Task[..., Any], int], asynchronous: tuple[Task[..., Any], int], seconds: float) -> Waiting:
    """Measure tasks that wait: of each kind the task, and the slots of all processes together."""
    found = [_waiting(field, task, slots, seconds) for task, slots in (sync, asynchronous)]
    return Waiting(wait_ms=round(WAIT * 1000), sync=found[0], async_=found[1])


def _waiting(field: Field, task: Task[..., Any], slots: int, seconds: float) -> Waited:
    turns = max(_LEARN, min(math.ceil(seconds / WAIT), HISTORY // slots))
    prepared = task.prepare(WAIT)
    for _ in range(_LEARN_MOST):
        if took(field.run([prepared] * slots * _LEARN)) < (_LEARN + 0.5) * WAIT:
            break
    return waited(starts(field.run([prepared] * slots * turns)), slots)


def waited(started: Sequence[int], slots: int) -> Waited:
    """What became of tasks that waited, by their starts in ms: the rate for as long as there were more of them than slots."""
    full = len(started) - slots
    ideal = slots / WAIT
    share = min(1.0, full / ideal / max(0.001, (started[full] - started[0]) / 1000))  # above it by a rounded ms
    return Waited(
        slots=slots, tasks=len(started), per_s=round(share * ideal, 1), ideal_per_s=round(ideal, 1), share=round(share, 4)
    )
