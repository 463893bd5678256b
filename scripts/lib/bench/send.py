"""Sends tasks in a process of its own, and prints how fast, as JSON.

python -m scripts.lib.bench.send streamq|async|limit single KIND NUMBER
python -m scripts.lib.bench.send streamq|async|limit bulk KIND NUMBER
python -m scripts.lib.bench.send priorities|due|unique|timeout bulk KIND NUMBER
python -m scripts.lib.bench.send streamq|limit trickle RATE SECONDS
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable

#: Tasks of one call of the bulk interface, or of one pipeline.
CHUNK = 1000
_WARM = 20
#: Tasks of the trickle before those that are measured: its first one connects.
TRICKLE_WARM = 20

Single = Callable[[str, float], None]
Bulk = Callable[[str, int], None]


def main() -> None:
    """Does what the arguments say."""
    who, verb, *rest = sys.argv[1:]
    single, bulk = _ways(who)
    if verb == "trickle":
        trickle(single, float(rest[0]), float(rest[1]))
        return
    kind, number = rest[0], int(rest[1])
    rate = singly(single, kind, number) if verb == "single" else in_bulk(bulk, kind, number)
    print(json.dumps({"rate": rate}))


def _ways(who: str) -> tuple[Single, Bulk]:
    if who == "limit":
        from scripts.lib.bench import limit

        return limit.single, limit.bulk
    from scripts.lib.bench import async_tasks, tasks

    bulk = {"streamq": tasks.bulk, "async": async_tasks.bulk}.get(who)
    return tasks.single, bulk or functools.partial(tasks.bulk_with, who)


def singly(single: Single, kind: str, number: int) -> float:
    """Send tasks one by one; returns how many a second, connected and warm."""
    for _ in range(min(_WARM, number - 1)):
        single(kind, 0.0)
    left = number - min(_WARM, number - 1)
    begun = time.perf_counter()
    for _ in range(left):
        single(kind, 0.0)
    return left / (time.perf_counter() - begun)


def in_bulk(bulk: Bulk, kind: str, number: int) -> float:
    """Send tasks a thousand a call; returns how many a second."""
    begun = time.perf_counter()
    for sent in range(0, number, CHUNK):
        bulk(kind, min(CHUNK, number - sent))
    return number / (time.perf_counter() - begun)


def trickle(single: Single, rate: float, seconds: float) -> None:
    """Send tasks that note how late they are started, at an even rate; before them, at the same rate, some that do not."""
    begun = time.perf_counter()
    for i in range(TRICKLE_WARM + round(rate * seconds)):
        pause = begun + i / rate - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        single("empty" if i < TRICKLE_WARM else "stamp", time.time())


if __name__ == "__main__":
    main()
