"""What the tasks do that are measured: the same code, whoever runs it.

empty   nothing but being counted
wait    100 ms of waiting
hash    1000 SHA-256 of 1 KiB
burn    100 µs of processor time of its thread
stamp   notes how late it was started
"""

from __future__ import annotations

import asyncio
import hashlib
import time

from scripts.lib.bench.counter import stamp, tick

#: How long `wait` waits, in seconds.
WAIT = 0.1
_BURN = 100e-6
_BLOCK = b"x" * 1024


def run(kind: str, sent: float) -> None:
    """Run a body; `sent` is when the task was sent, by `time.time()`."""
    if kind == "wait":
        time.sleep(WAIT)
    elif kind != "empty":
        _work(kind, sent)
    tick()


async def run_async(kind: str, sent: float) -> None:
    """Run a body in a coroutine."""
    if kind == "wait":
        await asyncio.sleep(WAIT)
    elif kind != "empty":
        _work(kind, sent)
    tick()


def _work(kind: str, sent: float) -> None:
    if kind == "hash":
        for _ in range(1000):
            hashlib.sha256(_BLOCK).digest()
    elif kind == "burn":
        end = time.thread_time() + _BURN
        while time.thread_time() < end:
            pass
    elif kind == "stamp":
        stamp(sent)
