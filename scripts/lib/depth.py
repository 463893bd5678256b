"""Fills a queue to a depth, by the program's own scripts: so many tasks that wait, are scheduled, wait for a retry, or are dead.

    python scripts/lib/depth.py unix:///run/redis.sock images --waiting 1000000 --scheduled 100000 --parked 100000 --dead 10000

What is parked or scheduled is due in a day at the earliest: whatever is measured meanwhile meets the depth, and nothing of it.
"""

from __future__ import annotations

import argparse
import json
import secrets
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from streamq.keys import Keys
from streamq.prepared import PLAIN, Prepared, prepare, resolve
from streamq.producer import Producer
from streamq.replies import Handed
from streamq.room import Full
from streamq.server.endpoint import Endpoint
from streamq.transitions import PARK_MOST, Bury, Park, Transitions

DAY_MS = 86_400_000
_TRACEBACK = 'Traceback (most recent call last):\n  File "tasks.py", line 12, in noop\nOSError: out of reach\n'


class Depth(NamedTuple):
    """How much a queue holds."""

    waiting: int = 1_000_000
    scheduled: int = 100_000
    parked: int = 100_000
    dead: int = 10_000


def fill(
    url: str,
    queue: str,
    *,
    waiting: int = 0,
    scheduled: int = 0,
    parked: int = 0,
    dead: int = 0,
    task: str = "noop",
    args: bytes = b"{}",
) -> None:
    """Fill a queue in which nothing waits.

    Args:
        url: of the server.
        queue: name of the queue.
        waiting: how many tasks wait in the end.
        scheduled: how many were sent with a delay of a day or more.
        parked: how many failed once and wait a day or more for their retry.
        dead: how many dead letters there are.
        task: name of the tasks.
        args: their arguments, a JSON object.

    Raises:
        ValueError: something waits in the queue, and would be taken for what was sent; or the queue is paused.
    """
    producer = Producer(Endpoint(url), Keys(queue))
    run = producer.transitions
    run.open()
    if run.remains().waiting:
        raise ValueError(f"queue {queue} cannot be filled: tasks wait in it")
    plain = prepare(task, args, PLAIN)
    _send(producer, (plain for _ in range(parked + dead)))
    _fail(run, parked, dead, task)
    delayed = (prepare(task, args, resolve({"delay": (DAY_MS + number) / 1000})) for number in range(scheduled))
    _send(producer, delayed)
    _send(producer, (plain for _ in range(waiting)))
    run.link.close()


def _send(producer: Producer, tasks: Iterable[Prepared[Any]]) -> None:
    for _ in producer.send(tasks, Full(0)):
        pass


def _fail(run: Transitions, parked: int, dead: int, task: str) -> None:
    """Take everything that waits: so many are parked for a retry, the others are buried."""
    consumer = f"filler-{secrets.token_hex(4)}"
    tasks = _taken(run, consumer, parked + dead)
    number = 0
    while some := list(islice(tasks, min(PARK_MOST, parked - number))):
        failed = [Park(each.address, each.count, DAY_MS + number + i, "retry", _attempt()) for i, each in enumerate(some)]
        run.park(consumer, failed)
        number += len(some)
    for each in tasks:
        lost = Bury(
            address=each.address,
            count=each.count,
            reason="error",
            error="OSError: out of reach",
            traceback=_TRACEBACK,
            attempt=_attempt(),
            failed=True,
            not_started=False,
            task=task,
        )
        run.bury(consumer, "filler", lost)
    run.reap(consumer, "filled")


def _taken(run: Transitions, consumer: str, most: int) -> Iterator[Handed]:
    while most > 0:
        taken = run.take(consumer, min(PARK_MOST, most), 0, "hdl")
        if not taken.tasks:
            raise ValueError(f"queue {run.keys.queue} hands nothing out: {taken.state}")
        most -= len(taken.tasks)
        yield from taken.tasks


def _attempt() -> bytes:
    """A failed attempt, as a worker writes it."""
    now = time.time_ns() // 1_000_000
    told = {"delivery": 1, "worker": "filler", "started_ms": now, "ended_ms": now, "error": "OSError: out of reach"}
    return json.dumps(told, separators=(",", ":")).encode()


def main() -> None:
    """Fills a queue, as the options say."""
    parser = argparse.ArgumentParser(prog="depth.py", description="Fills a queue to a depth.")
    parser.add_argument("url")
    parser.add_argument("queue")
    for name, number in Depth()._asdict().items():
        parser.add_argument(f"--{name}", type=int, default=number, help=f"default: {number:,}")
    options = parser.parse_args()
    begun = time.perf_counter()
    fill(options.url, options.queue, **{name: getattr(options, name) for name in Depth._fields})
    print(f"filled in {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
