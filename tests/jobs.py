"""The tasks of the workers under test: each writes to a ledger what happens to it, in the folder where its worker runs.

Copied there as `jobs.py` and imported by real workers. A line of the ledger is one write at its end, so that lines of many
processes, killed ones among them, are whole and in the order in which they happened. What has to last, lasts until the test opens
a gate.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from streamq import App, Context, Discard, Retry, Snooze, backoff

app = App()

_ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
#: Pause between two looks at a gate, in seconds.
LOOK = 0.01


def note(event: str, n: int, ctx: Context | None = None) -> None:
    """Write a line to the ledger."""
    run = {"delivery": ctx.delivery, "count": ctx.count, "worker": ctx.worker} if ctx else {}
    line = json.dumps({"event": event, "n": n, "pid": os.getpid(), "at": time.monotonic(), **run})
    os.write(_ledger, line.encode() + b"\n")


def is_open(n: int) -> bool:
    """Whether the test has opened the gate of a task, or all of them."""
    return Path(f"open-{n}").exists() or Path("open-all").exists()


@app.task
def work(n: int, ms: float = 0, *, ctx: Context = Context.injected) -> int:
    """Take some time."""
    note("start", n, ctx)
    time.sleep(ms / 1000)
    note("end", n, ctx)
    return n


@app.task
async def awork(n: int, ms: float = 0, *, ctx: Context = Context.injected) -> int:
    """Take some time, on the loop."""
    note("start", n, ctx)
    await asyncio.sleep(ms / 1000)
    note("end", n, ctx)
    return n


@app.task
def hold(n: int, *, ctx: Context = Context.injected) -> int:
    """Last until the gate is open."""
    note("start", n, ctx)
    while not is_open(n):
        time.sleep(LOOK)
    note("end", n, ctx)
    return n


@app.task
async def ahold(n: int, *, ctx: Context = Context.injected) -> int:
    """Last until the gate is open, or until cancelled."""
    note("start", n, ctx)
    try:
        while not is_open(n):  # noqa: ASYNC110 - the gate is a file, and its opener another process
            await asyncio.sleep(LOOK)
    except asyncio.CancelledError:
        note("cancelled", n, ctx)
        raise
    note("end", n, ctx)
    return n


@app.task
async def linger(n: int, times: int = 1000, *, ctx: Context = Context.injected) -> int:
    """Never end the first times; then end at once."""
    note("start", n, ctx)
    if ctx.delivery <= times:
        await asyncio.Event().wait()
    note("end", n, ctx)
    return n


@app.task
async def stubborn(n: int, *, ctx: Context = Context.injected) -> int:
    """Last until the gate is open, whoever cancels it."""
    note("start", n, ctx)
    while not is_open(n):
        try:
            await asyncio.sleep(LOOK)
        except asyncio.CancelledError:
            note("cancelled", n, ctx)
    note("end", n, ctx)
    return n


@app.task(backoff=backoff.constant(0.01))
def fail(n: int, times: int = 1000, *, ctx: Context = Context.injected) -> int:
    """Fail so many times, then succeed."""
    note("start", n, ctx)
    if ctx.delivery <= times:
        raise ValueError(f"no luck with {n}")
    note("end", n, ctx)
    return n


@app.task
def steer(n: int, how: str, *, ctx: Context = Context.injected) -> int:
    """Raise a control exception at the first run."""
    note("start", n, ctx)
    if ctx.count == 1:
        raise {"retry": Retry(0.01, "later"), "snooze": Snooze(0.01, "not now"), "discard": Discard("never")}[how]
    note("end", n, ctx)
    return n


@app.task(backoff=backoff.constant(0.01))
def die(n: int, how: str, times: int = 1000, *, ctx: Context = Context.injected) -> None:
    """End the process in which it runs so many times, or try to; then succeed."""
    note("start", n, ctx)
    if ctx.delivery > times:
        note("end", n, ctx)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "segv":
        ctypes.string_at(0)
    elif how == "memory":
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, hard))
        try:
            bytearray(4 << 30)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    else:
        os._exit(int(how))


@app.task
def guarded(n: int, *, ctx: Context = Context.injected) -> int:
    """Ask, once the gate is open, whether the task is still its own."""
    note("start", n, ctx)
    while not is_open(n):
        time.sleep(LOOK)
    ctx.guard()
    note("end", n, ctx)
    return n


@app.task
def watchful(n: int, *, ctx: Context = Context.injected) -> None:
    """Last until the task is lost."""
    note("start", n, ctx)
    while not ctx.cancelled:
        time.sleep(LOOK)
    note("lost", n, ctx)


@app.task
def grip(n: int, ms: int, *, ctx: Context = Context.injected) -> int:
    """Hold the interpreter: no other thread of the process runs meanwhile."""
    note("start", n, ctx)
    ctypes.PyDLL(None).usleep(ms * 1000)
    note("end", n, ctx)
    return n


@app.task
def backtrack(n: int, length: int, *, ctx: Context = Context.injected) -> int:
    """Hold the interpreter as a careless regular expression does."""
    note("start", n, ctx)
    re.match(r"(a+)+$", "a" * length + "b")
    note("end", n, ctx)
    return n


@app.task
def spawn(n: int, *, ctx: Context = Context.injected) -> str:
    """Start processes: by fork and exec, and by a bare fork."""
    note("start", n, ctx)
    done = subprocess.run([sys.executable, "-c", "print('child')"], check=True, capture_output=True, text=True)
    if (pid := os.fork()) == 0:
        os._exit(7)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    note("end", n, ctx)
    return f"{done.stdout.strip()} {status}"


@app.task
def thread(n: int, *, ctx: Context = Context.injected) -> int:
    """Leave a thread behind that never ends."""
    note("start", n, ctx)
    threading.Thread(target=threading.Event().wait, daemon=False).start()
    note("end", n, ctx)
    return n
