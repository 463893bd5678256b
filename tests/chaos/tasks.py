"""The tasks of the workers under chaos: each kind says what it will come to, and every run is noted before and after.

Loaded by real workers as `--tasks tests.chaos.tasks`; the ledger lies in the folder where they run.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamq import App, Context, Snooze, backoff
from streamq.images.tasks import ImageTask
from tests.chaos.kinds import TIMEOUT
from tests.chaos.ledger import End, Ledger, Start

app = App()


@functools.cache
def _ledger() -> Ledger:
    return Ledger(Path("ledger"))


@contextmanager
def noted(n: int, ctx: Context) -> Iterator[None]:
    """Note a run before and after."""
    ledger, run = _ledger(), secrets.token_hex(4)
    ledger.write(Start, n, run, ctx.id, ctx.worker, os.getpid(), ctx.count, ctx.delivery)
    try:
        yield
    except BaseException as error:
        ledger.write(End, n, run, type(error).__name__)
        raise
    ledger.write(End, n, run, "returned")


_soon = backoff.exponential(0.05, 1.0)


@app.task(backoff=_soon)
def work(n: int, ms: float, *, ctx: Context = Context.injected) -> int:
    """Take some milliseconds."""
    with noted(n, ctx):
        time.sleep(ms / 1000)
        return n


@app.task(backoff=_soon)
async def awork(n: int, ms: float, *, ctx: Context = Context.injected) -> int:
    """Take some milliseconds, on the loop."""
    with noted(n, ctx):
        await asyncio.sleep(ms / 1000)
        return n


@app.task
def long(n: int, seconds: float, *, ctx: Context = Context.injected) -> int:
    """Take longer than a lease."""
    with noted(n, ctx):
        time.sleep(seconds)
        return n


@app.task
def grip(n: int, seconds: float, *, ctx: Context = Context.injected) -> int:
    """Hold the interpreter for longer than a lease: no other thread of the process runs meanwhile."""
    with noted(n, ctx):
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))
        return n


@app.task(backoff=_soon)
def flaky(n: int, times: int, *, ctx: Context = Context.injected) -> int:
    """Fail so many times, then succeed."""
    with noted(n, ctx):
        if ctx.delivery <= times:
            raise ValueError(f"no luck with {n}")
        return n


@app.task
def sleepy(n: int, *, ctx: Context = Context.injected) -> int:
    """Ask for a pause at the first run."""
    with noted(n, ctx):
        if ctx.count == 1:
            raise Snooze(0.2, "not yet")
        return n


@app.task(backoff=backoff.constant(0.05))
def broken(n: int, *, ctx: Context = Context.injected) -> int:
    """Fail always."""
    with noted(n, ctx):
        raise ValueError(f"{n} is broken")


@app.task(backoff=backoff.constant(0.05))
def poison(n: int, how: str, *, ctx: Context = Context.injected) -> None:
    """End the process."""
    with noted(n, ctx):
        if how == "segv":
            ctypes.string_at(0)
        elif how == "exit":
            os._exit(3)
        elif how == "abort":
            os.abort()
        os.kill(os.getpid(), signal.SIGKILL)


@app.task(timeout=TIMEOUT, backoff=backoff.constant(0.05))
def overrun(n: int, *, ctx: Context = Context.injected) -> None:
    """Take longer than it may, in a way that only the end of the process ends."""
    with noted(n, ctx):
        time.sleep(60)


@functools.cache
def _images() -> ImageTask:
    return ImageTask(app.settings)


@app.task(retry_on=(OSError, MemoryError), backoff=_soon)
def picture(n: int, source: str, output: str, *, ctx: Context = Context.injected) -> str:
    """Make a small picture smaller: a file is written and a row of the catalogue."""
    with noted(n, ctx):
        arguments: dict[str, Any] = {"source": source, "output": output, "operation": "resize", "width": 40, "height": 30}
        return _images().run({"format": None, "quality": None, "background": None, "steps": None} | arguments, ctx).sha256
