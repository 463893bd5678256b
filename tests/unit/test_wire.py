"""A task on the wire: what was written is read back, what is no task is told apart, and any client's entry is judged."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq import wire
from streamq.errors import InvalidTask

ADDRESS = "d1764000000000-7"

names = st.text(min_size=1, max_size=200).filter(str.isprintable)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def as_stored(fields: list[str | bytes | int]) -> list[bytes]:
    """Fields as a server gives them back."""
    return [field if isinstance(field, bytes) else str(field).encode() for field in fields]


@given(
    names,
    st.dictionaries(st.text(), values, max_size=4),
    st.none() | st.integers(1, wire.MS_MOST),
    st.none() | st.integers(1, wire.DELIVERIES_MOST),
    st.none() | st.text(min_size=1, max_size=100).filter(lambda text: len(text.encode()) <= wire.KEY_MOST),
)
def test_what_is_sent_is_read_back(
    name: str, args: dict[str, Any], timeout: int | None, most: int | None, key: str | None
) -> None:
    """Every option comes back as it was sent, and nothing else."""
    raw = json.dumps(args).encode()
    fields = as_stored([*wire.entry_fields(name, timeout_ms=timeout, max_deliveries=most, key=key), wire.check_args(raw)])
    task = wire.parse(ADDRESS, fields)
    assert task == wire.Task(ADDRESS, ADDRESS, name, raw, timeout_ms=timeout, max_deliveries=most, key=key)


def test_fields_stand_in_one_order() -> None:
    """Neighbouring entries share their names in the stream, since their order never changes."""
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    fields = wire.entry_fields("resize", key="k", trace=trace, max_deliveries=3, timeout_ms=9)
    assert fields == ["task", "resize", "timeout", 9, "max", 3, "key", "k", "trace", trace, "args"]


def test_what_is_default_is_not_sent() -> None:
    """A plain task has two fields."""
    assert wire.entry_fields("resize") == ["task", "resize", "args"]


@given(st.lists(st.binary(max_size=12), max_size=12).filter(lambda fields: len(fields) % 2 == 0))
def test_garbage_is_malformed_and_nothing_worse(fields: list[bytes]) -> None:
    """No entry of a stranger raises anything but Malformed, and its id and name can always be shown."""
    try:
        wire.parse(ADDRESS, fields)
    except wire.Malformed:
        assert wire.id_of(ADDRESS, fields).encode() is not None
        assert wire.name_of(fields).encode()


@st.composite
def nearly_json(draw: st.DrawFn) -> bytes:
    """A JSON object, often with some bytes put in, taken out or changed."""
    raw = bytearray(json.dumps(draw(st.dictionaries(st.text(), values, max_size=3)), ensure_ascii=draw(st.booleans())).encode())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 1))] = draw(
            st.sampled_from([b"", b"{", b"}", b"[", b'"', b"\\", b"0", b"-", b",", b"\x00", b"\xff", b" "])
        )
    return bytes(raw)


@given((st.binary(max_size=200) | nearly_json()).filter(lambda raw: b"\\u" not in raw))
def test_arguments_are_accepted_exactly_when_they_are_a_json_object(raw: bytes) -> None:
    """Arguments are judged as Python's own JSON judges them, but no infinite number, no key twice."""
    try:
        decoded = json.loads(raw.decode(), parse_constant=pytest.fail, parse_float=finite, object_pairs_hook=unique)
        expected = isinstance(decoded, dict)
    except (ValueError, UnicodeDecodeError, pytest.fail.Exception):
        expected = False
    try:
        wire.parse(ADDRESS, [b"task", b"t", b"args", raw])
        accepted = True
    except wire.Malformed:
        accepted = False
    assert accepted == expected


