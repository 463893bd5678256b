"""What is no task, no option and no address of a queue is refused in the library's own words, before anything is connected to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, cast

import pytest

from streamq import App, InvalidTask, UsageError

#: Nothing of these may be taken for a number, a text, a time, a path, a task or a list of tasks.
ANYTHING: Final[list[Any]] = [
    True,
    1.5,
    float("nan"),
    10**30,
    b"x",
    "\ud800",
    [],
    {},
    object(),
    (1,),
    timedelta(-1),
    datetime.min,  # noqa: DTZ901 - too early for local time
]


@pytest.fixture
def app() -> App:
    """An app with a server that must not be asked."""
    app = App("q", url="redis://127.0.0.1:1")

    @app.task
    def known(n: int = 0) -> None:
        pass

    return app


def refusals(call: Callable[[Any], object], values: list[Any], says: str | None = None) -> None:
    """Each of the values is refused, and it is told what for."""
    for value in values:
        with pytest.raises(UsageError, match=says):
            call(value)


@pytest.mark.parametrize(
    ("option", "but"),
    [
        ("priority", []),
        ("delay", [1.5]),
        ("at", []),
        ("expires", [1.5]),
        ("timeout", [1.5]),
        ("max_deliveries", []),
        ("unique", []),
    ],
)
def test_a_value_that_is_none_of_the_option(app: App, option: str, but: list[Any]) -> None:
    """Whatever type it has; the error names the option."""
    wrong = [each for each in ANYTHING if each not in but and not (option == "expires" and isinstance(each, datetime))]
    says = "unique" if option == "unique" else f"^{option}: "
    refusals(lambda value: app.prepare("known", {}, **{option: value}), [*wrong, ""], says)


@pytest.mark.parametrize("option", ["retries", "max_deliveries", "timeout", "backoff", "retry_on", "name"])
def test_a_value_that_is_none_of_the_decorators_option(option: str) -> None:
    """A task that could not be sent is not made."""
    wrong = [each for each in ANYTHING if not (option == "timeout" and each == 1.5)]
    refusals(lambda value: App("q").task(**{option: value})(lambda: None), wrong)


def test_what_is_no_task_is_not_sent(app: App) -> None:
    """Alone or among many: a task itself, its call or its name are none that is ready to be sent."""
    said = "expected a task that is ready to be sent, not "
    for value in [*ANYTHING, None, "known", app.registry.get("known"), Exception("has args")]:
        with pytest.raises(InvalidTask, match=f"^{said}{type(value).__name__}$") as refused:
            app.enqueue(value)
        assert "TASK.prepare" in (refused.value.hint or "")
        with pytest.raises(InvalidTask, match=said):
            app.enqueue_many([value])
    refusals(app.enqueue_many, [None, 1, 1.5, object()], "expected tasks, one after another")


def test_what_is_no_name_and_what_are_no_arguments(app: App) -> None:
    """Of a task that this program knows, and of one that it does not."""
    refusals(lambda name: app.prepare(name, {}), [each for each in ANYTHING if each != "x"], "is no name of a task")
    wrong = [each for each in ANYTHING if each != {}]
    for task in ("known", "strange"):
        says = f"task {task}: the arguments are values by name"
        refusals(functools.partial(app.prepare, task), wrong, says)
        refusals(functools.partial(_send_one, app, task), wrong, says)
    refusals(lambda calls: app.send_many("known", calls), [None, 1, object()], "task known: expected the arguments of each call")
    refusals(lambda on_full: app.enqueue_many([], on_full=on_full), ANYTHING, "on_full: expected block or reject")
    refusals(app.job, [None, *ANYTHING], "is no id of a task")


def _send_one(app: App, task: str, args: Any) -> object:
    return app.send_many(task, [args])


def test_what_is_no_queue_and_no_path() -> None:
    """When the app is made: a folder named `5` would be made at the first send."""
    refusals(App, [each for each in ANYTHING if each is not None], "is no name of a queue")
    refusals(lambda data: App("q", data=data), [each for each in ANYTHING if not isinstance(each, str)], "data: expected a path")
    refusals(
        lambda file: App("q", config=file), [each for each in ANYTHING if not isinstance(each, str)], "config: expected a path"
    )


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("retries", "For retries there is max_deliveries (the first try counts: 5 retries are 6 deliveries)."),
        ("max_tries", "For max_tries there is max_deliveries (the first try counts: 5 retries are 6 deliveries)."),
        ("countdown", "For countdown there is delay."),
        ("_defer_until", "For _defer_until there is at."),
        ("eta", "For eta there is at."),
        ("ttl", "For ttl there is expires."),
        ("job_id", "For job_id there is unique."),
        ("prioritty", "Did you mean priority?"),
        ("colour", "Its options are: "),
    ],
)
def test_an_unknown_option_of_a_sending_is_answered_with_ours(app: App, word: str, hint: str) -> None:
    """By the word that other queues have for it, or the nearest one."""
    with pytest.raises(UsageError, match=f"a task has no option {word}") as raised:
        cast("Any", app.task(print_nothing)).options(**{word: 5})
    assert raised.value.hint is not None
    assert raised.value.hint.startswith(hint)
    assert "Its options are: priority, " in raised.value.hint


@pytest.mark.parametrize(
    ("word", "option"),
    [("max_retries", "retries"), ("time_limit", "timeout"), ("autoretry_for", "retry_on"), ("min_backoff", "backoff")],
)
def test_an_unknown_option_of_a_decorator_is_answered_with_ours(app: App, word: str, option: str) -> None:
    """A decorator has retries of its own, so nothing has to be counted anew."""
    with pytest.raises(UsageError, match=f"a task has no option {word}") as raised:
        cast("Any", app).task(**{word: 5})(print_nothing)
    assert raised.value.hint is not None
    assert raised.value.hint.startswith(f"For {word} there is {option}.")


def print_nothing() -> None:
    """A handler."""
