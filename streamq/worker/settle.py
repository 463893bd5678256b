"""The settler: ends runs in groups.

One script call is under way while the next group gathers, so that a thousand small tasks cost tens of
round trips and a single one waits for nobody.

It alone acts on endings: finished, parked for a retry, buried, handed back. Each carries its fence; what the server refuses
was another worker's by then, and is logged and forgotten. While the server is away it waits and sends the same again:
repeating is safe, for a group that was settled before the reply was lost is refused the second time.
"""

from __future__ import annotations

import collections
import logging
import queue
import time
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from streamq import results
from streamq.errors import LeaseLost, StreamqError
from streamq.histogram import counts
from streamq.server.patience import waiting
from streamq.server.reply import FULL, ReplyLost
from streamq.transitions import SETTLE_MOST, Bury, Park
from streamq.verdict import Verdict, decide
from streamq.worker.complaint import tell_of
from streamq.worker.lifeline import rss_bytes
from streamq.worker.part import Part
from streamq.worker.pauses import Pauses
from streamq.worker.run import Run
from streamq.worker.table import Counters

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.backoff import Backoff
    from streamq.registry import TaskDefinition
    from streamq.transitions import Transitions
    from streamq.worker.shared import Shared

_log = logging.getLogger("streamq.worker")
T = TypeVar("T")


Ending = Run | Park | Bury
#: With more than so many endings unsettled nothing new is taken: settling is what is too slow.
BEHIND: Final = 6 * SETTLE_MOST
#: Of a larger group every second or third run time is noted, and so on: so many tell as much as all of them.
SAMPLE: Final = 64


