"""What workers have done with their slots, beside what an ideal scheduler would have done with the same runs.

All of it is taken from one run of the workers: how long each task ran, how soon a slot went from one to the next where nothing
was in its way, and from the server's pending lists who held what, and since when. So a slow machine slows both sides.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from streamq.keys import GROUP, STREAMS
from tests.conftest import wait_until
from tests.workshop import Workshop

#: A pending list is longer than this in no test.
ALL = 100_000


class Held(NamedTuple):
    """A task in a worker's hands that has not started: since when, until when."""

    n: int
    worker: str
    since: float
    until: float


class Span(NamedTuple):
    """A run of a task, and how long its slot had been free before; None: it was the slot's first."""

    n: int
    worker: str
    start: float
    end: float
    gap: float | None


class Watch:
    """Looks at the pending lists again and again, until so many tasks have ended.

    Args:
        shop: where the workers are.
    """

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._ids: dict[str, int] = {}
        #: (task, hand-out) -> worker, when it was handed out, when it was last seen in its hands.
        self._seen: dict[tuple[int, int], tuple[str, float, float]] = {}

    def send(self, task: str, numbers: Sequence[int], ms: float = 0, **options: object) -> None:
        """Sends a task for each number."""
        self._ids.update(zip(self._shop.send_numbered(task, numbers, options, ms=ms), numbers, strict=True))

    def until_ended(self, timeout: float = 120) -> None:
        """Looks on until all that was sent has ended."""
        wait_until(self._look, lambda: f"all have ended\n{self._shop.logs}", timeout)

    def _look(self) -> bool:
        commands = [("XPENDING", self._shop.keys.stream(letter), GROUP, "-", "+", ALL) for letter in STREAMS]
        for letter, pending in zip(STREAMS, self._shop.link.batch(commands), strict=True):
            now = time.monotonic()
            for entry, consumer, idle, count in pending if isinstance(pending, list) else ():
                n = self._ids.get(letter + entry.decode())
                if n is not None:
                    worker, since, _ = self._seen.get((n, count), (consumer.decode().rpartition("-")[0], now - idle / 1000, now))
                    self._seen[n, count] = worker, since, now
        return len(self._shop.lines("end")) >= len(self._ids)

    @property
    def held(self) -> list[Held]:
        """What was in a worker's hands before it started, or before it was handed back."""
        starts = {(line.n, line.hand_out): line.at for line in self._shop.lines("start")}
        return [Held(key[0], worker, since, starts.get(key, last)) for key, (worker, since, last) in self._seen.items()]

    @property
    def hand_outs(self) -> dict[int, int]:
        """How often each task was handed out until it ran."""
        return {line.n: line.hand_out for line in self._shop.lines("start")}


def spans(shop: Workshop, first: int = 0) -> list[Span]:
    """All runs of tasks from a number on; a slot is taken to be the one of its worker that has become free last."""
    ends = {line.n: line.at for line in shop.lines("end")}
    free: dict[str, list[float]] = defaultdict(list)
    running: dict[str, list[float]] = defaultdict(list)
    found = []
    for line in sorted((line for line in shop.lines("start") if line.n >= first), key=lambda line: line.at):
        while running[line.worker] and running[line.worker][0] <= line.at:
            free[line.worker].append(heapq.heappop(running[line.worker]))
        gap = line.at - free[line.worker].pop() if free[line.worker] else None
        heapq.heappush(running[line.worker], ends[line.n])
        found.append(Span(line.n, line.worker, line.at, ends[line.n], gap))
    return found


def ideal(done: Sequence[Span], slots: int, kinds: dict[int, str]) -> float:
    """When an ideal scheduler would have ended the same runs, in their order of sending, from the first start on.

    Args:
        done: the runs.
        slots: of all workers.
        kinds: to each task its kind: between two runs a slot needs as long as it mostly did before one of that kind.
    """
    gaps: dict[str, list[float]] = defaultdict(list)
    for span in done:
        gaps[kinds[span.n]] += [] if span.gap is None else [span.gap]
    turn = {kind: median(each) for kind, each in gaps.items() if each}
    free = [0.0] * slots
    for span in sorted(done):
        begun = heapq.heappop(free)
        heapq.heappush(free, begun + span.end - span.start + turn.get(kinds[span.n], 0.0))
    return max(free)


def took(done: Sequence[Span]) -> float:
    """From the first start to the last end."""
    return max(span.end for span in done) - min(span.start for span in done)


def wasted(done: Sequence[Span], held: Sequence[Held], slots: dict[str, int]) -> float:
    """For how many slot seconds a slot was free while another worker held a task that had not started."""
    changes: list[tuple[float, str, int, int]] = []
    for span in done:
        changes += [(span.start, span.worker, 1, 0), (span.end, span.worker, -1, 0)]
    for each in held:
        changes += [(each.since, each.worker, 0, 1), (each.until, each.worker, 0, -1)]
    running: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    total, last = 0.0, 0.0
    for at, worker, runs, waits in sorted(changes):
        lost = sum(min(slots[idle] - running[idle], sum(waiting[other] for other in slots if other != idle)) for idle in slots)
        total += max(0, lost) * (at - last)
        last = at
        running[worker] += runs
        waiting[worker] += waits
    return total
