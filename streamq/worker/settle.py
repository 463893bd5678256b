"""The settler: ends runs in groups.

One script call is under way while the next group gathers, so that a thousand small tasks cost tens of
round trips and a single one waits for nobody.

It alone acts on endings: finished, parked for a retry, buried, handed back. Each carries its fence; what the server refuses
was another worker's by then, and is logged and forgotten. While the server is away it waits and sends the same again:
repeating is safe, for a group that was settled before the reply was lost is refused the second time.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from streamq import backoff, results
from streamq.errors import LeaseLost, StreamqError
from streamq.histogram import bucket
from streamq.server.patience import waiting
from streamq.server.reply import CannotPersist, MemoryFull, ReplyLost
from streamq.transitions import SETTLE_MOST, Bury, Park
from streamq.verdict import Verdict, decide
from streamq.worker.lifeline import rss_bytes
from streamq.worker.table import Counters

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.backoff import Backoff
    from streamq.registry import TaskDefinition
    from streamq.transitions import Transitions
    from streamq.worker.run import Run
    from streamq.worker.shared import Shared

_log = logging.getLogger("streamq.worker")
T = TypeVar("T")


class Finished(NamedTuple):
    """A run whose handler has returned."""

    run: Run
    result: bytes | None
    seconds: float
    ended_ms: int


class Failed(NamedTuple):
    """A run whose handler has raised."""

    run: Run
    error: BaseException
    ended_ms: int


Ending = Finished | Failed | Park | Bury


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
        self._on_fatal = shared.on_fatal
        settings = shared.settings
        self._patience = settings.worker.patience
        self._backoff = backoff.from_config(settings.worker.backoff)
        self._result_ttl_ms = int(settings.worker.results * 1000)
        self._queue: queue.SimpleQueue[Ending | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="settler", daemon=True)
        self._done = self._errors = 0
        self._rss_at = 0.0
        self._rss = 0

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Settles what has been put, then ends."""
        self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def backoff_of(self, definition: TaskDefinition) -> Backoff:
        """The pauses between the tries of a task."""
        return definition.backoff or self._backoff

    def finished(self, run: Run, result: bytes | None, seconds: float) -> None:
        """A handler has returned."""
        self._queue.put(Finished(run, result, seconds, self._clock.ms()))

    def failed(self, run: Run, error: BaseException) -> None:
        """A handler has raised."""
        self._queue.put(Failed(run, error, self._clock.ms()))

    def put(self, ending: Park | Bury) -> None:
        """A task that was never started is parked or buried."""
        self._queue.put(ending)

    def _work(self) -> None:
        ended = False
        while not ended:
            batch: list[Ending] = []
            item = self._queue.get()
            while item is not None:
                batch.append(item)
                if len(batch) == SETTLE_MOST:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            ended = item is None
            try:
                self._settle(batch)
            except StreamqError as error:
                self._on_fatal(error)
                return

    def _settle(self, batch: list[Ending]) -> None:
        finished = [ending for ending in batch if isinstance(ending, Finished)]
        if finished:
            self._finish(finished)
        parks: list[Park] = []
        for ending in batch:
            if isinstance(ending, Failed):
                decided = self._decide(ending)
                if decided is None:
                    self._held.pop(ending.run.address, None)
                elif isinstance(decided, Park):
                    parks.append(decided)
                else:
                    self._bury(decided)
            elif isinstance(ending, Park):
                parks.append(ending)
            elif isinstance(ending, Bury):
                _log.error("%s %s: dead (%s): %s", ending.task, ending.address, ending.reason, ending.error)
                self._bury(ending)
        if parks:
            refused, _ = self._repeat(lambda: self._transitions.park(self._consumer, parks))
            self._note_refused(refused, "hand-back")
            for park in parks:
                self._held.pop(park.address, None)
        self._count()

    def _finish(self, group: list[Finished]) -> None:
        fences: list[str | int] = []
        lines: list[str] = []
        extras: list[str | bytes | int] = []
        with_result: list[str] = []
        buckets: dict[str, int] = {}
        seconds = 0.0
        for index, (run, result, took, ended_ms) in enumerate(group, 1):
            task = run.task
            fences += (run.address, run.count)
            run_ms = took * 1000
            seconds += took
            lines.append(f"{task.id}\tfinished\t{run.started_ms}\t{run_ms:.1f}\t{run.deliveries}\t{task.name.replace(' ', '_')}")
            for name in (f"w{bucket(run.wait_ms)}", f"r{bucket(run_ms)}"):
                buckets[name] = buckets.get(name, 0) + 1
            if result is not None or run.attempts or task.key or task.id != run.address:
                kept = self._result(run, result, ended_ms) if result is not None or run.attempts else b""
                extras += (index, task.id, task.key or "", kept)
                if kept:
                    with_result.append(task.id)
        text = " ".join(f"{name} {n}" for name, n in buckets.items())
        refused, repeated = self._repeat(
            lambda: self._transitions.settle(
                self._consumer, self._worker, self._result_ttl_ms, "\n".join(lines), text, fences, extras, with_result
            )
        )
        if not repeated:
            self._note_refused(refused, "result")
        for ending in group:
            self._held.pop(ending.run.address, None)
        self._prefetch.note(seconds, len(group))
        self._done += len(group) - len(refused)

    def _result(self, run: Run, result: bytes | None, ended_ms: int) -> bytes:
        return results.encode(
            result,
            attempts=run.attempts.split(b"\n") if run.attempts else [],
            worker=self._worker,
            started_ms=run.started_ms,
            ended_ms=ended_ms,
            deliveries=run.deliveries,
        )

    def _decide(self, ending: Failed) -> Park | Bury | None:
        """What becomes of a run whose handler has raised; None: it was no longer ours."""
        run, error, ended_ms = ending
        if run.lost or isinstance(error, LeaseLost):
            self._note_refused([run.address], "result")
            return None
        self._errors += 1
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
        attempt = self._attempt(run, verdict, ended_ms)
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
            not_started=False,
            task=run.task.name,
        )

    def _attempt(self, run: Run, verdict: Verdict, ended_ms: int) -> bytes:
        return msgspec.json.encode(
            {
                "delivery": run.deliveries,
                "worker": self._worker,
                "started_ms": run.started_ms,
                "ended_ms": ended_ms,
                "error": verdict.error,
            }
        )

    def _bury(self, letter: Bury) -> None:
        kept, repeated = self._repeat(lambda: self._transitions.bury(self._consumer, self._worker, letter))
        if not kept and not repeated:
            self._note_refused([letter.address], "burial")
        self._held.pop(letter.address, None)

    def _note_refused(self, addresses: list[str], what: str) -> None:
        for address in addresses:
            _log.warning("%s: lease lost, %s refused: another worker has the task, or it was cancelled", address, what)

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

        return waiting(once, self._patience, also=(CannotPersist, MemoryFull)), lost

    def _count(self) -> None:
        now = time.monotonic()
        if now - self._rss_at > 1:
            self._rss_at, self._rss = now, rss_bytes()
        self._table.count(Counters(self._done, self._errors, 0, self._rss))
