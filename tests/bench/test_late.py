"""Latencies: what is made of the tasks of all rounds, and what is left out of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.lib.bench import late, measure, send
from scripts.lib.bench.figures import Figure, Goal
from scripts.lib.bench.measure import Place
from scripts.lib.bench.server import program
from scripts.lib.bench.worker import Side


@pytest.fixture
def said() -> list[str]:
    """What was told on the way."""
    return []


@pytest.fixture
def place(tmp_path: Path, said: list[str]) -> Place:
    """Where measurements are made."""
    return Place(program(None)[0], tmp_path, said.append)


def way(*rounds: list[float]) -> Callable[[], dict[str, list[float]]]:
    """A way to measure that gives these, one a round."""
    left = iter(rounds)
    return lambda: {"late": next(left)}


def figures(place: Place, own: list[list[float]], other: list[list[float]]) -> list[Figure]:
    """What is made of the rounds of both sides."""
    goals = Goal(1.2, way="most"), Goal(1.5, way="most")
    return late.figures(place, "latency", len(own), way(*own), way(*other), "limit", goals)


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    """In any order, of any number."""
    assert late.percentile([3.0, 1.0, 2.0], 50) == 2
    assert late.percentile([float(i) for i in range(1000, 0, -1)], 99) == 990
    assert late.percentile([7.0], 99) == 7


def test_the_tail_is_that_of_all_rounds_together(place: Place) -> None:
    """One round in which eight tasks were late does not make it: eight of a thousand are less than one in a hundred."""
    calm, troubled = [1.0] * 500, [1.0] * 492 + [9.0] * 8
    assert late.percentile(troubled, 99) == 9
    median, tail = figures(place, [calm, troubled], [[2.0] * 500, [2.0] * 500])
    assert (median.rounds, median.beside_rounds) == ([1, 1], [2, 2])
    assert (tail.what, tail.rounds, tail.beside_rounds) == ("latency at 100/s, p99 of 1,000", [1], [2])
    assert (tail.ratio, tail.reached) == (0.5, True)


def test_too_few_tasks_have_no_99th_percentile(place: Place, said: list[str]) -> None:
    """The largest of them would be called so. It says what it takes."""
    [median] = figures(place, [[1.0] * 500, [1.0] * 499], [[1.0] * 500] * 2)
    assert median.what == "latency at 100/s, p50"
    assert "999 tasks are too few for a p99, which takes 1,000" in said[-1]


def test_the_sender_is_warm_before_the_first_task_that_is_measured() -> None:
    """Whoever sends: as many tasks as before any other measurement go first, at the same rate."""
    kinds: list[str] = []
    send.trickle(lambda kind, _: kinds.append(kind), 1000, 0.03)
    assert kinds == ["empty"] * send.TRICKLE_WARM + ["stamp"] * 30


@pytest.mark.parametrize("name", ["streamq", "limit"])
def test_only_the_tasks_after_the_warm_up_are_in_the_figure(place: Place, name: str) -> None:
    """As many as the rate and the time say."""
    assert len(measure.latency(place, Side(name), 100, 0.2)["late"]) == 20
