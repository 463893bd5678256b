"""How long a task takes from before it is sent until it is started by the worker, while hardly anything is to do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from streamq.bench.figures import Latency, Times

if TYPE_CHECKING:
    from streamq.server.connect import Link
    from streamq.task import Task

#: Tasks a second.
RATE: Final = 100
#: At least so many, and tasks for each second that is asked for.
_LEAST: Final = 20
#: How long the last result is waited for, in seconds.
_WAIT: Final = 60.0
#: Round trips that are measured, and those before them that are not.
_TRIPS, _FIRST_TRIPS = 500, 20


def measure(task: Task[[], int], seconds: float) -> Latency:
    """Send tasks at a low rate, each at its time, and ask afterwards when they were started.

    Raises:
        ResultTimeout: one of them has not ended.
        TaskFailed: one of them failed.
    """
    sent, jobs = [], []
    many = max(_LEAST, round(RATE * seconds))
    begin = time.monotonic()
    for i in range(many):
        time.sleep(max(0.0, begin + i / RATE - time.monotonic()))
        sent.append(time.monotonic_ns())
        jobs.append(task.enqueue())
    started = [job.result(_WAIT) for job in jobs]
    delays = [(at - before) / 1e9 for at, before in zip(started, sent, strict=True)]
    return Latency(tasks=many, sent_per_s=RATE, start_ms=Times.of(delays))


def round_trip(link: Link) -> Times:
    """How long the server takes to answer the smallest command.

    Raises:
        ServerError: it does not answer.
    """
    took: list[float] = []
    for _ in range(_FIRST_TRIPS + _TRIPS):
        began = time.perf_counter()
        link.call("TIME")
        took.append(time.perf_counter() - began)
    return Times.of(took[_FIRST_TRIPS:])