def finite(text: str) -> float:
    """A number of JSON that a double can hold."""
    if not math.isfinite(float(text)):
        raise ValueError(text)
    return float(text)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON in which each key stands once."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError(pairs)
    return dict(pairs)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ([], "no field 'task'"),
        ([b"args", b"{}"], "no field 'task'"),
        ([b"task", b"t"], "no field 'args'"),
        ([b"task", b"", b"args", b"{}"], "field 'task'"),
        ([b"task", b"a\nb", b"args", b"{}"], "field 'task'"),
        ([b"task", b"x" * 201, b"args", b"{}"], "field 'task'"),
        ([b"task", b"\xff", b"args", b"{}"], "field 'task': expected UTF-8"),
        ([b"task", b"t", b"args", b"[]"], "field 'args': expected a JSON object"),
        ([b"task", b"t", b"args", b'{"a":1'], "field 'args'"),
        ([b"task", b"t", b"args", b'{"a":"\xff"}'], "field 'args'"),
        ([b"task", b"t", b"args", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"], "nested more than 100 deep"),
        ([b"task", b"t", b"args", b'{"a":{"b":' + b"[" * 99 + b"]" * 99 + b"}}"], "nested more than 100 deep"),
        ([b"task", b"t", b"args", b'{"a":1e400}'], "field 'args'.*[Nn]umber out of range"),
        ([b"task", b"t", b"args", b'{"a":[-1e400]}'], "field 'args'.*[Nn]umber out of range"),
        ([b"task", b"t", b"args", b'{"a":' + b"9" * 4301 + b"}"], "field 'args'.*out of range"),
        ([b"task", b"t", b"args", b'{"a":NaN}'], "field 'args'"),
        ([b"task", b"t", b"args", b'{"a":-Infinity}'], "field 'args'"),
        ([b"task", b"t", b"args", b'{"a":1,"a":2}'], "key 'a' stands twice"),
        ([b"task", b"t", b"args", b'{"a":{"b":1,"\\u0062":2}}'], "key 'b' stands twice"),
        ([b"task", b"t", b"args", b'{"a":"\\ud800"}'], "field 'args'"),
        ([b"task", b"t", b"args", b'{"a":"\\udc00\\ud800"}'], "field 'args'"),
        ([b"task", b"t", b"args", b'{"a":"\x00"}'], "field 'args'"),
        ([b"task", b"t\x00", b"args", b"{}"], "field 'task'"),
        ([b"task", b"t", b"args", b'{"a":"' + b"x" * wire.ARGS_MOST + b'"}'], "1048584 bytes of JSON, at most 1048576"),
        ([b"task", b"t", b"args", b"{}", b"more", b"x" * wire.ENTRY_MOST], "the entry has 1114127 bytes, at most 1114112"),
        ([b"task", b"t", b"args", b"{}", b"key", b"k" * 513], "at most 512 bytes, not 513"),
        ([b"task", b"t", b"args", b"{}", b"task", b"u"], "a field twice"),
        ([b"task", b"t", b"args", b"{}", b"timeout", b"0"], "field 'timeout': expected a number from 1"),
        ([b"task", b"t", b"args", b"{}", b"timeout", b"-5"], "field 'timeout'"),
        ([b"task", b"t", b"args", b"{}", b"timeout", b"5s"], "field 'timeout'"),
        ([b"task", b"t", b"args", b"{}", b"timeout", b"9" * 400], "field 'timeout'"),
        ([b"task", b"t", b"args", b"{}", b"max", b"1000001"], "field 'max'"),
        ([b"task", b"t", b"args", b"{}", b"expires", "١٢".encode()], "field 'expires'"),
        ([b"task", b"t", b"args", b"{}", b"key", b"\xfe"], "field 'key'"),
        ([b"task", b"t", b"args", b"{}", b"id", b"mine"], "field 'id'"),
        ([b"task", b"t", b"args", b"{}", b"v", b"2"], "version 2"),
    ],
)
def test_what_is_no_task_says_why(fields: list[bytes], says: str) -> None:
    """The reason names the field and what was expected of it."""
    with pytest.raises(wire.Malformed, match=says):
        wire.parse(ADDRESS, fields)


@pytest.mark.parametrize("trace", [b"", b"mine", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01-x\r\nCookie: 1"])
def test_a_trace_that_is_none_is_ignored(trace: bytes) -> None:
    """As the standard asks; a handler may put it into the headers of what it calls."""
    assert wire.parse(ADDRESS, [b"task", b"t", b"args", b"{}", b"trace", trace]).trace is None


def test_what_is_large_but_within_the_limits_is_a_task() -> None:
    """The limits are the last that passes."""
    deep, long = b'{"a":' + b"[" * 99 + b"]" * 99 + b"}", b'{"a":"' + b"x" * (wire.ARGS_MOST - 8) + b'"}'
    for raw in (deep, long, b'{"a":1.7976931348623157e308}', b'{"a":' + b"9" * 4300 + b"}", b'{"a":"\\u0000"}'):
        assert wire.parse(ADDRESS, [b"task", b"t", b"args", raw]).args == raw
        assert wire.check_args(raw) == raw


def test_unknown_fields_are_kept() -> None:
    """What streamq does not know is handed to the handler's context, bytes that are no text included."""
    task = wire.parse(ADDRESS, [b"task", b"t", b"args", b"{}", b"tenant", b"7", b"\xff", b"\x00"])
    assert task.extra == {"tenant": "7", "\\xff": "\x00"}


def test_the_reserved_fields_of_a_parked_task_are_read() -> None:
    """A revived task keeps its first id, and a scheduled one says when it is due."""
    pairs = [b"priority", b"h", b"due", b"1764000001000", b"id", b"h1763000000000-0", b"task", b"t", b"args", b"{}", b"v", b"1"]
    task = wire.parse("s1764000000000-0", pairs)
    assert (task.id, task.address, task.priority, task.due_ms) == ("h1763000000000-0", "s1764000000000-0", "h", 1764000001000)
    assert task.sent_ms == 1763000000000
    assert wire.id_of("s1764000000000-0", pairs) == "h1763000000000-0"


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"key": "\udc80"},
        {"name": "tab\t"},
        {"key": ""},
        {"key": "x" * 513},
        {"key": "ä" * 257},
        {"timeout_ms": 0},
        {"max_deliveries": 0},
        {"max_deliveries": 1_000_001},
        {"trace": "yes"},
    ],
)
def test_what_cannot_be_sent_is_refused(options: dict[str, Any]) -> None:
    """Nothing that the worker would find malformed, or too large, leaves the sender."""
    with pytest.raises(InvalidTask):
        wire.entry_fields(**{"name": "t"} | options)


@pytest.mark.parametrize("args", [b"[]", b"{", b'{"a":"' + b"x" * wire.ARGS_MOST + b'"}'])
def test_arguments_that_cannot_be_sent_are_refused(args: bytes) -> None:
    """Of the many that cannot: these."""
    with pytest.raises(InvalidTask):
        wire.check_args(args)
