"""A task that was sent: its state, its result, and its end.

    job = resize.enqueue("a.jpg")
    job.result(timeout="30s")        # waits; a failed task raises TaskFailed with the traceback of the worker
    await job                        # the same in a coroutine

A `Job` is an id and where to ask; it can be made again from the id alone (`app.job(id)`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from streamq import browse
from streamq.errors import ResultTimeout, TaskFailed, TaskUnknown
from streamq.queue import check_id
from streamq.server.patience import waiting
from streamq.units import duration, seconds

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import timedelta

    from streamq.browse import Record, State
    from streamq.definition import TaskDefinition
    from streamq.queue import Queue
    from streamq.waiters import Waiters

    Duration = float | str | timedelta

R = TypeVar("R")


class Job(Generic[R]):
    """A task that was sent; R is what its handler returns. Any thread may use it.

    Args:
        queue: the queue that it was sent to.
        waiters: those who wait for tasks of that queue.
        id: the task's id.
        definition: the task, where this process knows it; its result is made into what the handler says that it returns.
        is_new: False: a task with the same unique key had not ended yet, and this is that one.

    Raises:
        UsageError: the id has not the form of one.
    """

    __slots__ = ("_definition", "_queue", "_waiters", "id", "is_new")

    def __init__(
        self,
        queue: Queue,
        waiters: Waiters,
        id: str,  # noqa: A002 - what it is called everywhere
        *,
        definition: TaskDefinition | None = None,
        is_new: bool = True,
    ) -> None:
        check_id(id)
        self._queue = queue
        self._waiters = waiters
        self._definition = definition
        self.id = id
        self.is_new = is_new

    def result(self, timeout: Duration | None = None) -> R:
        """Wait for the task to end, and return its result.

        Args:
            timeout: how long to wait; None: without end.

        Raises:
            TaskFailed: it is a dead letter, expired or was cancelled.
            TaskUnknown: there is no such task, or nothing is kept of it any more.
            ResultTimeout: the time is over; the task goes on.
            ServerError: the server was away for longer than `server.wait`.
        """
        future = self._waiters.add(self.id)
        try:
            return self._outcome(future.result(None if timeout is None else seconds(timeout)))
        except TimeoutError:
            raise self._not_yet(timeout) from None
        finally:
            self._waiters.forget(self.id, future)

    async def aresult(self, timeout: Duration | None = None) -> R:  # noqa: ASYNC109 - the same signature as result
        """Wait for the task to end, and return its result: `result` for coroutines."""
        import asyncio

        future = self._waiters.add(self.id)
        try:
            async with asyncio.timeout(None if timeout is None else seconds(timeout)) as limit:
                record = await asyncio.wrap_future(future)
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._not_yet(timeout) from None
        finally:
            self._waiters.forget(self.id, future)
        return self._outcome(record)

    def __await__(self) -> Generator[Any, None, R]:
        return self.aresult().__await__()

    def state(self) -> State:
        """Return `scheduled`, `waiting`, `running`, `retrying`, `finished`, `dead`, `cancelled`, `expired` or `unknown`.

        Raises:
            ServerError: the server is away.
        """
        return self.record().state

    def record(self) -> Record:
        """Return all that is known of the task now: arguments, attempts, times, worker, error.

        Raises:
            ServerError: the server is away.
        """
        limit = self._queue.settings.worker.max_deliveries
        with self._queue.transitions() as transitions:
            return waiting(lambda: browse.find(transitions, [self.id], max_deliveries=limit)[0], self._queue.wait)

    def cancel(self) -> bool:
        """Cancel the task; True: it had not ended, and will not be run, nor finish where it runs.

        Raises:
            Unconfirmed: the reply was lost.
            ServerError: the server is away.
        """
        return self._queue.cancel(self.id) in {"cancelled", "running"}

    def _outcome(self, record: Record) -> R:
        """The result of a task that has ended, or the error that stands for its end."""
        if record.state == "unknown":
            raise TaskUnknown(
                f"nothing is known of task {self.id}", hint="It was never sent to this queue, or it ended long ago."
            )
        if record.state != "finished":
            raise TaskFailed(self.id, record.state, record.error, record.traceback)
        if record.result is None and self._may_be_gone(record):
            kept = duration(self._queue.settings.worker.results)
            raise TaskUnknown(f"task {self.id} has finished, but results are kept for {kept} only", hint="Raise worker.results.")
        return cast("R", record.result if self._definition is None else self._definition.load(record.result))

    def _may_be_gone(self, record: Record) -> bool:
        """Whether a task that left no result may have left one that is gone by now: nothing else tells None from that."""
        if self._definition is not None and self._definition.result_type is type(None):
            return False
        return record.ended_ms is not None and time.time() * 1000 - record.ended_ms > self._queue.settings.worker.results * 1000

    def _not_yet(self, timeout: Duration | None) -> ResultTimeout:
        return ResultTimeout(f"task {self.id} has not ended within {duration(seconds(timeout))}; it goes on")

    def __repr__(self) -> str:
        return f"<Job {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and (other.id, other._queue.name) == (self.id, self._queue.name)

    def __hash__(self) -> int:
        return hash(self.id)
