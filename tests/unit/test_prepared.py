"""Options of sending: what they become for the script that adds tasks, and what contradicts itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from streamq.errors import UsageError
from streamq.prepared import Options, Prepared, prepare, resolve


@pytest.mark.parametrize(
    ("options", "head"),
    [
        ({}, "d"),
        ({"priority": None, "delay": None}, "d"),
        ({"priority": "high"}, "h"),
        ({"priority": "low", "delay": "10m"}, "l;+600000;;"),
        ({"delay": timedelta(seconds=1.5)}, "d;+1500;;"),
        ({"delay": 0}, "d"),
        ({"at": "+10m"}, "d;+600000;;"),
        ({"at": "2027-03-01T08:30:00Z"}, "d;@1803889800000;;"),
        ({"at": datetime(2027, 3, 1, 8, 30, tzinfo=UTC)}, "d;@1803889800000;;"),
        ({"at": datetime(1960, 1, 1, tzinfo=UTC)}, "d;@0;;"),
        ({"expires": "1h"}, "d;;+3600000;"),
        ({"expires": "2027-03-01T08:30:00Z"}, "d;;@1803889800000;"),
        ({"expires": datetime(2027, 3, 1, 8, 30, tzinfo=UTC), "delay": 5}, "d;+5000;@1803889800000;"),
        ({"unique": "a;b"}, "d;;;u"),
    ],
)
def test_options_become_the_head_of_a_task(options: Options, head: str) -> None:
    """Relative times stay relative, until the server's clock makes them absolute."""
    assert resolve(options).head == head


def test_a_prepared_task_is_what_the_script_reads() -> None:
    """Head, number of strings, then the entry's fields."""
    task: Prepared[object] = prepare(
        "t", b"{}", resolve({"unique": "k", "timeout": "2s", "max_deliveries": 3, "priority": "high"})
    )
    assert task.form.argv == ("h;;;u", 9, "task", "t", "timeout", 2000, "max", 3, "key", "k", "args")
    assert (task.name, task.args, task.priority) == ("t", b"{}", "high")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"priority": "urgent"}, "priority: expected one of high, default, low"),
        ({"delay": "1m", "at": "18:30"}, "delay and at"),
        ({"delay": -1}, "negative"),
        ({"delay": "soon"}, "not a duration"),
        ({"at": "soon"}, "not a point in time"),
        ({"expires": 0}, "expire before it is sent"),
        ({"expires": "soon"}, "not a point in time"),
        ({"expires": True}, "not a duration"),
        ({"delay": "2h", "expires": "1h"}, "expire before it is due"),
        ({"at": "2027-03-02", "expires": "2027-03-01"}, "expire before it is due"),
        ({"timeout": 0}, "at least 1 ms"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: Options, says: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match=says):
        resolve(options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dealy": "10m"}, "a task has no option dealy"),
        ({"unique": 5}, "unique: expected a text"),
        ({"priority": ["high"]}, "priority: expected one of"),
    ],
)
def test_options_that_are_none_are_refused(options: dict[str, Any], says: str) -> None:
    """A misspelt one is not left out in silence."""
    with pytest.raises(UsageError, match=says):
        resolve(cast("Options", options))
