"""A task on the wire: the fields of a stream entry, and back.

Any client may add a task with a plain XADD, so what comes in is judged here before anything acts on it: `parse` gives a `Task` or
a `Malformed` that says what is wrong, and the worker moves such an entry to the dead letters, whole. What goes out is built here
too, in one order of fields, so that Redis shares their names between neighbouring entries.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamq.errors import InvalidTask
from streamq.keys import is_id, sent_ms

if TYPE_CHECKING:
    from collections.abc import Callable

#: The newest version of the format that this streamq understands (field `v`; an entry without one is version 1).
VERSION: Final = 1
#: Longest name of a task, in characters.
NAME_MOST: Final = 200
#: Largest arguments of a task, in bytes of JSON. Larger ones belong in a file or a store, their address in the task.
ARGS_MOST: Final = 1 << 20
#: How deep lists and objects may lie in each other in the arguments: whoever walks through them does so by recursion.
DEPTH_MOST: Final = 100
#: Largest entry, names and values of all its fields together, in bytes.
ENTRY_MOST: Final = ARGS_MOST + (1 << 16)
#: Longest unique key, in bytes.
KEY_MOST: Final = 512
#: Most deliveries that a task may ask for.
DELIVERIES_MOST: Final = 1_000_000
#: Latest time and longest time limit, in ms: a hundred years of them stay exact integers in Lua's doubles.
MS_MOST: Final = 1 << 52

_TRACE: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{0,200})?")
_DIGITS: Final = re.compile(rb"[0-9]{1,16}")
#: All of it is built, since a decoder that skips a value lets numbers pass that whoever reads the task later could not hold.
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class Malformed(InvalidTask):
    """An entry of the stream is no task, or its arguments do not fit its handler: no attempt can succeed."""


class Newer(Malformed):
    """An entry is of a version of the format that only newer releases know: it is theirs.

    Args:
        version: which.
    """

    def __init__(self, version: int) -> None:
        super().__init__(
            f"the entry has version {version} of the format, this streamq knows {VERSION}", hint="update the workers"
        )
        self.version = version


class Task(msgspec.Struct, frozen=True, gc=False):
    """A task as its entry describes it.

    `id` stays the same for the task's whole life; `address` is where it stands now. Times are ms since the epoch, server's clock.
    """

    id: str
    address: str
    name: str
    #: The arguments: a JSON object, not decoded.
    args: bytes
    #: Time limit of one run, ms.
    timeout_ms: int | None = None
    #: How often it may be delivered.
    max_deliveries: int | None = None
    #: When it is too late to start it.
    expires_ms: int | None = None
    #: Its unique key.
    key: str | None = None
    #: W3C `traceparent` of the sender.
    trace: str | None = None
    version: int = VERSION
    #: Of a task that was sent with a delay: the letter of its priority, and when it is due.
    priority: str | None = None
    due_ms: int | None = None
    #: Fields that streamq does not know; bytes that are no UTF-8 are written `\\xNN`.
    extra: dict[str, str] = {}

    @property
    def sent_ms(self) -> int:
        """When the task was sent."""
        return sent_ms(self.id)


def parse(address: str, fields: list[bytes]) -> Task:
    """Return the task that an entry holds.

    Args:
        address: where the entry stands.
        fields: names and values, in turn.

    Raises:
        Newer: it is one for newer releases.
        Malformed: the entry is no task; the error says why.
    """
    if len(fields) == 4 and fields[0] == b"task" and fields[2] == b"args":  # noqa: PLR2004 - the common case, two pairs
        return Task(address, address, _name(fields[1]), check_args(fields[3]))
    if sum(map(len, fields)) > ENTRY_MOST:
        raise Malformed(f"the entry has {sum(map(len, fields))} bytes, at most {ENTRY_MOST} are taken")
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    if len(values) * 2 != len(fields):
        raise Malformed("the entry has a field twice")
    if (version := _number("v", values.pop(b"v", b"1"))) > VERSION:  # whatever else it holds is that version's
        raise Newer(version)
    for required in (b"task", b"args"):
        if required not in values:
            raise Malformed(f"the entry has no field '{required.decode()}'")
    name, args = _name(values.pop(b"task")), check_args(values.pop(b"args"))
    known: dict[str, Any] = {"id": address, "extra": {}}
    for field, raw in values.items():
        if field in _FIELDS:
            attribute, read = _FIELDS[field]
            known[attribute] = read(field.decode(), raw)
        else:
            known["extra"][_shown(field)] = _shown(raw)
    return Task(address=address, name=name, args=args, version=version, **known)


def id_of(address: str, fields: list[bytes]) -> str:
    """Return the id of an entry, be it a task or not: its field `id`, else the address where it stands."""
    for field, value in zip(fields[::2], fields[1::2], strict=True):
        if field == b"id":
            return _shown(value)
    return address


def name_of(fields: list[bytes]) -> str:
    """Return the task's name in an entry that may be no task, as it may be shown; `?` where there is none."""
    for field, value in zip(fields[::2], fields[1::2], strict=True):
        if field == b"task":
            return _shown(value)[:NAME_MOST] or "?"
    return "?"


