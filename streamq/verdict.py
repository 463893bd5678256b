"""What becomes of a task whose run did not finish: tried again, put off, or buried.

A handler steers its own task by raising `Retry`, `Snooze` or `Discard`; any other exception is an error. `decide` turns either
into a `Verdict`, a plain value that the worker's settling acts on: no exception carries control flow any further, and nothing
here knows Redis. The limit compares deliveries that count (hand-backs and snoozes do not).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from streamq.units import seconds
from streamq.wire import Malformed

if TYPE_CHECKING:
    from datetime import timedelta
    from types import TracebackType

    from streamq.backoff import Backoff

    Duration = float | str | timedelta

#: Longest error text that is kept, in bytes.
ERROR_MOST: Final = 2048
#: Longest traceback that is kept, in bytes; of a longer one the middle is cut.
TRACEBACK_MOST: Final = 16384

_HERE = Path(__file__).parent
#: Code between the worker's slot and the handler: its frames say nothing about the task.
_CARRIERS = (str(_HERE / "worker"), str(_HERE / "definition.py"))


class Control(BaseException):
    """Base of what a handler raises to steer its task. No `Exception`: a handler's own `except Exception` lets it pass."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Retry(Control):
    """Try the task again: a failed attempt, whatever `retry_on` says; at its limit the task is buried.

    Args:
        after: pause (seconds, `timedelta` or `"5m"`); None: the task's backoff.
        reason: why, for the record of attempts.

    Raises:
        UsageError: `after` is no duration.
    """

    def __init__(self, after: Duration | None = None, reason: str = "") -> None:
        super().__init__(reason)
        self.after = None if after is None else seconds(after)


class Snooze(Control):
    """Not now: the task comes again, and this delivery does not count against its limit.

    Args:
        after: pause (seconds, `timedelta` or `"5m"`).
        reason: why, for the log.

    Raises:
        UsageError: `after` is no duration.
    """

    def __init__(self, after: Duration, reason: str = "") -> None:
        super().__init__(reason)
        self.after = seconds(after)


class Discard(Control):
    """Trying again would not help: the task is a dead letter at once.

    Args:
        reason: why; it becomes the letter's error.
    """


class TimedOut(Exception):
    """A run took longer than the task's time limit; raised by the worker, never by a handler.

    Args:
        limit_ms: the limit.
    """

    def __init__(self, limit_ms: int) -> None:
        super().__init__(f"the run took longer than its limit of {limit_ms / 1000:g} s")
        self.limit_ms = limit_ms


class Verdict(msgspec.Struct, frozen=True):
    """What is to be done with a task whose run did not finish."""

    kind: Literal["retry", "snooze", "bury"]
    #: Pause before it is handed out again, ms; 0 where it is buried.
    delay_ms: int
    reason: Literal["error", "deliveries", "timeout", "invalid"]
    #: `TypeName: message`, at most `ERROR_MOST` bytes.
    error: str
    #: At most `TRACEBACK_MOST` bytes, without the values of variables.
    traceback: str


def decide(
    error: BaseException,
    *,
    deliveries: int,
    limit: int,
    backoff: Backoff,
    retry_on: tuple[type[BaseException], ...],
) -> Verdict:
    """Return what becomes of a task whose run ended with an error.

    Args:
        error: what the run raised; a `TimedOut` or a `Malformed` comes from the worker.
        deliveries: how many of its deliveries count, this one included.
        limit: how many there may be.
        backoff: the pause before a retry.
        retry_on: errors after which trying again makes sense; any other one is final. A `TimedOut` and a `Retry` do not ask.
    """
    text = error_text(error)
    if isinstance(error, Snooze):
        return Verdict("snooze", _ms(error.after), "error", text, "")
    if isinstance(error, Malformed):
        return Verdict("bury", 0, "invalid", text, "")
    if isinstance(error, Discard):
        return Verdict("bury", 0, "error", text, traceback_text(error) if error.__cause__ else "")
    reason: Literal["error", "timeout"] = "timeout" if isinstance(error, TimedOut) else "error"
    trace = "" if isinstance(error, TimedOut | Retry) and not error.__cause__ else traceback_text(error)
    again = isinstance(error, (Retry, TimedOut, *retry_on))
    if deliveries >= limit or not again:
        return Verdict("bury", 0, reason, text, trace)
    after = error.after if isinstance(error, Retry) else None
    return Verdict("retry", _ms(backoff.delay(deliveries) if after is None else after), reason, text, trace)


def error_text(error: BaseException) -> str:
    """Return `TypeName: message`, of a `Discard` its reason, at most `ERROR_MOST` bytes, whatever its own `__str__` does."""
    name = type(error).__name__
    if isinstance(error, Discard) and error.reason:
        return _head(_scrubbed(error.reason), ERROR_MOST)
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001 - a handler's exception may fail at anything, and the task must still be settled
        message = f"(its message cannot be read: {type(broken).__name__})"
    return _head(_scrubbed(f"{name}: {message}") if message else name, ERROR_MOST)


def traceback_text(error: BaseException) -> str:
    """Return the traceback of an error with its causes, from the handler's first frame on, at most `TRACEBACK_MOST` bytes."""
    import traceback

    try:
        lines = traceback.format_exception(type(error), error, _from_handler(error.__traceback__))
    except Exception as broken:  # noqa: BLE001 - see error_text
        return f"(the traceback cannot be written: {type(broken).__name__})"
    return _without_middle(_scrubbed("".join(lines)), TRACEBACK_MOST)


def _from_handler(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames that carried the call to the handler; whole, where there is nothing else."""
    inner = trace
    while inner and inner.tb_frame.f_code.co_filename.startswith(_CARRIERS):
        inner = inner.tb_next
    return inner or trace


def _scrubbed(text: str) -> str:
    """Text without the passwords of addresses: others read dead letters than those who run the handler."""
    from streamq.config.url import scrub  # brings the configuration with it, which whoever only raises `Retry` does not need

    return scrub(text)


def _head(text: str, most: int) -> str:
    raw = _utf8(text)
    return raw.decode() if len(raw) <= most else raw[: most - 3].decode(errors="ignore") + "…"


def _without_middle(text: str, most: int) -> str:
    raw = _utf8(text)
    if len(raw) <= most:
        return raw.decode()
    mark = "\n  … the middle is cut …\n"
    half = (most - len(mark.encode())) // 2
    return raw[:half].decode(errors="ignore") + mark + raw[-half:].decode(errors="ignore")


def _utf8(text: str) -> bytes:
    """Text as it can be sent: a lone surrogate (an odd file name) is written as an escape."""
    return text.encode(errors="backslashreplace")


def _ms(pause: float) -> int:
    return max(0, round(pause * 1000))
