"""A queue: send tasks, and what may be done to them and to it by order of a person or a program.

A `Queue` may be used by any number of threads, and after a fork; it connects when it is first used. Sends are idempotent (see
`producer.py`), and so wait for a server that restarts. What may not be repeated without harm is not: when its reply is lost, the
caller is told that nothing is known. Used by `App`, by the command line, and by programs that send tasks ready made.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from streamq import process
from streamq.errors import QueueFull, ServerError, Unconfirmed, UsageError
from streamq.keys import LETTERS, Keys, is_id, is_name
from streamq.prepared import Prepared, not_prepared
from streamq.producer import Lanes, Sent
from streamq.room import Full
from streamq.server.endpoint import Endpoint
from streamq.server.patience import waiting
from streamq.server.reply import ReplyLost
from streamq.units import seconds

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from streamq.config import Settings
    from streamq.producer import Producer
    from streamq.transitions import Transitions

    Duration = float | str | timedelta

T = TypeVar("T")

#: Letters of all streams of tasks, in the order in which they are purged.
_STREAMS = (*LETTERS.values(), "s")


class Queue:
    """One queue of a server.

    Args:
        settings: the configuration in force: which server, its bound, how long to wait.
        name: another queue than the configured one.

    Raises:
        UsageError: the name is no name of a queue, or the server's URL cannot be used.
    """

    def __init__(self, settings: Settings, name: str | None = None) -> None:
        self.settings = settings
        self.name = settings.queue.name if name is None else name
        if not is_name(self.name):
            raise UsageError(
                f"{self.name!r} is no name of a queue", hint="1 to 64 letters, digits, dots, hyphens and underscores."
            )
        self.keys = Keys(self.name)
        self.endpoint = Endpoint.of(settings)
        self.wait = settings.server.wait
        self._full = Full(settings.queue.max_size, settings.queue.on_full == "block")
        self._lanes = Lanes(self.endpoint, self.keys, wait=self.wait, history=settings.worker.history)

    # Sending

    def send(
        self,
        task: Prepared[Any],
        *,
        on_full: str | None = None,
        timeout: Duration | None = None,
        stop: threading.Event | None = None,
    ) -> Sent:
        """Send one task.

        Args:
            task: the task.
            on_full: `block` or `reject`; None: as the configuration says.
            timeout: how long to wait for room in a full queue; None: without end.
            stop: ends all waiting when it is set.

        Raises:
            InvalidTask: it is no task that is ready to be sent.
            QueueFull: the queue is full.
            Unconfirmed: it is not known whether the task was accepted.
            ServerError: the server is away, or cannot take tasks.
        """
        if type(task) is not Prepared:
            raise not_prepared(task)
        lane = self._lanes.take()
        try:
            accepted = lane.add((task,), self._full.bound, stop=stop)
            if accepted:
                return accepted[0]
            return lane.insist(task, self._when_full(on_full, timeout), stop=stop)
        finally:
            self._lanes.give(lane)

    def send_many(
        self,
        tasks: Iterable[Prepared[Any]],
        *,
        on_full: str | None = None,
        timeout: Duration | None = None,
        stop: threading.Event | None = None,
    ) -> list[Sent]:
        """Send tasks in few round trips.

        Args:
            tasks: the tasks; read as they are sent.
            on_full: `block` or `reject`; None: as the configuration says.
            timeout: how long to wait in all for room in a full queue; None: without end.
            stop: when it is set, nothing more is read, sent or waited for.

        Raises:
            QueueFull, Unconfirmed, ServerError: as `send`; `ids` of the error are those of the tasks that had been accepted.
                Of any other exception a note tells how many that were, and which.
        """
        sent: list[Sent] = []
        if not isinstance(tasks, Iterable):
            raise UsageError(f"expected tasks, one after another, not {type(tasks).__name__}")
        with self._lane() as lane:
            try:
                for accepted in lane.send(tasks, self._when_full(on_full, timeout), stop=stop, ahead=True):
                    sent += accepted
            except (QueueFull, ServerError) as error:
                error.ids = [each.id for each in sent]
                raise
            except BaseException as error:
                if sent:  # what gave the tasks has failed, or was interrupted
                    error.add_note(f"{len(sent)} tasks had been accepted before: {sent[0].id} to {sent[-1].id}")
                raise
        return sent

    def send_each(
        self,
        tasks: Iterable[Prepared[Any]],
        *,
        on_full: str | None = None,
        timeout: Duration | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Sent]:
        """Send tasks in few round trips, and tell of each as it is accepted; nothing is sent but what is asked for.

        Arguments and errors are those of `send_many`.
        """
        with self._lane() as lane:
            for accepted in lane.send(tasks, self._when_full(on_full, timeout), stop=stop):
                yield from accepted

    # Tasks by id

    def cancel(self, task_id: str, *, by: str | None = None) -> str:
        """Cancel a task: it is taken off the queue, or off the worker that runs it.

        Args:
            task_id: its id.
            by: who cancels it, for the history; None: the user of this process.

        Returns:
            `cancelled`, `running` (cancelled while it ran), `dead` or `unknown`.

        Raises:
            Unconfirmed: the reply was lost.
            ServerError: the server is away.
        """
        check_id(task_id)
        return self._once(lambda transitions: transitions.cancel(task_id, by or _user()), f"cancelling {task_id}")

    def revive(self, task_id: str) -> tuple[str, str]:
        """Put a dead letter back into its queue, all its deliveries forgiven.

        Returns:
            (`ok`, its address), (`unknown`, empty), or (`taken`, the id of the task that holds its unique key now).

        Raises:
            Unconfirmed: the reply was lost.
            ServerError: the server is away.
        """
        check_id(task_id)
        return self._once(lambda transitions: transitions.revive(task_id), f"reviving {task_id}")

    def hasten(self, task_id: str) -> str:
        """Make a task due now that is scheduled or waits for a retry.

        Returns:
            `ok`, `waiting`, `running`, `dead` or `unknown`.

        Raises:
            ServerError: the server is away.
        """
        check_id(task_id)
        return self._repeated(lambda transitions: transitions.hasten(task_id))

    # The queue

    def pause(self) -> bool:
        """Stop all hand-outs; what runs goes on. Returns whether that changed something.

        Raises:
            ServerError: the server is away.
        """
        return self._repeated(lambda transitions: transitions.pause(paused=True))

    def resume(self) -> bool:
        """Resume hand-outs. Returns whether that changed something.

        Raises:
            ServerError: the server is away.
        """
        return self._repeated(lambda transitions: transitions.pause(paused=False))

    def purge(self, *, by: str | None = None) -> int:
        """Remove the waiting, scheduled and retrying tasks that had been sent before this call; never running or dead ones.

        Args:
            by: who does it, for the history; None: the user of this process.

        Returns:
            How many were removed.

        Raises:
            Unconfirmed: a reply was lost: more may have been removed than anybody counted.
            ServerError: the server is away.
        """
        who = by or _user()
        purged = 0
        before_ms = self._repeated(_server_ms) + 1
        for letter in _STREAMS:
            after = "-"
            while after:
                batch = functools.partial(_purge, letter=letter, after=after, before_ms=before_ms, by=who)
                n, after = self._once(batch, "purging the queue")
                purged += n
        return purged

    def close(self) -> None:
        """Close all connections that nobody uses; the queue can be used as before."""
        self._lanes.close()

    @contextlib.contextmanager
    def transitions(self) -> Iterator[Transitions]:
        """The transitions of the queue over a connection that is the caller's alone meanwhile."""
        with self._lane() as lane:
            yield lane.transitions

    @contextlib.contextmanager
    def _lane(self) -> Iterator[Producer]:
        """A lane that is the caller's alone meanwhile; interrupted, it says what is not known of the tasks under way."""
        lane = self._lanes.take()
        lane.under_way = 0
        try:
            yield lane
        except KeyboardInterrupt as interrupt:
            if lane.under_way:
                interrupt.add_note(f"{lane.under_way} more may have been accepted, or not: the reply was not waited for")
            raise
        finally:
            self._lanes.give(lane)

    def _once(self, call: Callable[[Transitions], T], what: str) -> T:
        """Make a call that must not be repeated once it was sent."""

        def attempt() -> T:
            try:
                return call(transitions)
            except ReplyLost as error:
                raise Unconfirmed(
                    f"the reply to {what} was lost: it may have been done, or not", hint="Look before you repeat it."
                ) from error

        with self.transitions() as transitions:
            return waiting(attempt, self.wait)

    def _repeated(self, call: Callable[[Transitions], T]) -> T:
        """Make a call that may be repeated without harm."""
        with self.transitions() as transitions:
            return waiting(lambda: call(transitions), self.wait)

    def _when_full(self, on_full: str | None, timeout: Duration | None) -> Full:
        if on_full not in (None, "block", "reject"):
            raise UsageError(f"on_full: expected block or reject, not {on_full!r}")
        wait = self._full.wait if on_full is None else on_full == "block"
        return Full(self._full.bound, wait, None if timeout is None else time.monotonic() + seconds(timeout))

    def __repr__(self) -> str:
        return f"<Queue {self.name} at {self.endpoint.masked}>"


def check_id(task_id: str) -> None:
    """Refuse what has not the form of a task's id.

    Raises:
        UsageError: it has not.
    """
    if not is_id(task_id):
        raise UsageError(f"{task_id!r} is no id of a task", hint="An id looks like d1764000000000-0.")


def _server_ms(transitions: Transitions) -> int:
    seconds_, microseconds = transitions.link.call("TIME")
    return int(seconds_) * 1000 + int(microseconds) // 1000


def _purge(transitions: Transitions, *, letter: str, after: str, before_ms: int, by: str) -> tuple[int, str]:
    return transitions.purge(letter, after, before_ms, by)


def _user() -> str:
    with process.unforked:
        import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "?"
