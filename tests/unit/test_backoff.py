"""Pauses between tries: they grow, they are bounded, and jitter spreads them over the whole range."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq import backoff
from streamq.config.schema import Backoff as Section
from streamq.errors import UsageError

deliveries = st.integers(1, 1_000_000)


@given(deliveries)
def test_an_exponential_pause_doubles_up_to_its_cap(n: int) -> None:
    """After the first failure it is the base, and no count makes it overflow."""
    assert backoff.exponential(1, 600, jitter=False).delay(n) == min(600.0, 2.0 ** min(n - 1, 1000))


@given(deliveries)
def test_a_linear_pause_grows_by_its_step(n: int) -> None:
    """It is bounded too."""
    assert backoff.linear(1, "2s", "1m", jitter=False).delay(n) == min(60, 1 + 2 * (n - 1))


@given(deliveries, st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1, 1000), st.booleans())
def test_a_pause_lies_between_zero_and_the_cap(n: int, base: float, more: float, factor: float, jitter: bool) -> None:  # noqa: FBT001
    """Whatever the numbers are."""
    assert 0 <= backoff.exponential(base, base + more, factor, jitter).delay(n) <= base + more


def test_jitter_spreads_pauses_over_the_whole_range() -> None:
    """Tasks that failed together come back one by one."""
    pauses = sorted(backoff.exponential(100, 100).delay(1) for _ in range(1000))
    assert pauses[100] < 20
    assert 40 < pauses[500] < 60
    assert pauses[900] > 80


def test_a_constant_pause_stays() -> None:
    """It takes a duration in any form."""
    assert backoff.constant("1m").delay(1) == backoff.constant(timedelta(minutes=1)).delay(900) == 60


def test_the_configuration_makes_a_backoff() -> None:
    """The section's four keys are the arguments of `exponential`."""
    assert backoff.from_config(Section(base=2, factor=3, cap=20, jitter=False)) == backoff.exponential(2, 20, 3, jitter=False)


@pytest.mark.parametrize(
    "make",
    [
        lambda: backoff.exponential(-1),
        lambda: backoff.exponential(10, 5),
        lambda: backoff.exponential(factor=0.5),
        lambda: backoff.exponential(factor=float("nan")),
        lambda: backoff.linear("soon"),
        lambda: backoff.linear(5, cap=1),
        lambda: backoff.constant("never"),
    ],
)
def test_nonsense_is_refused(make: object) -> None:
    """A backoff that could not be computed is never made."""
    assert callable(make)
    with pytest.raises(UsageError):
        make()
