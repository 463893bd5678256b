"""What must hold of the decoder of entries, whatever bytes somebody has put into a stream.

One function judges one entry; Hypothesis calls it in the tests, `scripts/fuzz` calls it millions of times under atheris.
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from streamq import wire
from streamq.keys import is_id
from streamq.server.resp import pack

#: Where the entry stands.
ADDRESS = "d1764000000000-7"
_KNOWN = (b"task", b"args", b"timeout", b"max", b"expires", b"key", b"trace", b"v", b"id", b"priority", b"due")


def split(data: bytes) -> list[bytes]:
    """Make an entry of bytes: what is between two newlines is a name or a value, and a byte below 11 names a known field."""
    parts = [_KNOWN[part[0]] if len(part) == 1 and part[0] < len(_KNOWN) else part for part in data.split(b"\n")]
    return parts[: len(parts) // 2 * 2]


def judge(fields: list[bytes]) -> wire.Task | None:
    """Parse an entry, check all that readers rely on, and return the task; None of one that is refused.

    Raises:
        AssertionError: a refusal cannot be shown, or a task breaks what is promised of it.
    """
    wire.id_of(ADDRESS, fields).encode()
    assert wire.name_of(fields).encode()
    try:
        task = wire.parse(ADDRESS, fields)
    except wire.Malformed as refusal:
        refusal.what.encode()  # it becomes the error of a dead letter
        return None
    assert 0 < len(task.name) <= wire.NAME_MOST
    assert task.name.isprintable()
    assert is_id(task.id)
    assert sum(map(len, fields)) <= wire.ENTRY_MOST
    assert task.key is None or 0 < len(task.key.encode()) <= wire.KEY_MOST
    assert task.trace is None or (task.trace.isascii() and task.trace.isprintable())
    assert all(number is None or 0 <= number <= wire.MS_MOST for number in (task.timeout_ms, task.expires_ms, task.due_ms))
    _check_arguments(task.args)
    msgspec.json.encode(task)
    _check_sent_again(task)
    return task


def is_newer(fields: list[bytes]) -> bool:
    """Whether an entry is of a format that only newer releases know, and is left to them."""
    try:
        wire.parse(ADDRESS, fields)
    except wire.Malformed as refusal:
        return isinstance(refusal, wire.Newer)
    return False


def _check_arguments(raw: bytes) -> None:
    """Every decoder reads the same, and what was read can be written again."""
    assert len(raw) <= wire.ARGS_MOST
    ours = msgspec.json.decode(raw)
    assert isinstance(ours, dict)
    theirs = json.loads(raw, object_pairs_hook=_unique, parse_constant=_no_constant)
    assert theirs == ours
    assert _depth(ours) <= wire.DEPTH_MOST
    json.dumps(ours, ensure_ascii=False, allow_nan=False).encode()
    assert msgspec.json.decode(msgspec.json.encode(ours)) == ours


def _check_sent_again(task: wire.Task) -> None:
    """What is a task on the way in is one on the way out."""
    options: dict[str, Any] = {"timeout_ms": task.timeout_ms, "max_deliveries": task.max_deliveries}
    again = [*wire.entry_fields(task.name, key=task.key, trace=task.trace, **options), wire.check_args(task.args)]
    stored = [field if isinstance(field, bytes) else str(field).encode() for field in again]
    twin = wire.parse(ADDRESS, stored)
    assert (twin.name, twin.args, twin.key, twin.trace) == (task.name, task.args, task.key, task.trace)
    assert pack([["XADD", "stream", "*", *again]])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({name for name, _ in pairs}) == len(pairs), "a key stands twice"
    return dict(pairs)


def _no_constant(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def _depth(value: Any) -> int:
    if isinstance(value, float):
        assert math.isfinite(value)
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)
