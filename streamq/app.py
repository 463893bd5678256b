"""`App`: what a program that uses streamq has one of: its tasks, and the queue that they are sent to.

    app = App("images")                  # config.yaml, STREAMQ_URL or the embedded server, as the commands have it

Making an `App` reads nothing and connects to nothing, so a module with tasks can be imported anywhere; both happen when
something is first sent or asked. Any thread and any coroutine may use it, after a fork too. In a worker every app that names no
server itself sends to the server that the worker takes from (`adopt`).
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, overload

import msgspec

from streamq import process
from streamq.definition import Options as TaskOptions
from streamq.definition import TaskDefinition
from streamq.errors import InvalidTask, UsageError
from streamq.keys import is_name
from streamq.options import only
from streamq.prepared import Options, Prepared, form_of, prepare, resolve
from streamq.registry import Registry
from streamq.signature import encode_hook
from streamq.task import AsyncTask, Task, bind
from streamq.wire import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import timedelta
    from types import TracebackType
    from typing import Self

    from streamq.config import Settings
    from streamq.job import Job
    from streamq.producer import Sent
    from streamq.queue import Queue
    from streamq.waiters import Waiters

    Duration = float | str | timedelta

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_encode = msgspec.json.Encoder(enc_hook=encode_hook).encode
_adopted: Settings | None = None


def adopt(settings: Settings) -> None:
    """Make these settings those of every app of this process that says nothing of a server itself; called by the worker."""
    global _adopted  # noqa: PLW0603 - one worker a process, and its modules make apps at import
    _adopted = settings


class _made_once(Generic[T]):  # noqa: N801 - a decorator
    """A property that is made at its first use; a fork waits until it is."""

    def __init__(self, make: Callable[[App], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, app: App, owner: type | None = None) -> T:
        with process.unforked:
            if self._name not in app.__dict__:
                app.__dict__[self._name] = self._make(app)
            made: T = app.__dict__[self._name]
        return made


class App:
    """Tasks and their queue.

    Args:
        queue: name of the queue; None: the configured one.
        url: the server; None: the configured one.
        config: the configuration's file; None: `STREAMQ_CONFIG`, else the `config.yaml` found upward.
        data: the data directory of the embedded server.
        settings: a configuration that has been loaded, instead of all others.

    Raises:
        UsageError: the name is no name of a queue, or a path is none.
    """

    def __init__(
        self,
        queue: str | None = None,
        *,
        url: str | None = None,
        config: str | os.PathLike[str] | None = None,
        data: str | os.PathLike[str] | None = None,
        settings: Settings | None = None,
    ) -> None:
        if queue is not None and not is_name(queue):
            raise UsageError(f"{queue!r} is no name of a queue", hint="1 to 64 letters, digits, dots, hyphens and underscores.")
        for name, path in (("config", config), ("data", data)):
            if path is not None and not isinstance(path, str | os.PathLike):
                raise UsageError(f"{name}: expected a path, not {path!r}")
        #: Name of the queue as it was given; None: the configured one.
        self.queue_name = queue
        #: The tasks.
        self.registry = Registry()
        self._given = settings
        self._config = config
        self._overrides = {"server.url": url, "server.data": None if data is None else str(data), "queue.name": queue}

    @_made_once
    def settings(self) -> Settings:
        """The configuration in force.

        Raises:
            ConfigError: it has faults.
        """
        if self._given is not None:
            return self._given
        names_server = self._config or self._overrides["server.url"] or self._overrides["server.data"]
        if _adopted is not None and not names_server:
            return _adopted
        from streamq.config import load

        return load(self._config, self._overrides)

    @_made_once
    def queue(self) -> Queue:
        """The queue."""
        from streamq.queue import Queue

        return Queue(self.settings, self.queue_name)

    @_made_once
    def waiters(self) -> Waiters:
        """Those who wait for tasks of the queue."""
        from streamq.waiters import Waiters

        return Waiters(self.queue)

    @_made_once
    def _job(self) -> Callable[[Sent], Job[Any]]:
        from streamq.job import Job

        return functools.partial(Job, self)

    # Tasks

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, /, **options: Unpack[TaskOptions]) -> _Decorator: ...
    def task(self, function: Callable[..., Any] | None = None, /, **options: Unpack[TaskOptions]) -> Any:
        """Make a function a task: `@app.task`, or `@app.task(retries=5, …)`.

        Args:
            function: the handler, sync or async.
            options: `name`; `retries` or `max_deliveries`; `backoff` (see `streamq.backoff`); `retry_on`: the errors after which
                it is tried again; `timeout`: longest run.

        Raises:
            UsageError: an option or the signature makes no sense, or another function has this name.
        """
        only(options, TaskOptions.__annotations__)

        def make(handler: Callable[..., Any]) -> Task[..., Any]:
            return bind(self, self.registry.add(TaskDefinition(handler, **options)))

        return make if function is None else make(function)

    # Sending

    def enqueue(self, task: Prepared[R]) -> Job[R]:
        """Send one prepared task; as `Task.enqueue`."""
        return self._job(self.queue.send(task))

    async def aenqueue(self, task: Prepared[R]) -> Job[R]:
        """Send one prepared task from a coroutine; as `Task.enqueue`."""
        return self._job(await _in_thread(functools.partial(self.queue.send, task)))

    def enqueue_many(
        self, tasks: Iterable[Prepared[R]], *, on_full: str | None = None, timeout: Duration | None = None
    ) -> list[Job[R]]:
        """Send many prepared tasks in few round trips.

        Args:
            tasks: what `Task.prepare` returned; read as they are sent.
            on_full: `block` or `reject`; None: as the configuration says.
            timeout: how long to wait in all for room in a full queue; None: without end.

        Raises:
            InvalidTask: one of the tasks cannot be prepared.
            QueueFull, Unconfirmed, ServerError: as `Task.enqueue`; `ids` of the error are those that had been accepted. Of any
                other exception, `KeyboardInterrupt` among them, a note tells how many that were, and which.
        """
        return list(map(self._job, self.queue.send_many(tasks, on_full=on_full, timeout=timeout)))

    async def aenqueue_many(
        self,
        tasks: Iterable[Prepared[R]],
        *,
        on_full: str | None = None,
        timeout: Duration | None = None,  # noqa: ASYNC109
    ) -> list[Job[R]]:
        """Send many prepared tasks from a coroutine; as `enqueue_many`. Cancelled, it sends no more than is under way."""
        send = functools.partial(self.queue.send_many, tasks, on_full=on_full, timeout=timeout)
        return list(map(self._job, await _in_thread(send)))

    def send(self, task: str, /, **args: Any) -> Job[Any]:
        """Send a task by its name; the arguments are checked where this app knows the task.

        Raises:
            InvalidTask: the arguments do not fit, or are no JSON.
            QueueFull, Unconfirmed, ServerError: as `Task.enqueue`.
        """
        return self.enqueue(self.prepare(task, args))

    async def asend(self, task: str, /, **args: Any) -> Job[Any]:
        """Send a task by its name from a coroutine; as `send`."""
        return await self.aenqueue(self.prepare(task, args))

    def send_many(self, task: str, calls: Iterable[Mapping[str, Any]], /, **options: Unpack[Options]) -> list[Job[Any]]:
        """Send a task by its name many times in few round trips.

        Args:
            task: its name.
            calls: the arguments of each.
            options: as of `Task.options`.

        Raises:
            InvalidTask, QueueFull, Unconfirmed, ServerError: as `enqueue_many`.
        """
        if not isinstance(calls, Iterable):
            raise UsageError(f"task {task}: expected the arguments of each call, one after another, not {type(calls).__name__}")
        return self.enqueue_many(self.prepare(task, args, **options) for args in calls)

    def prepare(self, task: str, args: Mapping[str, Any], /, **options: Unpack[Options]) -> Prepared[Any]:
        """Return a task by its name, ready to be sent.

        Args:
            task: its name.
            args: its arguments; checked where this app knows the task.
            options: as of `Task.options`.

        Raises:
            InvalidTask: the arguments do not fit, or are no JSON.
            UsageError: an option makes no sense.
        """
        definition = self.registry.get(check_name(task))
        if not isinstance(args, Mapping):
            raise InvalidTask(f"task {task}: the arguments are values by name, not {type(args).__name__}")
        if definition is not None:
            return Prepared(form_of(task, resolve(options)), definition.encode((), args))
        try:
            return prepare(task, _encode(dict(args)), resolve(options))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidTask(f"task {task}: the arguments cannot be written as JSON: {error}") from None

    def job(self, id: str, /) -> Job[Any]:  # noqa: A002 - what it is called everywhere
        """Return the job of an id, to ask for its state or result.

        Raises:
            UsageError: the id has not the form of one.
        """
        with process.unforked:
            from streamq.producer import Sent
            from streamq.queue import check_id

        check_id(id)
        return self._job(Sent(id))

    # Life

    def close(self) -> None:
        """Close the connections; the app can be used as before."""
        if "waiters" in self.__dict__:
            self.waiters.close()
        if "queue" in self.__dict__:
            self.queue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<App {self.queue_name or '(the configured queue)'}>"


class _Decorator:
    """What `app.task(…)` returns, for type checkers."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...
    def __call__(self, function: Callable[..., Any], /) -> Any: ...


async def _in_thread(send: Callable[..., T]) -> T:
    """Send in a thread; a coroutine that is cancelled stops it there too."""
    with process.unforked:
        import asyncio

    stop = threading.Event()
    try:
        return await asyncio.to_thread(send, stop=stop)
    except asyncio.CancelledError:
        stop.set()
        raise
