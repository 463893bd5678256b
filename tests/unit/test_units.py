"""Durations, sizes and moments: what is read, what is refused, and that everything printed is read back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq import units
from streamq.errors import UsageError

NOW = 1_772_350_200_000  # 2026-03-01T07:30:00Z


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/St_Johns"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The machine is in one of several time zones."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("10m", 600),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("250ms", 0.25),
        ("2d", 172_800),
        ("1w", 604_800),
        ("1.5h", 5400),
        ("90", 90),
        (" 5S ", 5),
        (".5s", 0.5),
        ("0", 0),
        (5, 5),
        (0.25, 0.25),
        (timedelta(minutes=2), 120),
    ],
)
def test_a_duration_is_read_in_seconds(written: object, expected: float) -> None:
    """Text, numbers and timedelta all become seconds."""
    assert expected == pytest.approx(units.seconds(written))


@pytest.mark.parametrize(
    "written",
    [
        "",
        "m",
        "-5s",
        -1,
        "5x",
        "5m5",
        "5m 5m",
        "30s1h",
        "1 hour",
        "5,5s",
        "1e3",
        "nan",
        "inf",
        True,
        None,
        [],
        b"5s",
        float("nan"),
        float("inf"),
        timedelta(seconds=-1),
        "37000d",
        "٣s",
    ],
)
def test_what_is_no_duration_is_refused_with_a_hint(written: object) -> None:
    """Everything else is refused, and the hint shows how to write it."""
    with pytest.raises(UsageError) as refused:
        units.seconds(written)
    assert refused.value.hint


@given(st.floats(min_value=0, max_value=units.LONGEST))
def test_every_duration_that_is_printed_is_read_back(value: float) -> None:
    """What `duration` prints is a duration, within half of its smaller unit or three digits of the value."""
    read = units.seconds(units.duration(value))
    assert read == pytest.approx(value, rel=0.03, abs=5e-7)


@given(st.integers(0, 59), st.sampled_from(["s", "m", "h"]))
def test_whole_units_are_printed_as_they_were_written(number: int, unit: str) -> None:
    """`45m` stays `45m`; an hour count beyond a day becomes days."""
    written = f"{number}{unit}"
    shown = units.duration(units.seconds(written))
    assert units.seconds(shown) == units.seconds(written)
    if number and (unit != "h" or number < 24):
        assert shown == written


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0s"),
        (0.0004, "0.4ms"),
        (0.25, "250ms"),
        (0.9999, "1s"),
        (1.5, "1.5s"),
        (59.96, "1m"),
        (90, "1m30s"),
        (3599.6, "1h"),
        (86_399, "1d"),
        (93_784, "1d2h"),
        (-90, "-1m30s"),
    ],
)
def test_a_duration_is_printed_short(value: float, expected: str) -> None:
    """Two neighbouring units at most, rounded, and never `60s` or `24h`."""
    assert expected == units.duration(value)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("256 MiB", 268_435_456),
        ("1.5 KiB", 1536),
        ("20 MB", 20_000_000),
        ("64k", 65_536),
        ("12", 12),
        ("7 b", 7),
        (99, 99),
        (0, 0),
    ],
)
def test_a_size_is_read_in_bytes(written: object, expected: int) -> None:
    """Binary units end in iB or stand alone, decimal ones end in B."""
    assert expected == units.size(written)


@pytest.mark.parametrize("written", ["", "MiB", "-1", -1, "1.5", "0.3 KiB", "5 XB", 1.5, True, None])
def test_what_is_no_size_is_refused_with_a_hint(written: object) -> None:
    """Negative ones, parts of a byte and unknown units are refused."""
    with pytest.raises(UsageError) as refused:
        units.size(written)
    assert refused.value.hint


@given(st.integers(0, 2**60))
def test_every_size_that_is_printed_is_near_the_real_one(number: int) -> None:
    """Three significant digits are kept."""
    text, unit = units.human_bytes(number).split()
    power = ["B", "KiB", "MiB", "GiB", "TiB"].index(unit)
    assert float(text) * 1024**power == pytest.approx(number, rel=0.006)


def test_a_moment_with_a_zone_is_that_moment() -> None:
    """A zone in the text goes before the machine's."""
    assert units.moment("2026-03-01T07:30:00Z", 0) == NOW
    assert units.moment("2026-03-01T08:30:00+01:00", 0) == NOW


def test_a_moment_without_a_zone_is_local(zone: str) -> None:
    """A local time and a date mean the machine's own zone."""
    assert zone == os.environ["TZ"]
    expected = datetime.fromtimestamp(NOW / 1000, tz=UTC).astimezone().replace(tzinfo=None)
    assert units.moment(expected.isoformat(), 0) == NOW
    midnight = units.moment(expected.date().isoformat(), 0)
    assert time.strftime("%H:%M:%S", time.localtime(midnight / 1000)) == "00:00:00"


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 4_000_000_000_000))
def test_a_clock_time_is_the_next_time_the_clock_shows_it(hour: int, minute: int, now: int) -> None:
    """Later than now, and within a day and the hour that a change of summer time may add."""
    found = units.moment(f"{hour}:{minute:02}", now)
    assert now < found <= now + 25 * 3_600_000


def test_a_clock_time_is_today_or_tomorrow(zone: str) -> None:
    """Before it, it is today; from that minute on, it is tomorrow's."""
    assert zone == os.environ["TZ"]
    morning = units.moment("2026-03-03", 0)
    assert units.moment("18:30", morning) == units.moment("2026-03-03T18:30", 0)
    assert units.moment("18:30", units.moment("2026-03-03T18:30", 0)) == units.moment("2026-03-04T18:30", 0)


def test_a_distance_is_counted_from_now() -> None:
    """`+10m` is ten minutes later."""
    assert units.moment("+10m", NOW) == NOW + 600_000


@pytest.mark.parametrize(
    "written", ["", "tomorrow", "25:00", "12:60", "2026-02-30", "+", "+-5m", "-5m", "2026-13-01", "99999-01-01"]
)
def test_what_is_no_moment_is_refused_with_a_hint(written: str) -> None:
    """Impossible dates and words are refused."""
    with pytest.raises(UsageError) as refused:
        units.moment(written, NOW)
    assert refused.value.hint
