"""A producer under chaos: sends tasks of all kinds at a steady pace, single and in bulk, until it is asked to stop.

    python -m tests.chaos.producer URL QUEUE SEED FIRST PACE

It numbers its tasks from FIRST on, and writes to the ledger in its folder what it is about to send and what it was told.
"""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamq import App, ServerError
from streamq.config import load
from streamq.errors import Unconfirmed
from streamq.prepared import Prepared
from tests.chaos.kinds import INNOCENT_LIMIT, KINDS, LEASE
from tests.chaos.ledger import Accepted, Ledger, Refused, Send, Unknown

#: Most tasks of one call; below what the server adds in one script, so that a call is accepted whole or not at all.
BULK = 200


def draw(rng: random.Random) -> str:
    """A kind, by its share."""
    return rng.choices(list(KINDS), [kind.share for kind in KINDS.values()])[0]


def arguments(kind: str, n: int, rng: random.Random) -> dict[str, Any]:
    """What a task of this kind is sent with."""
    more: dict[str, dict[str, Any]] = {
        "w": {"ms": rng.choice((0, 0, 1, 5, 20))},
        "a": {"ms": rng.choice((0, 1, 10, 50))},
        "f": {"times": rng.choice((1, 1, 2, 3))},
        "l": {"seconds": LEASE * rng.uniform(1.2, 2)},
        "g": {"seconds": LEASE * 1.2},
        "p": {"how": rng.choice(("kill", "segv", "exit", "abort"))},
        "i": {"source": f"{rng.randrange(8)}.jpg", "output": f"{n}.png"},
    }
    return {"n": n, **more.get(kind, {})}


def options(kind: str, n: int, rng: random.Random) -> dict[str, Any]:
    """How it is sent."""
    limit = KINDS[kind].limit or INNOCENT_LIMIT
    chosen: dict[str, Any] = {"max_deliveries": limit, "priority": rng.choice(("high", "default", "default", "low"))}
    if rng.random() < 0.1:
        chosen["delay"] = rng.uniform(0.01, 4)
    if rng.random() < 0.05:
        chosen["unique"] = f"key-{n}"
    return chosen


def task(app: App, kind: str, n: int, rng: random.Random) -> Prepared[Any]:
    """A task, ready to be sent."""
    return app.prepare(KINDS[kind].task, arguments(kind, n, rng), **options(kind, n, rng))


class Sender:
    """Sends, and tells the ledger.

    Args:
        app: whose queue it sends to.
        ledger: what it writes to.
        rng: where all chance comes from.
        first: number of its first task.
    """

    def __init__(self, app: App, ledger: Ledger, rng: random.Random, first: int) -> None:
        self._app = app
        self._ledger = ledger
        self._rng = rng
        self._next = first

    def send(self, many: int) -> None:
        """Send so many tasks in one call."""
        first, self._next = self._next, self._next + many
        kinds = "".join(draw(self._rng) for _ in range(many))
        tasks = [task(self._app, kind, first + i, self._rng) for i, kind in enumerate(kinds)]
        self._ledger.write(Send, first, kinds)
        ids: list[str] = []
        try:
            jobs = [self._app.enqueue(tasks[0])] if many == 1 else self._app.enqueue_many(tasks)
            ids = [job.id for job in jobs]
        except Unconfirmed as error:
            ids = list(error.ids)
            self._ledger.write(Unknown, first + len(ids), many - len(ids), str(error))
        except ServerError as error:
            ids = list(error.ids)
            self._ledger.write(Refused, first + len(ids), many - len(ids), str(error))
        if ids:
            self._ledger.write(Accepted, first, ids)


def main() -> None:
    """Send until SIGTERM."""
    url, queue, seed, first, pace = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    rng = random.Random(seed)  # noqa: S311 - to be repeated
    settings = load("config.yaml", {"server.url": url, "queue.name": queue})
    with App(settings=settings) as app:
        sender = Sender(app, Ledger(Path("ledger")), rng, int(first))
        due = time.monotonic()
        for many in _sizes(rng):
            sender.send(many)
            due = max(due + many / float(pace), time.monotonic() - 1)  # what was missed for long is not caught up with
            if stop.wait(max(0.0, due - time.monotonic())):
                break


def _sizes(rng: random.Random) -> Iterator[int]:
    """How many tasks each call sends."""
    while True:
        yield from [1] * rng.randrange(1, 30)
        yield from (rng.randrange(2, BULK) for _ in range(rng.randrange(1, 4)))


if __name__ == "__main__":
    main()
