"""A task that is ready to be sent: checked, written as JSON, with its options as `add.lua` reads them.

Whatever can be wrong with a task is found here, before anything is sent. Relative times stay relative until the server's clock
makes them absolute, so a task may be prepared long before it goes out. What tasks share that differ in their arguments alone is
their `Form`, checked once. Made by `App`, `Task` and commands, sent by `queue.py`.
"""

from __future__ import annotations

import functools
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypedDict, TypeVar

import msgspec

from streamq.errors import InvalidTask, UsageError
from streamq.keys import LETTERS, Priority
from streamq.options import named, only, timeout_ms, whole
from streamq.units import moment, seconds
from streamq.wire import check_args, entry_fields

if TYPE_CHECKING:
    from datetime import timedelta

    Duration = float | str | timedelta

R = TypeVar("R")


class Options(TypedDict, total=False):
    """How a task is sent. None is the same as not given."""

    #: Default `default`.
    priority: Priority | None
    #: It is due so long after it was sent.
    delay: Duration | None
    #: It is due at this time: a `datetime` (local where it names no zone), or a text such as `2027-03-01T08:30` or `18:30`.
    at: datetime | str | None
    #: It is not started any more so long after it was sent, or after this time.
    expires: Duration | datetime | None
    #: Longest run; goes before the task's own.
    timeout: Duration | None
    #: How often it is delivered at most; goes before the task's own.
    max_deliveries: int | None
    #: While a task with this key has not ended, sending another one gives the first.
    unique: str | None


class Delivery(NamedTuple):
    """Options, resolved."""

    priority: Priority = "default"
    #: What stands before the fields of the task (see `add.lua`).
    head: str = LETTERS["default"]
    timeout_ms: int | None = None
    max_deliveries: int | None = None
    key: str | None = None


PLAIN = Delivery()


class Form(msgspec.Struct, frozen=True, eq=False):
    """All of a task but its arguments."""

    name: str
    priority: Priority
    #: Head, number of strings, fields up to the arguments: as `add.lua` takes tasks that differ in these alone.
    argv: tuple[str | int, ...]


class Prepared(msgspec.Struct, Generic[R], frozen=True, gc=False):
    """A task that is ready to be sent; R is what its handler returns."""

    form: Form
    #: The arguments as JSON.
    args: bytes

    @property
    def name(self) -> str:
        """The task's name."""
        return self.form.name

    @property
    def priority(self) -> Priority:
        """Its priority."""
        return self.form.priority


def not_prepared(task: object) -> InvalidTask:
    """Return the error of what was to be sent and is no task."""
    return InvalidTask(
        f"expected a task that is ready to be sent, not {type(task).__name__}",
        hint="TASK.prepare(…) and app.prepare(NAME, {…}) make one; TASK.enqueue(…) sends at once.",
    )


@functools.lru_cache(256)
def form_of(name: str, delivery: Delivery = PLAIN) -> Form:
    """Return what tasks of this name have in common that are sent in this way.

    Raises:
        InvalidTask: a value is too long or out of range.
    """
    fields = entry_fields(name, timeout_ms=delivery.timeout_ms, max_deliveries=delivery.max_deliveries, key=delivery.key)
    return Form(name, delivery.priority, (delivery.head, len(fields), *fields))


def prepare(name: str, args: bytes, delivery: Delivery = PLAIN) -> Prepared[Any]:
    """Return a task that is ready to be sent.

    Args:
        name: the task's name.
        args: its arguments, a JSON object.
        delivery: its options.

    Raises:
        InvalidTask: a value is too long or out of range, or the arguments are no JSON object.
    """
    return Prepared(form_of(name, delivery), check_args(args))


def resolve(options: Options) -> Delivery:
    """Return options as they are sent.

    Raises:
        UsageError: a value makes no sense, or two contradict each other.
    """
    only(options, Options.__annotations__)
    priority = options.get("priority")
    if priority is None:
        priority = "default"
    if priority not in tuple(LETTERS):
        raise UsageError(f"priority: expected one of {', '.join(LETTERS)}, not {priority!r}")
    due, expires = _due(options.get("delay"), options.get("at")), _expires(options.get("expires"))
    if due and expires and due[0] == expires[0] and int(expires[1:]) <= int(due[1:]):
        raise InvalidTask("the task would expire before it is due")
    key = options.get("unique")
    if key is not None and not isinstance(key, str):
        raise UsageError(f"unique: expected a text, not {key!r}")
    limit = whole("max_deliveries", options.get("max_deliveries"))
    head = LETTERS[priority]
    if due or expires or key is not None:
        head = f"{head};{due};{expires};{'u' if key is not None else ''}"
    return Delivery(priority, head, timeout_ms(options.get("timeout")), limit, key)


def _due(delay: Duration | None, at: datetime | str | None) -> str:
    """When a task is due, `+ms` from now or `@ms` absolute; empty: at once."""
    if delay is not None and at is not None:
        raise UsageError("delay and at say both when the task is due: give one of them")
    if delay is not None:
        return _after("delay", delay)
    if at is None:
        return ""
    if isinstance(at, str) and at.strip().startswith("+"):
        return _after("at", at.strip()[1:])
    return named("at", _absolute, at)


def _after(option: str, delay: Duration) -> str:
    return f"+{ms}" if (ms := round(named(option, seconds, delay) * 1000)) else ""


def _expires(expires: Duration | datetime | None) -> str:
    if expires is None:
        return ""
    if isinstance(expires, datetime):
        return named("expires", _absolute, expires)
    try:
        after = round(named("expires", seconds, expires) * 1000)
    except UsageError:
        if not isinstance(expires, str):
            raise
        return named("expires", _absolute, expires)
    if after < 1:
        raise InvalidTask("the task would expire before it is sent")
    return f"+{after}"


def _absolute(at: object) -> str:
    if isinstance(at, str):
        return f"@{max(0, moment(at, int(time.time() * 1000)))}"
    try:
        if isinstance(at, datetime):
            return f"@{max(0, round(at.timestamp() * 1000))}"
    except (ValueError, OverflowError, OSError):  # near year 1 or 9999, in local time
        pass
    raise UsageError(f"{at!r} is not a point in time", hint="Give a datetime, or a text such as 2027-03-01T08:30 or 18:30.")
