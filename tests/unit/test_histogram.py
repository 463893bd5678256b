"""Times in buckets: what is read back lies where it was counted."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamq
from streamq.histogram import BOUNDS, BUCKETS, counts, percentiles

times = st.floats(min_value=0, max_value=BOUNDS[-1], exclude_max=True)


def bucket(ms: float) -> int:
    """The bucket of one time."""
    [index] = counts([ms])
    return index


def counted(values: list[float]) -> list[int]:
    """The times in their buckets."""
    in_bucket = counts(values)
    return [in_bucket[index] for index in range(BUCKETS)]


@given(times)
def test_a_time_lies_between_the_bounds_of_its_bucket(ms: float) -> None:
    """Bucket i holds [0.1·2^((i-1)/2), 0.1·2^(i/2))."""
    index = bucket(ms)
    low = 0.1 * 2 ** ((index - 1) / 2) if index else 0
    assert low <= ms < 0.1 * 2 ** (index / 2)


def test_times_out_of_range_fall_in_the_first_and_the_last_bucket() -> None:
    """A clock that stepped back, and a task of a week."""
    assert (bucket(-5), bucket(0), bucket(7 * 86_400_000), bucket(float("inf"))) == (0, 0, BUCKETS - 1, BUCKETS - 1)


@given(st.lists(times, min_size=1), st.floats(0, 1))
def test_a_percentile_is_off_by_at_most_a_bucket(values: list[float], fraction: float) -> None:
    """It lies in a bucket where the times around that rank lie."""
    found = percentiles(counted(values), [fraction])
    assert found is not None
    ordered = sorted(values)
    rank = fraction * len(values)
    below, above = ordered[max(0, min(len(values), int(rank)) - 1)], ordered[min(len(values) - 1, int(rank))]
    low = BOUNDS[bucket(below) - 1] if bucket(below) else 0
    assert low <= found[0] <= BOUNDS[bucket(above)]


@given(st.lists(times, min_size=1), st.lists(st.floats(0, 1), min_size=2))
def test_percentiles_never_fall(values: list[float], fractions: list[float]) -> None:
    """A higher fraction is never a shorter time."""
    found = percentiles(counted(values), sorted(fractions))
    assert found is not None
    assert found == sorted(found)


@given(times, st.lists(st.floats(0, 1), min_size=1))
def test_one_time_answers_every_fraction_alike(ms: float, fractions: list[float]) -> None:
    """With the middle of its bucket: nothing finer is known."""
    index = bucket(ms)
    middle = math.sqrt(BOUNDS[index - 1] * BOUNDS[index]) if index else BOUNDS[0] / 2
    assert percentiles(counted([ms]), fractions) == pytest.approx([middle] * len(fractions))


def test_no_times_no_percentiles() -> None:
    """Nothing is made up."""
    assert percentiles([0] * BUCKETS, [0.5]) is None


def test_the_last_bucket_answers_with_where_it_begins() -> None:
    """It has no end."""
    assert percentiles(counted([1e12]), [0.5, 1]) == [BOUNDS[-1], BOUNDS[-1]]


def test_the_scripts_know_the_same_number_of_buckets() -> None:
    """They drop the counters of an old minute by name."""
    script = Path(streamq.__path__[0]) / "lua" / "include" / "minutes.lua"
    assert f"BUCKETS = {BUCKETS}\n" in script.read_text()
