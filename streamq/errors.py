"""Every error that streamq raises, in one tree; redis-py's own errors never leave `server/` and `transitions.py`.

    StreamqError
    ├── UsageError             what was asked makes no sense: exit status 2
    │   ├── ConfigError        a configuration that cannot be used; carries every fault found
    │   └── InvalidTask        a task that was refused before it was accepted
    ├── ServerError            the server cannot be reached or used: exit status 3
    │   ├── ServerUnreachable  nothing answers; worth waiting for
    │   ├── ServerUnusable     something answers, but it cannot serve as a queue; waiting would not help
    │   └── Unconfirmed        a send whose outcome is not known: it may have been accepted
    ├── QueueFull              the bound of the queue was reached and the caller asked not to wait
    ├── TaskFailed             the task that was waited for ended in the dead letters, expired or was cancelled
    ├── TaskUnknown            no such task, or its history is gone
    ├── ResultTimeout          the wait for a result took longer than it was allowed to
    └── LeaseLost              this run is no longer the task's: somebody else may be running it

What a handler raises to steer its own task (`Retry`, `Snooze`, `Discard`) is no error and lives in `streamq.verdict`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class StreamqError(Exception):
    """Base of every error that streamq raises.

    Args:
        what: one sentence that says what was wrong, and where.
        hint: one sentence that says how to mend it, where there is a way.
    """

    #: Exit status of a command that ends with this error (CONTRACT: 1 failed, 2 usage, 3 server).
    exit_status = 1

    def __init__(self, what: str, *, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class UsageError(StreamqError):
    """What was asked makes no sense, or an option or argument is wrong."""

    exit_status = 2


class ConfigError(UsageError):
    """The configuration cannot be used.

    Args:
        faults: one line each, `FILE:LINE: KEY: what was expected`; all that were found, not only the first.
    """

    def __init__(self, faults: list[str], *, hint: str | None = None) -> None:
        super().__init__("\n".join(faults), hint=hint)
        self.faults = faults


class InvalidTask(UsageError):
    """A task was refused before it was accepted: unknown parameter, wrong type, not JSON, too large."""


class ServerError(StreamqError):
    """The server cannot be reached or used."""

    exit_status = 3
    #: Where many tasks were being sent: the ids of those that had been accepted, in the order sent.
    ids: Sequence[str] = ()


class ServerUnreachable(ServerError):
    """Nothing answers at the server's address, or the connection broke; trying again may help."""


class ServerUnusable(ServerError):
    """Something answers, but it cannot serve as a queue: no Redis, refused login, missing command."""


class Unconfirmed(ServerError):
    """The reply to a send was lost and stayed lost: the tasks may or may not have been accepted."""


class QueueFull(StreamqError):
    """The queue holds as many tasks as it may (`queue.max_size`).

    Args:
        accepted: how many tasks of the call were accepted before the bound was reached; their ids are in `ids`.
        ids: the ids of the accepted ones, in the order sent.
    """

    def __init__(self, what: str, *, ids: list[str], hint: str | None = None) -> None:
        super().__init__(what, hint=hint)
        self.ids = ids


class TaskFailed(StreamqError):
    """The task that was waited for did not finish.

    Args:
        id: the task's id.
        state: `dead`, `expired` or `cancelled`.
        error: the last error, `TypeName: message`, or None.
        traceback: the remote traceback, or None.
    """

    def __init__(self, id: str, state: str, error: str | None = None, traceback: str | None = None) -> None:  # noqa: A002
        super().__init__(f"task {id} is {state}" + (f": {error}" if error else ""))
        self.id = id
        self.state = state
        self.error = error
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.what}\n\nIn the worker:\n{self.traceback.rstrip()}" if self.traceback else self.what


class TaskUnknown(StreamqError):
    """No task has this id, or it ended so long ago that nothing is kept of it."""


class ResultTimeout(StreamqError, TimeoutError):
    """The task had not ended when the time that the caller allowed was over; the task itself goes on."""


class LeaseLost(StreamqError):
    """This run has lost its lease: another worker may be running the task, and nothing that this run writes counts."""
