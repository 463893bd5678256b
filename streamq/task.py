"""A task as a program has it: the function itself, which can also be sent.

    @app.task(retries=5)
    def resize(source: str, width: int = 800) -> dict[str, int]: ...

    resize("a.jpg")                                           # calls the function, here and now
    job = resize.enqueue("a.jpg", width=1200)                 # sends it; the arguments are checked first
    job = await resize.aenqueue("a.jpg")                      # the same in a coroutine
    job = resize.options(priority="high", delay="10m").enqueue("a.jpg")

Type checkers see the function's own signature. A handler that wants its context declares `*, ctx: Context = Context.injected`:
the default tells them that callers need not give it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, cast

from streamq.prepared import Options, Prepared, form_of, resolve

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from streamq.app import App
    from streamq.definition import TaskDefinition
    from streamq.job import Job

P = ParamSpec("P")
R = TypeVar("R")


class Task(Generic[P, R]):
    """A task of an `App`; made by `app.task`.

    Args:
        app: where it is sent to.
        definition: its function, options and check.
        options: how it is sent.
    """

    __name__: str
    __qualname__: str

    def __init__(self, app: App, definition: TaskDefinition, options: Options | None = None) -> None:
        self.app = app
        self.definition = definition
        self._options: Options = options or {}
        self._form = form_of(definition.name, resolve(self._options))
        functools.update_wrapper(self, definition.function, updated=())

    @property
    def name(self) -> str:
        """The task's name."""
        return self.definition.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, here and now."""
        return cast("R", self.definition.function(*args, **kwargs))

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Send the task.

        Raises:
            InvalidTask: the arguments do not fit the function's signature, or are no JSON.
            QueueFull: the queue is full, and the configuration says not to wait.
            Unconfirmed: it is not known whether the task was accepted.
            ServerError: it was not: the server has been away for longer than `server.wait`, cannot serve, or its memory or disk
                is full, which is not waited for; the hint says what to do.
        """
        return self.app.enqueue(self.prepare(*args, **kwargs))

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Send the task from a coroutine; as `enqueue`."""
        return await self.app.aenqueue(self.prepare(*args, **kwargs))

    def prepare(self, *args: P.args, **kwargs: P.kwargs) -> Prepared[R]:
        """Return the task ready to be sent, for `app.enqueue_many`.

        Raises:
            InvalidTask: the arguments do not fit the function's signature, or are no JSON.
        """
        return Prepared(self._form, self.definition.encode(args, kwargs))

    def options(self, **options: Unpack[Options]) -> Task[P, R]:
        """Return the task with other options of sending, on top of those that it has; the task itself is not changed.

        Args:
            options: `priority` (`high`, `default`, `low`); `delay` or `at`: when it is due; `expires`: when it is too late to
                start it; `timeout` and `max_deliveries`, which go before its own; `unique`: while a task with this key has not
                ended, sending another gives the first. Durations are seconds, `timedelta` or `"5m"`.

        Raises:
            UsageError: a value makes no sense, or two contradict each other.
        """
        return type(self)(self.app, self.definition, {**self._options, **options})

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


class AsyncTask(Task[P, R]):
    """A task whose function is async: calling it gives a coroutine."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        """Call the function itself, here and now."""
        return cast("Coroutine[Any, Any, R]", self.definition.function(*args, **kwargs))

    def options(self, **options: Unpack[Options]) -> AsyncTask[P, R]:
        """Return the task with other options of sending; see `Task.options`."""
        return cast("AsyncTask[P, R]", super().options(**options))


def bind(app: App, definition: TaskDefinition) -> Task[..., Any]:
    """Return the task that sends a definition's function."""
    return (AsyncTask if definition.is_async else Task)(app, definition)
