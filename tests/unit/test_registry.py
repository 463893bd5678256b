"""Handlers: what they take is checked for the sender and the worker alike, and they are called as written."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq import backoff
from streamq.context import Context
from streamq.definition import InvalidResult, TaskDefinition
from streamq.errors import InvalidTask, UsageError
from streamq.registry import Registry
from streamq.wire import ARGS_MOST, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal


CONTEXT: Any = object()


def through(definition: TaskDefinition, *args: Any, **kwargs: Any) -> Any:
    """Call a handler by way of the wire."""
    return definition.call(definition.decode(definition.encode(args, kwargs)), CONTEXT)


@dataclass
class Point:
    """A class of a user's own."""

    x: int
    y: int = 0


class Drawable(Protocol):
    """A type that no JSON can be checked against."""

    def draw(self) -> None:
        """Draw it."""


def everything(  # noqa: D103
    a: int, b: str = "b", /, c: float = 0.5, *, d: list[int] | None = None, ctx: Context, e: Literal["x", "y"] = "x", **rest: int
) -> tuple[Any, ...]:
    return a, b, c, d, ctx, e, rest


def context_first(ctx: Context, a: int, b: int = 2) -> tuple[Any, ...]:  # noqa: D103
    return ctx, a, b


def context_between(a: int, ctx: Context | None, b: int = 2) -> tuple[Any, ...]:  # noqa: D103
    return a, ctx, b


def plain(a: int, b: dict[str, int], c: bool = False) -> tuple[Any, ...]:  # noqa: D103, FBT001, FBT002
    return a, b, c


def context_after(a: int, ctx: Context | None = None, *, b: int) -> tuple[Any, ...]:  # noqa: D103
    return a, ctx, b


def keywords(*, a: int, b: int = 2) -> tuple[Any, ...]:  # noqa: D103
    return a, b


def untyped(a, b=None, **rest):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN201, D103
    return a, b, rest


@given(
    st.integers(),
    st.none() | st.text(),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.lists(st.integers(-(2**63), 2**63)),
    st.dictionaries(st.text().filter(lambda name: name not in {"a", "b", "c", "d", "e", "ctx"}), st.integers(), max_size=3),
)
def test_a_call_by_way_of_the_wire_is_the_call_itself(
    a: int, b: str | None, c: float | None, d: list[int] | None, rest: dict[str, int]
) -> None:
    """Whatever is given or left out, by position or by name."""
    args: list[Any] = [a] if b is None else [a, b]
    kwargs: dict[str, Any] = {name: value for name, value in (("c", c), ("d", d)) if value is not None} | rest
    assert through(TaskDefinition(everything), *args, **kwargs) == everything(*args, ctx=CONTEXT, **kwargs)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "expected"),
    [
        (context_first, (1,), {}, (CONTEXT, 1, 2)),
        (context_first, (1, 5), {}, (CONTEXT, 1, 5)),
        (context_first, (), {"b": 3, "a": 1}, (CONTEXT, 1, 3)),
        (context_between, (1, 7), {}, (1, CONTEXT, 7)),
        (plain, (1, {"x": 2}), {"c": True}, (1, {"x": 2}, True)),
        (keywords, (), {"a": 1}, (1, 2)),
        (untyped, ([1, None],), {"z": {"y": 1}}, ([1, None], None, {"z": {"y": 1}})),
        (lambda: (), (), {}, ()),
        (lambda **rest: tuple(rest.items()), (), {"k": 1}, (("k", 1),)),
    ],
)
def test_parameters_of_every_kind_are_passed(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    """The context goes where it is declared, and is not sent."""
    assert through(TaskDefinition(function, name="t"), *args, **kwargs) == expected


def test_what_is_not_given_is_not_sent() -> None:
    """A default may change with the next release; what was asked for does not."""
    definition = TaskDefinition(plain)
    assert definition.encode((1, {}), {}) == b'{"a":1,"b":{}}'
    assert definition.encode((1, {}), {"c": False}) == b'{"a":1,"b":{},"c":false}'


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "says"),
    [
        (plain, (), {}, "task t: missing a, b"),
        (plain, (1,), {}, "task t: missing b"),
        (plain, (1, {}, False, 4), {}, "takes 3 arguments by position, not 4"),
        (plain, (1, {}), {"d": 1}, "task t has no parameter d"),
        (plain, (1, {}), {"a": 1}, "parameter a is given twice"),
        (plain, ("1", {}), {}, "task t: a: expected `int`, got `str`"),
        (plain, (1, {"x": "y"}), {}, r"task t: b\[\.\.\.\]: expected `int`, got `str`"),
        (plain, (None, {}), {}, "task t: a: expected `int`, got `null`"),
        (plain, (1, {"x": object()}), {}, "task t: parameter b: an object of type object cannot be written as JSON"),
        (untyped, (float("nan"),), {}, "parameter a: JSON has no infinite number"),
        (untyped, (1,), {"deep": [{"x": float("inf")}]}, "parameter deep: JSON has no infinite number"),
        (untyped, ("x" * ARGS_MOST,), {}, "bytes of JSON"),
        (untyped, ("\ud800",), {}, "parameter a: "),
        (untyped, ({1: 2, "1": 3},), {}, "key '1' stands twice"),
        (untyped, (1,), {"b": {1: 2, "1": 3}}, "key '1' stands twice"),
        (untyped, (json.loads("[" * 101 + "]" * 101),), {}, "nested more than 100 deep"),
        (untyped, (msgspec.Raw(b"{"),), {}, "task t: "),
        (untyped, (msgspec.Raw(b'1,"a":2'),), {}, "key 'a' stands twice"),
        (untyped, (10**5000,), {}, "parameter a: "),
        (context_after, (1,), {}, "missing b"),
        (context_first, (1,), {"ctx": 2}, "has no parameter ctx"),
        (everything, (1,), {"b": "x"}, "parameter b can be given by position only"),
        (everything, (1,), {"more": "x"}, "task t: more: expected `int`, got `str`"),
        (everything, (1,), {"e": "z"}, "task t: e: invalid enum value 'z', expected one of x, y"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], says: str
) -> None:
    """The error names the task, the parameter and what was expected."""
    with pytest.raises(InvalidTask, match=says):
        TaskDefinition(function, name="t").encode(args, kwargs)


