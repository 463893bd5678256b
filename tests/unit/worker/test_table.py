"""What a child runs stands in memory that outlives it, row by row, and another process reads the same."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq import backoff
from streamq.registry import Registry
from streamq.wire import DELIVERIES_MOST, MS_MOST, NAME_MOST, Task
from streamq.worker.run import Run
from streamq.worker.table import UNSETTLED, Counters, Row, Table, forget_old

registry = Registry()
LONGEST_ADDRESS = f"d{2**64 - 1}-{2**64 - 1}"


@registry.task
def plain(n: int) -> None:
    """A task."""


@pytest.fixture
def table() -> Iterator[Table]:
    """A table of three slots."""
    table = Table.create(3)
    yield table
    table.close()


def run(
    address: str = "d1-0", name: str = "plain", timeout_ms: int = 0, count: int = 3, deliveries: int = 2, limit: int = 5
) -> Run:
    """A run that has been started."""
    definition = registry.get("plain")
    assert definition is not None
    task = Task(address, address, name, b"{}")
    made = Run(address, count, deliveries, limit, b"", task, definition, timeout_ms, 0.0, time.monotonic(), time.monotonic())
    made.started_ms = 1000
    return made


def test_a_row_shows_what_runs_until_it_ends_and_is_kept_until_it_is_settled(table: Table) -> None:
    """Each run for itself."""
    first = table.start(run("d1-0"), 5.0, lambda _: backoff.constant(2))
    second = table.start(run("h2-0", timeout_ms=250), 5.0, lambda _: backoff.constant(2), grace=1.0)
    assert table.rows() == [
        Row("d1-0", 3, 1000, 0.0, 0, 2, 5, 0, "plain"),
        Row("h2-0", 3, 1000, 6.25, 250, 2, 5, 2000, "plain"),
    ]
    table.end(first)
    assert [row.address for row in table.rows()] == ["h2-0"]
    assert [row.address for row in table.started()] == ["h2-0", "d1-0"]
    table.clear([first])
    assert table.started() == table.rows()
    table.clear([second])
    table.start(run("l3-0"), 5.0, lambda _: backoff.constant(2))
    assert [row.address for row in table.started()] == ["l3-0"]


def test_runs_that_are_not_settled_leave_room_for_those_that_begin(table: Table) -> None:
    """However many they are: the rows of those beyond a thousand are given up."""
    kept = 0
    for _ in range(2 * UNSETTLED):
        row = table.start(run(), 5.0, lambda _: backoff.constant(2))
        kept += table.end(row) == row
    assert kept == len(table.started()) == UNSETTLED
    for _ in range(table.slots):
        table.start(run(), 5.0, lambda _: backoff.constant(2))


@given(
    name=st.text(min_size=1, max_size=NAME_MOST).filter(lambda text: "\0" not in text and text.isprintable()),
    timeout_ms=st.integers(0, MS_MOST),
    count=st.integers(1, 2**53),
    limit=st.integers(1, DELIVERIES_MOST),
    pause=st.floats(0, 36_525 * 86_400),
)
def test_a_row_holds_whatever_a_task_may_bring(name: str, timeout_ms: int, count: int, limit: int, pause: float) -> None:
    """The longest address, name, limit and pause that are accepted; a long name is cut, perhaps in the middle of a character."""
    table = Table.create(1)
    try:
        began = run(LONGEST_ADDRESS, name, timeout_ms, count, limit, limit)
        table.start(began, time.monotonic(), lambda _: backoff.constant(pause))
        [row] = table.rows()
        assert (row.address, row.delivery, row.deliveries, row.limit) == (LONGEST_ADDRESS, count, limit, limit)
        assert row.timeout_ms == timeout_ms
        assert row.retry_ms == (int(pause * 1000) if timeout_ms else 0)
        assert name.startswith(row.task.rstrip("�"))
        assert len(row.task) <= 64
    finally:
        table.close()


def test_it_outlives_its_writer(table: Table) -> None:
    """What a process wrote before it was killed is there for the one that started it."""
    if (pid := os.fork()) == 0:
        same = Table(table.fd, table.slots)
        same.start(run("d9-0"), 1.0, lambda _: backoff.constant(1))
        same.count(Counters(7, 2, 1, 4096))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert [row.address for row in table.rows()] == ["d9-0"]
    assert table.counters() == Counters(7, 2, 1, 4096)


def test_a_table_is_found_by_its_path_until_it_is_closed(table: Table) -> None:
    """By whoever may read it, and with what had started."""
    assert table.path is not None
    assert table.path.stat().st_mode & 0o777 == 0o600
    row = table.start(run("d1-0"), 5.0, lambda _: backoff.constant(2))
    table.start(run("d2-0"), 5.0, lambda _: backoff.constant(2))
    table.end(row)
    left = Table.left(table.path)
    assert left is not None
    assert {each.address for each in left} == {"d1-0", "d2-0"}
    other = Table.create(1)
    assert other.path is not None
    other.close()
    assert Table.left(other.path) is None


def test_what_is_no_table_says_nothing(table: Table, tmp_path: Path) -> None:
    """Anybody may have written a card: another path is not opened, another file, a link or a short one is not believed."""
    assert table.path is not None
    copy = tmp_path / table.path.name
    copy.write_bytes(table.path.read_bytes())
    odd = [table.path.with_name(f"streamq-slots-0-0-{name}{os.getpid()}") for name in ("short", "link", "empty")]
    try:
        odd[0].write_bytes(table.path.read_bytes()[:-1])
        odd[1].symlink_to(table.path)
        odd[2].touch()
        assert [Table.left(path) for path in (copy, Path("/etc/passwd"), Path(), *odd)] == [None] * 6
    finally:
        for path in odd:
            path.unlink()


def test_tables_that_nobody_looked_for_are_removed_after_an_hour(table: Table) -> None:
    """Those of dead workers; a living one may be idle for as long as it likes."""
    assert table.path is not None
    dead = table.path.with_name(f"streamq-slots-{os.getpid()}-1-{os.urandom(4).hex()}")
    fresh = table.path.with_name(f"streamq-slots-{os.getpid()}-1-{os.urandom(4).hex()}")
    try:
        for path in (dead, fresh):
            path.touch()
        for path in (dead, table.path):
            os.utime(path, (1, 1))
        forget_old()
        assert (dead.exists(), fresh.exists(), table.path.exists()) == (False, True, True)
    finally:
        fresh.unlink()


def test_the_heartbeat_holds_from_the_first_to_the_last_as_long_as_none_is_late(table: Table) -> None:
    """Told conservatively: from when the server had answered until what was asked for has run out."""
    assert not table.is_unbroken(5.0, 5.0, 2.0)
    table.heard(10.0, 10.1, 2.0)
    table.heard(11.0, 11.1, 2.0)
    assert table.is_unbroken(10.1, 12.9, 2.0)
    assert not table.is_unbroken(10.0, 12.0, 2.0)
    assert not table.is_unbroken(10.1, 13.0, 2.0)
    table.heard(12.5, 13.1, 2.0)
    assert not table.is_unbroken(12.9, 13.2, 2.0)
    assert table.is_unbroken(13.1, 14.0, 2.0)
