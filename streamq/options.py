"""What the options of tasks and of sending may be: each is read, or refused with a sentence that names it.

Used by `definition.py` for what a task's decorator takes, and by `prepared.py` for what one sending does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from streamq.errors import UsageError
from streamq.units import seconds
from streamq.wire import DELIVERIES_MOST

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import timedelta

    from streamq.backoff import Backoff

    Duration = float | str | timedelta

#: Words of Celery, RQ, arq, Dramatiq and taskiq -> the options that do it here, the nearest first.
_ELSEWHERE: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("max_retries", "retries", "retry", "num_retries", "retry_count"), ("retries", "max_deliveries")),
    **dict.fromkeys(("max_tries", "max_attempts", "attempts"), ("max_deliveries",)),
    **dict.fromkeys(("countdown", "defer_by", "delay_seconds"), ("delay",)),
    **dict.fromkeys(("eta", "defer_until", "run_at", "schedule"), ("at",)),
    **dict.fromkeys(("ttl", "max_age", "expire", "expires_in"), ("expires",)),
    **dict.fromkeys(("time_limit", "soft_time_limit", "job_timeout", "task_timeout"), ("timeout",)),
    **dict.fromkeys(("job_id", "task_id", "unique_key"), ("unique",)),
    **dict.fromkeys(("retry_backoff", "min_backoff", "max_backoff", "retry_delay", "default_retry_delay"), ("backoff",)),
    **dict.fromkeys(("autoretry_for", "retry_when", "retry_for"), ("retry_on",)),
    "task_name": ("name",),
}
T = TypeVar("T")
R = TypeVar("R")


def only(given: Mapping[str, object], known: Collection[str]) -> None:
    """Look for options that there are not.

    Raises:
        UsageError: there is one.
    """
    if unknown := sorted(given.keys() - known):
        meant = " ".join(filter(None, (_meant(word, known) for word in unknown)))
        hint = f"{meant} Its options are: {', '.join(known)}.".lstrip()
        raise UsageError(f"a task has no option {', '.join(unknown)}", hint=hint)


def _meant(word: str, known: Collection[str]) -> str:
    """Which option does what a word stands for elsewhere, or which one it may be, misspelt."""
    for option in _ELSEWHERE.get(word.lstrip("_"), ()):
        if option in known:
            counted = " (the first try counts: 5 retries are 6 deliveries)" if option == "max_deliveries" else ""
            return f"For {word} there is {option}{counted}."
    import difflib

    close = difflib.get_close_matches(word, known, 1)
    return f"Did you mean {close[0]}?" if close else ""


def timeout_ms(timeout: Duration | None) -> int | None:
    """Return a time limit in ms; None where there is none.

    Raises:
        UsageError: it is no duration, or shorter than 1 ms.
    """
    if timeout is None:
        return None
    limit = round(named("timeout", seconds, timeout) * 1000)
    if limit < 1:
        raise UsageError(f"timeout: a time limit is at least 1 ms, not {timeout!r}")
    return limit


def named(option: str, read: Callable[[T], R], value: T) -> R:
    """Return what is read from the value of an option; an error names the option.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return read(value)
    except UsageError as error:
        raise type(error)(f"{option}: {error.what}", hint=error.hint) from None


def whole(option: str, number: object) -> int | None:
    """Return the value of an option that is a whole number, or None.

    Raises:
        UsageError: it is something else.
    """
    if number is None or (isinstance(number, int) and not isinstance(number, bool)):
        return number
    raise UsageError(f"{option}: expected a whole number, not {number!r}")


def deliveries(retries: int | None, max_deliveries: int | None) -> int | None:
    """Return how often a task is delivered at most, by one of the two ways to say it; None where it is not said.

    Raises:
        UsageError: both are given, or the one is no whole number, or out of range.
    """
    if retries is not None and max_deliveries is not None:
        raise UsageError("retries and max_deliveries say the same: give one of them")
    retries, limit = whole("retries", retries), whole("max_deliveries", max_deliveries)
    if retries is not None:
        limit = retries + 1
    if limit is not None and not 1 <= limit <= DELIVERIES_MOST:
        name, least = ("max_deliveries", 1) if retries is None else ("retries", 0)
        most = DELIVERIES_MOST - 1 + least
        given = limit - 1 + least
        told = str(given) if abs(given) <= 10 * most else f"one of {len(str(abs(given)))} digits"
        raise UsageError(f"{name} is a number from {least} to {most}, not {told}")
    return limit


def backoff_of(backoff: Backoff | None) -> Backoff | None:
    """Return a backoff, or None.

    Raises:
        UsageError: it is none.
    """
    if backoff is not None and not callable(getattr(backoff, "delay", None)):
        raise UsageError(f"{backoff!r} is no backoff", hint="Use streamq.backoff: exponential(), linear() or constant().")
    return backoff


def classes(retry_on: Any) -> tuple[type[BaseException], ...]:
    """Return the exception classes that are named, one or a tuple of them.

    Raises:
        UsageError: they are none.
    """
    given: tuple[Any, ...] = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    for each in given:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            raise UsageError(f"retry_on names exception classes, not {each!r}")
    return given
