"""A task that was sent: its state, its result, and its end.

    job = resize.enqueue("a.jpg")
    job.result(timeout="30s")        # waits; a failed task raises TaskFailed with the traceback of the worker
    await job                        # the same in a coroutine

A `Job` is an id and where to ask; it can be made again from the id alone (`app.job(id)`). Programs make a million of them, so
nothing is made ready but what is asked for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

import msgspec

from streamq import process
from streamq.errors import ResultTimeout, TaskFailed, TaskUnknown
from streamq.producer import Sent
from streamq.server.patience import waiting
from streamq.units import duration, seconds

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import timedelta

    from streamq.browse import Record, State
    from streamq.definition import TaskDefinition
    from streamq.queue import Queue
    from streamq.registry import Registry
    from streamq.waiters import Waiters

    Duration = float | str | timedelta

R = TypeVar("R")


class Home(Protocol):
    """Where a task was sent to (`App`)."""

    #: Its result is made into what the handler says that it returns, where the task is in here.
    registry: Registry

    @property
    def queue(self) -> Queue:
        """The queue that it was sent to."""

    @property
    def waiters(self) -> Waiters:
        """Those who wait for tasks of that queue."""


class Job(msgspec.Struct, Generic[R], frozen=True, eq=False, gc=False):
    """A task that was sent; R is what its handler returns. Any thread may use it. Made by `App`."""

    _home: Home
    _sent: Sent

    @property
    def id(self) -> str:
        """The task's id."""
        return self._sent.id

    @property
    def is_new(self) -> bool:
        """False: a task with the same unique key had not ended yet, and this is that one."""
        return self._sent.is_new

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
        waiters = self._home.waiters
        future = waiters.add(self.id)
        try:
            return self._outcome(future.result(None if timeout is None else seconds(timeout)))
        except TimeoutError:
            raise self._not_yet(timeout) from None
        finally:
            waiters.forget(self.id, future)

    async def aresult(self, timeout: Duration | None = None) -> R:  # noqa: ASYNC109 - the same signature as result
        """Wait for the task to end, and return its result: `result` for coroutines."""
        with process.unforked:
            import asyncio

        waiters = self._home.waiters
        future = waiters.add(self.id)
        try:
            async with asyncio.timeout(None if timeout is None else seconds(timeout)) as limit:
                record = await asyncio.wrap_future(future)
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._not_yet(timeout) from None
        finally:
            waiters.forget(self.id, future)
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
        with process.unforked:
            from streamq import browse

        queue = self._home.queue
        limit = queue.settings.worker.max_deliveries
        with queue.transitions() as transitions:
            return waiting(lambda: browse.find(transitions, [self.id], max_deliveries=limit)[0], queue.wait)

    def cancel(self) -> bool:
        """Cancel the task; True: it had not ended, and will not be run, nor finish where it runs.

        Raises:
            Unconfirmed: the reply was lost.
            ServerError: the server is away.
        """
        return self._home.queue.cancel(self.id) in {"cancelled", "running"}

    def _outcome(self, record: Record) -> R:
        """The result of a task that has ended, or the error that stands for its end."""
        if record.state == "unknown":
            raise TaskUnknown(
                f"nothing is known of task {self.id}", hint="It was never sent to this queue, or it ended long ago."
            )
        if record.state != "finished":
            raise TaskFailed(self.id, record.state, record.error, record.traceback)
        if record.result is None and self._may_be_gone(record):
            kept = duration(self._home.queue.settings.worker.results)
            raise TaskUnknown(f"task {self.id} has finished, but results are kept for {kept} only", hint="Raise worker.results.")
        definition = self._definition
        return cast("R", record.result if definition is None else definition.load(record.result))

    @property
    def _definition(self) -> TaskDefinition | None:
        return self._home.registry.get(self._sent.task)

    def _may_be_gone(self, record: Record) -> bool:
        """Whether a task that left no result may have left one that is gone by now: nothing else tells None from that."""
        if self._definition is not None and self._definition.result_type is type(None):
            return False
        kept = self._home.queue.settings.worker.results
        return record.ended_ms is not None and time.time() * 1000 - record.ended_ms > kept * 1000

    def _not_yet(self, timeout: Duration | None) -> ResultTimeout:
        return ResultTimeout(f"task {self.id} has not ended within {duration(seconds(timeout))}; it goes on")

    def __repr__(self) -> str:
        return f"<Job {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and (other.id, other._home.queue.name) == (self.id, self._home.queue.name)

    def __hash__(self) -> int:
        return hash(self.id)