@pytest.mark.parametrize(
    "raw",
    [b"[]", b"{", b'{"a":1}', b'{"a":"1","b":{}}', b'{"a":1,"b":{},"z":1}', b'{"a":1,"b":{"\xff":1}}', b'{"a":' + b"[" * 9999],
)
def test_a_task_that_does_not_fit_its_handler_is_malformed(raw: bytes) -> None:
    """Whoever sent it: no attempt can succeed."""
    with pytest.raises(Malformed, match="task plain: "):
        TaskDefinition(plain).decode(raw)


def test_a_strangers_member_never_becomes_the_context() -> None:
    """Nor any other thing that a handler did not ask for."""
    for function in (context_first, everything):
        with pytest.raises(Malformed):
            TaskDefinition(function).decode(b'{"a":1,"ctx":1}')


def test_types_beyond_json_arrive_as_annotated() -> None:
    """Times, ids, paths, sets and classes of a user's own are written as JSON and made again."""

    def handler(when: datetime, pause: timedelta, key: UUID, path: Path, tags: set[str], point: Point) -> tuple[Any, ...]:
        return when, pause, key, path, tags, point

    args = (datetime.now(UTC), timedelta(hours=1), UUID(int=7), Path("a/b"), {"x"}, Point(1, 2))
    assert through(TaskDefinition(handler), *args) == args


def test_what_cannot_be_checked_takes_any_json() -> None:
    """An annotation that msgspec cannot handle, or that exists for type checkers only, refuses nothing."""

    def handler(a: Drawable, b: Decimal, c: Callable[[], int], d: type[int], e: list[Drawable]) -> tuple[Any, ...]:
        return a, b, c, d, e

    assert through(TaskDefinition(handler), 1, "1.5", [2], {"x": 3}, [4]) == (1, "1.5", [2], {"x": 3}, [4])


def test_the_context_is_known_where_only_type_checkers_import_it() -> None:
    """By its name, since nothing else of the annotation can be had."""
    for annotation in ("Context", "'Context'", "streamq.Context", "Context | None"):
        scope: dict[str, Any] = {}
        exec(f"def handler(a: int, ctx: {annotation}): return a, ctx", scope)  # noqa: S102
        assert through(TaskDefinition(scope["handler"]), 1) == (1, CONTEXT)


def test_no_parameters_name_is_forbidden() -> None:
    """Names that a struct, a class or a decoder has itself do no harm."""
    names = ["self", "cls", "rest", "p0", "p1", "msgspec", "__struct_fields__", "args", "kwargs"]
    scope: dict[str, Any] = {}
    exec(f"def handler({', '.join(names)}, **more): return ({', '.join(names)}, more)", scope)  # noqa: S102
    definition = TaskDefinition(scope["handler"])
    raw = msgspec.json.encode({name: name for name in names} | {"**": 1})
    assert definition.call(definition.decode(raw)) == (*names, {"**": 1})


def test_a_mutable_default_is_the_functions_own() -> None:
    """As in any call of it."""
    shared: list[int] = []

    def handler(a: int = 1, b: list[int] = shared, c: Any = None) -> list[int]:
        return b

    assert through(TaskDefinition(handler)) is shared


@pytest.mark.parametrize(
    ("result", "expected"),
    [(None, None), (0, b"0"), ({"a": [1, None]}, b'{"a":[1,null]}'), (Point(1), b'{"x":1,"y":0}'), (Path("a"), b'"a"')],
)
def test_a_result_is_kept_as_json(result: object, expected: bytes | None) -> None:
    """None is not kept at all."""
    assert TaskDefinition(plain).dump(result) == expected


def test_a_result_that_is_no_json_is_an_error_of_the_task() -> None:
    """It says which task, and what it returned."""
    with pytest.raises(InvalidResult, match=r"task plain returned what cannot be kept as JSON: .* type object"):
        TaskDefinition(plain).dump({"a": object()})


