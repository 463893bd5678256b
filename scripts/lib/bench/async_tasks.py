"""The async task that is measured, and how streamq sends it."""

from __future__ import annotations

import os

from scripts.lib.bench import bodies
from scripts.lib.bench.tasks import QUEUE, URL
from streamq import App

app = App(QUEUE, url=os.environ.get(URL))


@app.task
async def async_job(kind: str, sent: float) -> None:
    """Run a body in a coroutine."""
    await bodies.run_async(kind, sent)


def bulk(kind: str, number: int) -> None:
    """Send tasks at once."""
    app.enqueue_many(async_job.prepare(kind, 0.0) for _ in range(number))
