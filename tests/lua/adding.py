"""A call of `add` with arguments as a test writes them down."""

from __future__ import annotations

from collections.abc import Sequence

from streamq.replies import expand_ids
from streamq.server.resp import words
from streamq.transitions import Transitions

Arguments = list[str | bytes | int]


def task(head: str, *fields: str | bytes | int) -> Arguments:
    """One task, as `add.lua` takes it."""
    return [1, head, len(fields) - 1, *fields]


def add(run: Transitions, lane: str, number: int, bound: int, tasks: Sequence[str | bytes | int]) -> tuple[bool, list[str]]:
    """Whether this is the answer to an earlier send of that number, and the ids."""
    run.post_add(lane, number, bound, [words(tasks)])
    again, ids = run.added()
    return again, expand_ids(ids)
