"""The picture of a queue at work fits its terminal, whatever the figures."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from streamq.cli.figures import number, percent, rate, times, workers
from streamq.cli.monitor import Moment, changes
from streamq.cli.monitor_view import Frame, curve
from streamq.pending import Pending
from streamq.server.probe import Facts
from streamq.stats import Percentiles, Stats, Waiting, Worker

FACTS = Facts("valkey", "9.1.2", "unix:///srv/.streamq/server.sock", True, 1 << 30, 0, "noeviction", "everysec", True)
WORKER = Worker(
    name="worker1", consumer="worker1-a", host="here", pid=4711, alive=True, state="alive", running=3, concurrency=4,
    rss_bytes=50 << 20, started_ms=1, seen_ms=999_000, finished=123_456, failed=7, quarantine=False, lease_ms=30_000,
)  # fmt: skip
STATS = Stats(
    queue="images", waiting=Waiting(1, 1_234_567, 3), scheduled=1, running=2, retrying=3, dead=4, paused=True, sent_total=10,
    finished_total=5, failed_total=1, retried_total=1, dead_total=1, revived_total=0, expired_total=0, cancelled_total=0,
    purged_total=0, reaped_total=0, fenced_total=0, throughput_per_s=1.5, success_rate=0.999_999,
    wait_ms=Percentiles(1.5, 20, 3e8), run_ms=Percentiles(), workers=[WORKER] * 40, server=FACTS, now_ms=1_000_000,
)  # fmt: skip
MOMENT = Moment(STATS, stuck=0, named=[], rates={}, history=tuple(float(i % 17) for i in range(300)))


def drawn(moment: Moment, size: tuple[int, int], wrong: str | None = None, interval: float | None = 1) -> list[str]:
    """The lines of a picture."""
    console = Console(file=io.StringIO(), width=size[0], height=size[1], force_terminal=True, color_system=None)
    console.print(Frame(moment, wrong, interval))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("size", [(60, 24), (80, 24), (100, 30), (120, 40), (200, 60)])
def test_it_fits_the_terminal(size: tuple[int, int]) -> None:
    """However many workers there are: what has no room is counted."""
    lines = drawn(MOMENT, size)
    assert len(lines) == size[1]
    assert max(map(len, lines)) <= size[0]
    shown = sum(" 4711 " in line for line in lines)
    assert (f"and {40 - shown} more" in lines[-2]) == (shown < 40)
    assert lines[-1].startswith("valkey 9.1.2, embedded")


def test_what_is_wrong_is_said_in_full() -> None:
    """Over what was known last."""
    wrong = f"no server answers at unix:///{'a' * 90}: no such file"
    lines = drawn(MOMENT, (80, 24), wrong)
    assert len(lines) == 24
    assert "server away" in lines[0]
    assert "".join(lines[-3:]).replace(" ", "") == wrong.replace(" ", "")


@pytest.mark.parametrize("size", [(60, 40), (80, 40), (120, 40), (120, 36)])
@pytest.mark.parametrize("stuck", [0, 3])
def test_the_curve_takes_the_height_that_workers_leave(size: tuple[int, int], stuck: int) -> None:
    """No part of a high terminal is empty, and all workers show."""
    named = [Pending(id="d1-1", task="a", args={}, deliveries=1, max_deliveries=5, state="stuck", priority=None, crashes=0,
                     error=None, next="handed on", address="d1-1")] * stuck  # fmt: skip
    moment = MOMENT._replace(stats=replace(STATS, workers=[WORKER] * 2), stuck=stuck, named=named)
    lines = drawn(moment, size)
    assert len(lines) == size[1]
    assert max(map(len, lines)) <= size[0]
    assert sum(" 4711 " in line for line in lines) == 2
    assert sum("handed on" in line for line in lines) == stuck
    assert any("discarded" in line for line in lines)


def test_times_and_totals_are_apart() -> None:
    """Where there is little room, the totals that matter most."""
    text = "\n".join(drawn(MOMENT, (80, 24)))
    assert "─ Times ─" in text
    assert "─ Totals ─" in text
    assert "every 1s · q quits · " in text


def test_once_it_is_as_high_as_it_has_to_be() -> None:
    """All workers are shown."""
    assert sum("worker1" in line for line in drawn(MOMENT, (80, 24), interval=None)) == 40


def test_a_curve_is_as_high_as_its_highest_value() -> None:
    """The newest on the right; the least that moves at all shows."""
    assert curve([], 3, 2) == ["   ", "   "]
    assert curve([0, 8, 16], 4, 2) == ["   █", "  ██"]
    assert curve([0.001, 1000], 2, 1) == ["▁█"]
    assert curve([9, 9, 1, 2], 2, 1) == ["▄█"]


def test_rates_are_what_changed_between_two_readings() -> None:
    """Nothing is made up at the first one; a queue that was thrown away is no negative rate."""
    assert changes(None, STATS) == {}
    later = replace(STATS, now_ms=1_002_000)
    assert changes(STATS, later) == {"sent": 0, "finished": 0, "failed": 0}
    fewer = replace(STATS, now_ms=1_002_000, sent_total=20, finished_total=0)
    assert changes(STATS, fewer) == {"sent": 5, "finished": 0, "failed": 0}
    assert changes(later, STATS) == {}


def test_figures_in_words() -> None:
    """Short, and never rounded to what is not so."""
    assert number(12_345) == "12,345"
    assert [rate(each) for each in (0, 0.123, 12.34, 1234.5)] == ["0/s", "0.123/s", "12.3/s", "1,234/s"]
    assert [percent(each) for each in (None, 1, 0.999_999, 0.5, 0)] == ["-", "100%", "99.99%", "50%", "0%"]
    assert times(Percentiles()) == "-"
    assert times(Percentiles(1.5, 20, 1000)) == "p50 1.5ms, p95 20ms, p99 1s"
    assert workers([]) == "none alive"
    assert workers([WORKER, WORKER]) == "1 alive (2 processes)"