def entry_fields(
    name: str,
    *,
    timeout_ms: int | None = None,
    max_deliveries: int | None = None,
    key: str | None = None,
    trace: str | None = None,
) -> list[str | int]:
    """Return the fields of an entry to send, up to `args`, whose value comes last; what is default is left out.

    Raises:
        InvalidTask: a value is too long or out of range.
    """
    fields: list[str | int] = ["task", check_name(name)]
    if timeout_ms is not None:
        fields += "timeout", _in_range("timeout", timeout_ms, MS_MOST)
    if max_deliveries is not None:
        fields += "max", _in_range("max_deliveries", max_deliveries, DELIVERIES_MOST)
    if key is not None:
        fields += "key", _check_key(key)
    if trace is not None:
        if not _TRACE.fullmatch(trace):
            raise InvalidTask(f"trace: {trace!r} is no W3C traceparent")
        fields += "trace", trace
    return [*fields, "args"]


def check_name(name: object) -> str:
    """Return the name of a task.

    Raises:
        InvalidTask: it is no text, empty, longer than `NAME_MOST` or holds what cannot be printed.
    """
    if not (isinstance(name, str) and _is_task_name(name)):
        raise InvalidTask(
            f"{name!r:.{NAME_MOST}} is no name of a task", hint=f"A name has 1 to {NAME_MOST} printable characters."
        )
    return name


def check_args(raw: bytes) -> bytes:
    """Return arguments that are a JSON object which every reader understands alike; a handler's decoder judges its members.

    Raises:
        Malformed: they are not.
    """
    if len(raw) > ARGS_MOST:
        raise Malformed(
            f"field 'args' has {len(raw)} bytes of JSON, at most {ARGS_MOST} are taken",
            hint="Write what is large to a file or a store, and send where it is.",
        )
    try:
        members = _decode_object(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"field 'args': expected a JSON object: {error}") from None
    except RecursionError:
        raise Malformed(_TOO_DEEP) from None
    if len(raw) > 2 * DEPTH_MOST and raw.count(b"[") + raw.count(b"{") > DEPTH_MOST and _is_deeper(members, DEPTH_MOST):
        raise Malformed(_TOO_DEEP)
    if raw.count(b":") != len(members):  # else no text holds a colon, no object lies in another one, and no key was lost
        _name_twice(raw.decode())
    return raw


def _check_key(key: str) -> str:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidTask(f"a unique key is text that UTF-8 can hold, not {key[:KEY_MOST]!r}") from None
    if not 0 < size <= KEY_MOST:
        raise InvalidTask(f"a unique key has 1 to {KEY_MOST} bytes, not {size}")
    return key


def _is_task_name(name: str) -> bool:
    return 0 < len(name) <= NAME_MOST and name.isprintable()


@functools.lru_cache(1024)
def _name(raw: bytes) -> str:
    """A task's name, checked once: the few names of a queue come again and again."""
    name = _text("task", raw)
    if not _is_task_name(name):
        raise Malformed(f"field 'task': expected a name of 1 to {NAME_MOST} printable characters")
    return name


_TOO_DEEP: Final = f"field 'args': the JSON is nested more than {DEPTH_MOST} deep"


def _is_deeper(value: Any, most: int) -> bool:
    """Whether lists and objects lie in each other more than so deep, the value itself included."""
    inner = value.values() if isinstance(value, dict) else value
    return most == 0 or any(_is_deeper(each, most - 1) for each in inner if isinstance(each, dict | list))


def _refuse_twice(pairs: list[tuple[str, Any]]) -> None:
    names = set()
    for name, _ in pairs:
        if name in names:
            raise Malformed(f"field 'args': key {name[:40]!r} stands twice in one object")
        names.add(name)


#: Python's own decoder, the only one that tells of a key that stands twice: readers differ in which of the two they take.
_name_twice = json.JSONDecoder(object_pairs_hook=_refuse_twice, parse_int=str, parse_float=str).decode


def _in_range(field: str, number: int, most: int) -> int:
    if not 1 <= number <= most:
        raise InvalidTask(f"{field}: expected a number from 1 to {most}, not {number}")
    return number


def _number(field: str, raw: bytes, least: int = 1, most: int = MS_MOST) -> int:
    if not _DIGITS.fullmatch(raw) or not least <= (number := int(raw)) <= most:
        raise Malformed(f"field '{field}': expected a number from {least} to {most}, not {_shown(raw[:40])!r}")
    return number


def _deliveries(field: str, raw: bytes) -> int:
    return _number(field, raw, 1, DELIVERIES_MOST)


def _due(field: str, raw: bytes) -> int:
    return _number(field, raw, 0)


def _text(field: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Malformed(f"field '{field}': expected UTF-8") from None


def _key(field: str, raw: bytes) -> str | None:
    if len(raw) > KEY_MOST:
        raise Malformed(f"field '{field}': a unique key has at most {KEY_MOST} bytes, not {len(raw)}")
    return _text(field, raw) or None


def _trace(field: str, raw: bytes) -> str | None:
    """What is no `traceparent` is ignored, as the standard asks: handlers put it into the headers of what they call."""
    trace = _text(field, raw)
    return trace if _TRACE.fullmatch(trace) else None


def _id(field: str, raw: bytes) -> str:
    text = _text(field, raw)
    if not is_id(text):
        raise Malformed(f"field '{field}': {text[:40]!r} is no id of a task; the field is reserved")
    return text


def _shown(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")


#: Field -> what it is called in a `Task`, and what reads it; `task` and `args` stand for themselves.
_FIELDS: Final[dict[bytes, tuple[str, Callable[[str, bytes], Any]]]] = {
    b"timeout": ("timeout_ms", _number),
    b"max": ("max_deliveries", _deliveries),
    b"expires": ("expires_ms", _number),
    b"key": ("key", _key),
    b"trace": ("trace", _trace),
    b"id": ("id", _id),
    b"priority": ("priority", _text),
    b"due": ("due_ms", _due),
}
