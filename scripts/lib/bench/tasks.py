"""The sync tasks that are measured, and how streamq sends them; `async_tasks.py` has the async ones, for workers of one kind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from scripts.lib.bench import bodies
from streamq import App

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq.prepared import Prepared
    from streamq.task import Task

#: Names the server.
URL = "BENCH_URL"
QUEUE = "bench"
#: How long a task of the feature `due` is delayed, in seconds: it is due before a worker is there.
DELAY = 0.001

app = App(QUEUE, url=os.environ.get(URL))


@app.task
def job(kind: str, sent: float) -> None:
    """Run a body."""
    bodies.run(kind, sent)


def single(kind: str, sent: float) -> None:
    """Send one task."""
    job.enqueue(kind, sent)


def bulk(kind: str, number: int) -> None:
    """Send tasks at once."""
    app.enqueue_many(job.prepare(kind, 0.0) for _ in range(number))


def bulk_with(feature: str, kind: str, number: int) -> None:
    """Send tasks at once that use a feature: `priorities`, `due`, `unique` or `timeout`."""
    app.enqueue_many(_using(feature, kind, number))


def _using(feature: str, kind: str, number: int) -> Iterator[Prepared[Any]]:
    if feature == "unique":
        for _ in range(number):
            yield job.options(unique=os.urandom(8).hex()).prepare(kind, 0.0)
        return
    ways: dict[str, list[Task[Any, Any]]] = {
        "priorities": [job.options(priority="high"), job, job.options(priority="low")],
        "due": [job.options(delay=DELAY), job],
        "timeout": [job.options(timeout="1h")],
    }
    tasks = ways[feature]
    for i in range(number):
        yield tasks[i % len(tasks)].prepare(kind, 0.0)
