"""Calls of the scripts that add, with tasks as a test writes them down."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from streamq.replies import expand_ids
from streamq.server.resp import words
from streamq.transitions import Transitions

#: A task: head, then names and values of the fields in turn.
Row = tuple[str | bytes | int, ...]


class Call(NamedTuple):
    """A script, and its arguments behind lane, number and bound."""

    script: Literal["add", "add_one"]
    args: list[str | bytes | int]


def call(tasks: Sequence[Row]) -> Call:
    """The call that adds tasks, as a producer makes it: neighbours that differ in their last value alone together."""
    if len(tasks) == 1 and tasks[0][0] in {"h", "d", "l"}:
        return Call("add_one", list(tasks[0]))
    args: list[str | bytes | int] = []
    for (head, *fields), alike in groupby(tasks, lambda task: task[:-1]):
        values = [task[-1] for task in alike]
        args += [len(values), head, len(fields), *fields, *values]
    return Call("add", args)


def add(run: Transitions, lane: str, number: int, bound: int, made: Call) -> tuple[bool, list[str]]:
    """Whether this is the answer to an earlier send of that number, and the ids."""
    run.post_add(made.script, lane, number, bound, words(made.args))
    again, ids = run.added()
    return again, expand_ids(ids)
