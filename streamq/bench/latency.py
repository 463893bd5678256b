"""How long a task takes from before it is sent until it is started by the worker, while hardly anything is to do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from streamq.bench.figures import Latency, Times

if TYPE_CHECKING:
    from streamq.job import Job
    from streamq.server.connect import Link
    from streamq.task import Task

#: Tasks a second, where the server is near enough; and at least so many.
RATE: Final = 100
_LEAST: Final = 20
#: How long the last result is waited for, in seconds.
_WAIT: Final = 60.0
#: Most round trips that are measured, least, and those before them that are not.
_TRIPS_MOST, _TRIPS_LEAST, _FIRST_TRIPS = 500, 20, 5


def measure(task: Task[[], int], seconds: float) -> Latency:
    """Send tasks at a low rate for so many seconds, each at its time, and ask afterwards when they were started.

    Raises:
        ResultTimeout: one of them has not ended.
        TaskFailed: one of them failed.
    """
    sent: list[int] = []
    jobs: list[Job[int]] = []
    begin = time.monotonic()
    while len(jobs) < _LEAST or time.monotonic() - begin < seconds:
        time.sleep(max(0.0, begin + len(jobs) / RATE - time.monotonic()))
        sent.append(time.monotonic_ns())
        jobs.append(task.enqueue())
    took = time.monotonic() - begin
    started = [job.result(_WAIT) for job in jobs]
    delays = [(at - before) / 1e9 for at, before in zip(started, sent, strict=True)]
    return Latency(tasks=len(jobs), sent_per_s=round(min(RATE, len(jobs) / took), 1), start_ms=Times.of(delays))


def round_trip(link: Link, seconds: float) -> Times:
    """How long the server takes to answer the smallest command, measured for so many seconds at most.

    Raises:
        ServerError: it does not answer.
    """
    took: list[float] = []
    for _ in range(_FIRST_TRIPS):
        link.call("TIME")
    while len(took) < _TRIPS_LEAST or (len(took) < _TRIPS_MOST and sum(took) < seconds):
        began = time.perf_counter()
        link.call("TIME")
        took.append(time.perf_counter() - began)
    return Times.of(took)
