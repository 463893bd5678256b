"""Tasks sent to the worker of a run, and followed until they have ended, by what the server counts."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streamq import history, stats
from streamq.bench.crew import Crew
from streamq.bench.figures import Rate
from streamq.bench.ground import TASKS_MOST
from streamq.errors import StreamqError
from streamq.server.probe import away

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streamq.history import Ending
    from streamq.prepared import Prepared
    from streamq.queue import Queue
    from streamq.stats import Stats
    from streamq.transitions import Transitions

#: Pause between two looks at the queue, in seconds.
_LOOK: Final = 0.01
#: A queue in which nothing ends for so long has come to a stop, in seconds.
_STUCK: Final = 60.0


class Sample(NamedTuple):
    """How many tasks had ended at a moment."""

    #: By `time.perf_counter()`.
    at: float
    ended: int


class Field:
    """The queue and its worker.

    Args:
        queue: the queue.
        transitions: of it, for this thread alone.
        crew: the worker.
        processes: how many processes it has.
    """

    def __init__(self, queue: Queue, transitions: Transitions, crew: Crew, processes: int) -> None:
        self._queue = queue
        self._transitions = transitions
        self._crew = crew
        self._processes = processes
        self._server = away(queue.endpoint)

    def ready(self) -> None:
        """Wait until every process of the worker may take tasks.

        Raises:
            StreamqError: the worker ended, or does not come.
        """
        for now in self._looks():
            if sum(worker.alive and worker.concurrency > 0 for worker in now.workers) >= self._processes:
                return

    def failed(self) -> int:
        """Attempts that failed so far, or whose process died."""
        now = self._look()
        return now.failed_total + now.dead_total

    def steady(self, task: Prepared[Any], many: int) -> list[Sample]:
        """Fill the queue with a task while it is paused, then let it go.

        Returns:
            Looks at it from when every process had been seen at work until nothing waited any more; where nothing
            ended between two of them, one from before the first task and one from after the last.

        Raises:
            StreamqError: the worker ended, or stands still.
        """
        self._queue.pause()
        self._queue.send_many(itertools.repeat(task, many))
        whole = [Sample(time.perf_counter(), _ended(self._look()))]
        self._queue.resume()
        samples: list[Sample] = []
        at_work: set[str] = set()
        for now in self._looks():
            at_work.update(worker.consumer for worker in now.workers if worker.running)
            sample = Sample(time.perf_counter(), _ended(now))
            if now.waiting.total and len(at_work) >= self._processes:
                samples.append(sample)
            if _is_empty(now):
                return samples if samples and samples[-1].ended > samples[0].ended else [*whole, sample]
        raise AssertionError(many)

    def run(self, tasks: Sequence[Prepared[Any]]) -> list[Ending]:
        """Send tasks at once, no more than the history keeps, and wait for the end of the last one.

        Returns:
            How each ended, the newest first.

        Raises:
            StreamqError: the worker ended, or stands still.
        """
        before = _ended(self._look())
        self._queue.send_many(tasks)
        for now in self._looks():
            if _ended(now) - before >= len(tasks):
                return list(itertools.islice(history.newest(self._transitions.link, self._transitions.keys), len(tasks)))
        raise AssertionError(tasks)

    def _looks(self) -> Iterator[Stats]:
        """The figures of the queue again and again, for as long as something happens."""
        ended, since = -1, time.monotonic()
        while True:
            now = self._look()
            yield now
            if _ended(now) != ended:
                ended, since = _ended(now), time.monotonic()
            elif time.monotonic() - since > _STUCK:
                raise StreamqError(f"nothing has ended for {_STUCK:g} s: the worker that is measured stands still")
            self._crew.check()
            time.sleep(_LOOK)

    def _look(self) -> Stats:
        return stats.parse(self._queue.name, self._transitions.stats(0), self._server)


def rate(samples: Sequence[Sample], parts: int = 3) -> Rate:
    """Tasks a second between the first and the last look; lowest and highest of so many parts of the time, at most."""
    marks = sorted({(len(samples) - 1) * i // parts for i in range(parts + 1)})
    each = [_between(samples[first], samples[last]) for first, last in itertools.pairwise(marks)]
    return Rate(round(_between(samples[0], samples[-1]), 1), round(min(each), 1), round(max(each), 1))


def took(endings: Sequence[Ending]) -> float:
    """Seconds from the first start to the last end, by the server's clock."""
    return max(1, max(each.ended_ms for each in endings) - starts(endings)[0]) / 1000


def starts(endings: Sequence[Ending]) -> list[int]:
    """When the tasks were started, in order, in ms of the server's clock."""
    return sorted(each.started_ms or each.ended_ms for each in endings)


def fitting(wanted: float) -> int:
    """A number of tasks near the one that is wanted, and within what may wait at a time."""
    return max(100, min(TASKS_MOST, round(wanted)))


def _between(first: Sample, last: Sample) -> float:
    return (last.ended - first.ended) / (last.at - first.at)


def _ended(now: Stats) -> int:
    return now.finished_total + now.dead_total


def _is_empty(now: Stats) -> bool:
    return not (now.waiting.total or now.running or now.retrying)
