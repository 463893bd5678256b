"""The tasks that are measured: they do nothing, or wait, or say when they were started."""

from __future__ import annotations

import asyncio
import time

from streamq.app import App

app = App()


@app.task
def empty() -> None:
    """Do nothing."""


@app.task
async def empty_async() -> None:
    """Do nothing, on the loop."""


@app.task
def wait(seconds: float) -> None:
    """Wait in a thread."""
    time.sleep(seconds)


@app.task
async def wait_async(seconds: float) -> None:
    """Wait on the loop."""
    await asyncio.sleep(seconds)


@app.task
def started() -> int:
    """When it was started, in ns of the monotonic clock that all processes of a machine share."""
    return time.monotonic_ns()