class Settler:
    """The settling thread of a process.

    Args:
        transitions: on a connection of its own.
        shared: of the process.
    """

    def __init__(self, transitions: Transitions, shared: Shared) -> None:
        self._transitions = transitions
        self._consumer = shared.consumer
        self._worker = shared.worker
        self._clock = shared.clock
        self._held = shared.held
        self._table = shared.table
        self._prefetch = shared.prefetch
        self._room = shared.room
        self._on_fatal = shared.on_fatal
        settings = shared.settings
        self._patience = settings.worker.patience
        self._pauses = Pauses(settings)
        self._result_ttl_ms = int(settings.worker.results * 1000)
        self._endings: collections.deque[Ending] = collections.deque()
        self._waiting = False
        self._stopped = False
        #: It cannot settle anything any more.
        self.has_failed = False
        self._bell: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = Part(self._work, "settler")
        self._done = self._errors = 0
        self._rss_at = 0.0
        self._rss = 0

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Settles what has been put, then ends."""
        self._stopped = True
        self._bell.put(True)
        self._thread.finish()

    def backoff_of(self, definition: TaskDefinition) -> Backoff:
        """The pauses between the tries of a task."""
        return self._pauses.of(definition)

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be settled that nothing more should be started."""
        return len(self._endings) > BEHIND

    def ended(self, run: Run) -> None:
        """A handler has returned or raised, as its run says: only its settling is left."""
        run.row = self._table.end(run.row)
        run.ended = True
        self.put(run)

    def hand_back(self, run: Run) -> None:
        """A run has not begun, and will not."""
        run.ended = run.handed_back = True
        self.put(run)

    def _let_go(self, runs: list[Run]) -> None:
        """These are settled: this process has them no more. A task may have another run here by now, which stays."""
        held, rows = self._held, []
        for run in runs:
            if held.get(run.address) is run:
                del held[run.address]
            if run.row >= 0:
                rows.append(run.row)
        self._table.clear(rows)

    def put(self, ending: Ending) -> None:
        """A run has ended, or a task that was never started is to be parked or buried."""
        self._endings.append(ending)
        if self._waiting:
            self._waiting = False
            self._bell.put(True)

    def _work(self) -> None:
        while not (self._stopped and not self._endings):
            group = self._gather()
            try:
                self._settle(group)
            except StreamqError as error:
                self.has_failed = True
                self._on_fatal(error)
                return

    def _gather(self) -> list[Ending]:
        """Waits for an ending, and takes all that there are: while one group is being settled the next one gathers."""
        if not self._endings:
            self._waiting = True
            if not self._endings and not self._stopped:
                self._bell.get()
            self._waiting = False
        return [self._endings.popleft() for _ in range(min(len(self._endings), SETTLE_MOST))]

    def _settle(self, group: list[Ending]) -> None:
        finished: list[Run] = []
        parks: list[Park] = []
        letters: list[Bury] = []
        for ending in group:
            if not isinstance(ending, Run):
                decided = ending
            elif ending.error is None and not ending.handed_back:
                finished.append(ending)
                continue
            else:
                decided = self._decide(ending)
            if isinstance(decided, Park):
                parks.append(decided)
            else:
                letters.append(decided)
        if finished:
            self._finish(finished)
        if parks:
            refused, _ = self._repeat(lambda: self._transitions.park(self._consumer, parks))
            told = {ending.address for ending in group if isinstance(ending, Run) and ending.lost}
            self._note_refused([address for address in refused if address not in told], "hand-back")
        for letter in letters:
            self._bury(letter)
        self._let_go(finished if len(finished) == len(group) else [ending for ending in group if isinstance(ending, Run)])
        if not self._held or SETTLE_MOST < len(self._endings) <= BEHIND:
            self._room.set()  # the fetcher may wait for just this
        self._count()

    def _finish(self, group: list[Run]) -> None:
        lines: list[str] = []
        extras: list[str | bytes | int] = []
        with_result: list[str] = []
        for index, run in enumerate(group, 1):
            task = run.task
            lines.append(f"{task.id}\tfinished\t{run.started_ms}\t{run.seconds * 1000:.1f}\t{run.deliveries}\t{task.name}")
            if run.result is not None or run.attempts or task.key or task.id != run.address:
                kept = self._result(run) if run.result is not None or run.attempts else b""
                extras += (index, task.id, task.key or "", kept)
                if kept:
                    with_result.append(task.id)
        fences = [(run.address, run.count) for run in group]
        seconds = [run.seconds for run in group]
        waits, times = counts(run.wait_ms for run in group), counts(each * 1000 for each in seconds)
        counted = [f"w{i} {n}" for i, n in waits.items()] + [f"r{i} {n}" for i, n in times.items()]
        refused, repeated = self._repeat(
            lambda: self._transitions.settle(
                self._consumer,
                self._worker,
                self._result_ttl_ms,
                "\n".join(lines),
                " ".join(counted),
                fences,
                extras,
                with_result,
            )
        )
        if not repeated:
            self._note_refused(refused, "result")
        sample = slice(None, None, 1 + len(group) // SAMPLE)
        self._prefetch.note([run.task.name for run in group[sample]], seconds[sample])
        self._done += len(group) - len(refused)

    def _result(self, run: Run) -> bytes:
        return results.encode(
            run.result,
            attempts=run.attempts.split(b"\n") if run.attempts else [],
            worker=self._worker,
            started_ms=run.started_ms,
            ended_ms=run.started_ms + round(run.seconds * 1000),
            deliveries=run.deliveries,
        )

    def _decide(self, run: Run) -> Park | Bury:
        """What becomes of a run that did not finish. One that was lost is handed back, should it be ours again by now."""
        error = run.error
        if error is None or run.lost or isinstance(error, LeaseLost):
            return Park(run.address, run.count, 0, "release")
        verdict = decide(
            error,
            deliveries=run.deliveries,
            limit=run.limit,
            backoff=self.backoff_of(run.definition),
            retry_on=run.definition.retry_on,
        )
        name = f"{run.task.name} {run.task.id}"
        if verdict.kind == "snooze":
            _log.info("%s: put off for %.1f s: %s", name, verdict.delay_ms / 1000, verdict.error)
            return Park(run.address, run.count, verdict.delay_ms, "snooze", b"")
        self._errors += 1
        attempt = self._attempt(run, verdict)
        if verdict.kind == "retry":
            pause = verdict.delay_ms / 1000
            _log.warning("%s: failed (%d of %d), again in %.1f s: %s", name, run.deliveries, run.limit, pause, verdict.error)
            return Park(run.address, run.count, verdict.delay_ms, "retry", attempt)
        _log.error("%s: dead after %d of %d: %s", name, run.deliveries, run.limit, verdict.error)
        if verdict.traceback:
            _log.debug("%s", verdict.traceback)
        return Bury(
            run.address,
            run.count,
            verdict.reason,
            verdict.error,
            verdict.traceback,
            attempt,
            failed=True,
            not_started=run.regained,
            task=run.task.name,
        )

    def _attempt(self, run: Run, verdict: Verdict) -> bytes:
        return msgspec.json.encode(
            {
                "delivery": run.deliveries,
                "worker": self._worker,
                "started_ms": run.started_ms,
                "ended_ms": run.ended_ms,
                "error": verdict.error,
            }
        )

    def _bury(self, letter: Bury) -> None:
        if letter.not_started:
            _log.error("%s %s: dead (%s): %s", letter.task, letter.address, letter.reason, letter.error)
        kept, repeated = self._repeat(lambda: self._transitions.bury(self._consumer, self._worker, letter))
        if not kept and not repeated:
            self._note_refused([letter.address], "burial")

    def _note_refused(self, addresses: list[str], what: str) -> None:
        tell_of(
            addresses,
            f"lease lost, {what} refused: another worker has the task, or it was cancelled",
            f"leases lost, each {what} refused: other workers have the tasks, or they were cancelled",
        )

    def _repeat(self, call: Callable[[], T]) -> tuple[T, bool]:
        """Calls until the server is there; says whether an earlier call may have been executed."""
        lost = False

        def once() -> T:
            nonlocal lost
            try:
                return call()
            except ReplyLost:
                lost = True
                raise

        return waiting(once, self._patience, also=FULL), lost

    def _count(self) -> None:
        now = time.monotonic()
        if now - self._rss_at > 1:
            self._rss_at, self._rss = now, rss_bytes()
        self._table.count(Counters(self._done, self._errors, 0, self._rss))
