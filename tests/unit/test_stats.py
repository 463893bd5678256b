"""Throughput is a rate over the time that the counters really cover."""

from __future__ import annotations

from streamq.stats import throughput

MINUTE = 60_000
NOW = 100 * MINUTE + 30_000


def test_no_endings_no_throughput() -> None:
    """Neither ever nor lately."""
    assert throughput(NOW, {}) == 0
    assert throughput(NOW, {97: {"since": 97 * MINUTE, "finished": 500}}) == 0


def test_a_queue_that_went_on_is_measured_from_the_minute_before() -> None:
    """Ninety seconds of work."""
    minutes = {minute: {"since": minute * MINUTE + 5, "finished": 60} for minute in (98, 99, 100)}
    assert throughput(NOW, minutes) == 120 / 90


def test_a_queue_that_has_just_begun_is_measured_from_its_first_ending() -> None:
    """Ten seconds of work are not thinned out over two minutes."""
    assert throughput(NOW, {100: {"since": NOW - 10_000, "finished": 50}}) == 5
    assert throughput(NOW, {97: {"since": 97 * MINUTE, "finished": 9}, 99: {"since": NOW - 50_000, "finished": 50}}) == 1


def test_a_first_group_of_endings_is_no_rush() -> None:
    """A rate needs a second at least."""
    assert throughput(NOW, {100: {"since": NOW, "finished": 100}}) == 100


def test_failures_alone_are_no_throughput() -> None:
    """A minute in which nothing finished has no such counter."""
    assert throughput(NOW, {100: {"since": NOW - 10_000, "failed": 3}}) == 0