@pytest.mark.parametrize("result", [float("nan"), [1.0, float("inf")], {"a": {"b": -float("inf")}}])
def test_a_result_that_json_has_no_number_for_is_refused(result: object) -> None:
    """It would be read back as None."""
    definition = TaskDefinition(lambda: None, name="plain")
    with pytest.raises(InvalidResult, match="no infinite number and no NaN"):
        definition.dump(result)
    assert definition.dump({"a": None}) == b'{"a":null}'


@pytest.mark.parametrize("depth", [200, 500, 900, 5000])
def test_arguments_that_are_nested_too_deeply_are_refused(depth: int) -> None:
    """However deep: looking for what is no number goes as deep as they do."""
    value: object = None
    for _ in range(depth):
        value = [value]
    with pytest.raises(InvalidTask):
        TaskDefinition(lambda x: x, name="plain").encode((value,), {})


def test_a_result_is_made_into_what_the_handler_says() -> None:
    """Where it fits; a handler that returns something else than it says gives the JSON."""

    def handler() -> dict[int, Point]:
        return {}

    definition = TaskDefinition(handler)
    assert definition.load({"1": {"x": 2, "y": 3}}) == {1: Point(2, 3)}
    assert definition.load(["other"]) == ["other"]


async def coroutine(a: int) -> int:  # noqa: D103
    return a


class Callable_:  # noqa: N801
    """A handler that is an object."""

    async def __call__(self, a: int, ctx: Context) -> tuple[int, Context]:
        """Handle."""
        return a, ctx


def test_a_definition_knows_whether_its_handler_is_async() -> None:
    """Functions, objects, and what wraps them."""

    @functools.wraps(coroutine)
    def wrapper(a: int) -> Any:
        return coroutine(a)

    assert not TaskDefinition(plain).is_async
    for function in (coroutine, Callable_(), functools.partial(coroutine, 1), wrapper):
        assert TaskDefinition(function, name="t").is_async
    assert TaskDefinition(Callable_(), name="t").needs_context


def varargs(*args: int) -> None:  # noqa: D103
    pass


def twice(a: Context, b: Context) -> None:  # noqa: D103
    pass


def generator(a: int) -> Any:  # noqa: D103
    yield a


@pytest.mark.parametrize(
    ("function", "options", "says"),
    [
        (varargs, {}, r"varargs: a handler cannot take \*args"),
        (twice, {}, "more than one parameter is annotated Context"),
        (generator, {}, "is a generator"),
        (lambda: None, {}, "no name that a task could have"),
        (7, {}, "is no function"),
        (plain, {"name": ""}, "no name of a task"),
        (plain, {"name": "a\n"}, "no name of a task"),
        (plain, {"retries": -1}, "retries is a number from 0 to "),
        (plain, {"retries": 10**400}, "not one of 401 digits"),
        (plain, {"priority": "high"}, "a task has no option priority"),
        (plain, {"max_deliveries": 0}, "max_deliveries is a number from 1 to "),
        (plain, {"retries": 1, "max_deliveries": 2}, "say the same"),
        (plain, {"timeout": 0}, "at least 1 ms"),
        (plain, {"timeout": "soon"}, "not a duration"),
        (plain, {"retry_on": "OSError"}, "exception classes"),
        (plain, {"retry_on": (OSError, int)}, "exception classes"),
        (plain, {"backoff": 5}, "no backoff"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused_where_it_is_written(function: Any, options: dict[str, Any], says: str) -> None:
    """At import, not at the first run."""
    with pytest.raises(UsageError, match=says):
        Registry().task(**options)(function)


def test_options_are_kept() -> None:
    """`retries=5` is six deliveries; durations are ms."""
    registry = Registry()
    pause = backoff.constant(1)
    assert registry.task(name="t", retries=5, backoff=pause, retry_on=OSError, timeout="2m")(plain) is plain
    definition = registry.get("t")
    assert definition is not None
    assert (definition.max_deliveries, definition.backoff) == (6, pause)
    assert (definition.retry_on, definition.timeout_ms) == ((OSError,), 120_000)
    assert TaskDefinition(plain).retry_on == (BaseException,)
    assert TaskDefinition(plain).max_deliveries is None


def test_a_registry_has_one_function_a_name() -> None:
    """Two of one name are refused, in one registry or two; the same one may come again."""
    one, other = Registry(), Registry()
    one.task(plain)
    one.task(plain)
    other.task(name="plain")(keywords)
    other.task(coroutine)
    with pytest.raises(UsageError, match=r"two functions are named task plain: .*plain and .*keywords"):
        one.task(name="plain")(keywords)
    with pytest.raises(UsageError, match="two functions are named task plain"):
        one.merge(other)
    assert one.names() == ["plain"]
    third = Registry()
    third.task(coroutine)
    one.merge(third)
    assert one.names() == ["coroutine", "plain"]
    assert ("plain" in one, "other" in one, len(one), one.get("other")) == (True, False, 2, None)
