"""What becomes of a run that did not finish, by what its handler raised and how often the task was delivered."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq import backoff
from streamq.definition import TaskDefinition
from streamq.errors import UsageError
from streamq.verdict import (
    ERROR_MOST,
    TRACEBACK_MOST,
    Discard,
    Retry,
    Snooze,
    TimedOut,
    Verdict,
    decide,
    error_text,
    traceback_text,
)
from streamq.wire import Malformed


def verdict(error: BaseException, **changes: Any) -> Verdict:
    """The verdict on the second of five deliveries, with a pause of 7 s."""
    given_: dict[str, Any] = {"deliveries": 2, "limit": 5, "backoff": backoff.constant(7), "retry_on": (BaseException,)} | changes
    return decide(error, **given_)


def raised(error: BaseException) -> BaseException:
    """The error as it comes out of a handler."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001
        return caught


@pytest.mark.parametrize(
    "error", [ValueError("x"), asyncio.CancelledError(), SystemExit(3), KeyboardInterrupt(), GeneratorExit()]
)
def test_any_exception_of_a_handler_is_tried_again(error: BaseException) -> None:
    """One that would end a thread or a process, raised by a handler, is only its task's error."""
    assert (verdict(error).kind, verdict(error).delay_ms, verdict(error).reason) == ("retry", 7000, "error")


@given(st.integers(1, 10), st.integers(1, 10))
def test_the_limit_buries(deliveries: int, limit: int) -> None:
    """The last delivery that is allowed is the last."""
    expected = "bury" if deliveries >= limit else "retry"
    for error in (OSError("x"), TimedOut(500), Retry(), Retry(after=3)):
        assert expected == verdict(error, deliveries=deliveries, limit=limit).kind


def test_an_error_that_is_not_to_be_retried_is_buried_at_once() -> None:
    """`retry_on` names what may pass by itself; anything else is final."""
    only = (OSError, KeyError)
    assert verdict(ValueError("x"), retry_on=only).kind == "bury"
    assert verdict(SystemExit(1), retry_on=(Exception,)).kind == "bury"
    assert verdict(FileNotFoundError("x"), retry_on=only).kind == "retry"
    assert verdict(OSError("x"), retry_on=()).kind == "bury"


def test_a_handler_may_ask_for_another_try_itself() -> None:
    """Its pause goes before the backoff, and `retry_on` is not asked."""
    assert verdict(Retry(after="1m", reason="busy"), retry_on=()) == Verdict("retry", 60_000, "error", "Retry: busy", "")
    assert verdict(Retry(), retry_on=()) == Verdict("retry", 7000, "error", "Retry", "")
    assert verdict(Retry(after=0)).delay_ms == 0


def test_a_snooze_is_granted_at_the_limit_too() -> None:
    """It does not count, so nothing bounds it."""
    assert verdict(Snooze(after=30, reason="not ready"), deliveries=99) == Verdict(
        "snooze", 30_000, "error", "Snooze: not ready", ""
    )


def test_a_discard_is_final() -> None:
    """One try, and the reason is the error; where it came from another exception, the traceback is kept."""
    assert verdict(Discard("no image"), deliveries=1) == Verdict("bury", 0, "error", "no image", "")
    with pytest.raises(Discard) as caught:
        raise Discard("no image") from ValueError("bad header")
    assert "bad header" in verdict(caught.value).traceback


def test_a_malformed_task_is_invalid() -> None:
    """It never started, so it has no traceback."""
    assert verdict(raised(Malformed("no object"))) == Verdict("bury", 0, "invalid", "Malformed: no object", "")


def test_a_run_over_its_time_is_a_failed_attempt() -> None:
    """It is tried again whatever `retry_on` says, as a crash is; at the limit the reason is `timeout`."""
    assert (verdict(TimedOut(1500), retry_on=()).kind, verdict(TimedOut(1500), retry_on=()).reason) == ("retry", "timeout")
    last = verdict(TimedOut(1500), deliveries=5)
    assert (last.kind, last.reason, last.error) == ("bury", "timeout", "TimedOut: the run took longer than its limit of 1.5 s")


def test_control_exceptions_pass_a_handlers_own_except() -> None:
    """`except Exception` around a call does not swallow what steers the task."""
    assert not issubclass(Retry, Exception)
    assert not issubclass(Snooze, Exception)
    assert not issubclass(Discard, Exception)


def test_durations_are_checked_where_they_are_written() -> None:
    """A wrong duration is an error of the handler, at its own line."""
    with pytest.raises(UsageError):
        Retry(after="soon")
    with pytest.raises(UsageError):
        Snooze(after=-1)


class Unprintable(Exception):
    """Its message cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError


@given(st.text(st.characters(), max_size=5000))
def test_texts_are_bounded_and_can_be_sent(message: str) -> None:
    """Any message becomes UTF-8 within the bound."""
    error = raised(ValueError(message))
    assert len(error_text(error).encode()) <= ERROR_MOST
    assert len(traceback_text(error).encode()) <= TRACEBACK_MOST


def test_an_exception_that_cannot_be_read_is_reported_all_the_same() -> None:
    """The task is settled; its exception's class is known."""
    assert error_text(Unprintable()) == "Unprintable: (its message cannot be read: RuntimeError)"
    assert "Unprintable" in traceback_text(raised(Unprintable()))
    assert error_text(ValueError()) == "ValueError"


def test_of_a_long_traceback_the_middle_is_cut() -> None:
    """Where it began and what it said are both kept."""
    error = raised(ValueError("x" * 100_000 + "end"))
    text = traceback_text(error)
    assert len(text.encode()) <= TRACEBACK_MOST
    assert text.startswith("Traceback")
    assert text.rstrip().endswith("end")
    assert "the middle is cut" in text


def test_a_traceback_begins_at_the_handler() -> None:
    """What carried the call there says nothing about the task."""

    def handler() -> None:
        raise ValueError("x")

    definition = TaskDefinition(handler)
    try:
        definition.call(definition.decode(b"{}"))
    except ValueError as error:
        trace = error.__traceback__
        assert trace is not None
        text = traceback_text(error.with_traceback(trace.tb_next))
    assert text.splitlines()[1].endswith("in handler")


def test_an_endless_recursion_has_a_short_traceback() -> None:
    """Repeated frames are told once."""

    def again() -> None:
        again()

    with pytest.raises(RecursionError) as caught:
        again()
    assert len(traceback_text(caught.value)) < 4000


def test_a_traceback_holds_no_values_of_variables() -> None:
    """What a handler works on may be secret."""
    secret = "hunter" + str(len(sys.argv) + 40)

    def handler() -> None:
        password = secret
        raise ValueError(len(password))

    with pytest.raises(ValueError) as caught:  # noqa: PT011
        handler()
    assert secret not in traceback_text(caught.value)
