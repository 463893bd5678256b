"""How late tasks start at a low rate: the median of each round, and of the tail what all rounds together have to say.

A round of five seconds has 500 tasks, of which five make its 99th percentile: it tells what happened to these. So the tasks of
all rounds are pooled for it, and where they are fewer than a thousand it is not told at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from scripts.lib.bench.figures import Figure, Goal
from scripts.lib.bench.measure import Place

#: Tasks a second.
RATE = 100
#: Tasks that a 99th percentile takes at least: ten of them lie beyond it.
ENOUGH = 1000

#: How late the tasks of a round were started, in ms.
Late = Callable[[], Mapping[str, list[float]]]


def percentile(values: Sequence[float], part: int) -> float:
    """The smallest of the values that so many per cent of all do not exceed."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * part // 100) - 1]


def figures(place: Place, what: str, rounds: int, own: Late, other: Late, beside: str, goals: tuple[Goal, Goal]) -> list[Figure]:
    """Measure both in turn.

    Args:
        place: where.
        what: `latency`, or what kind of it.
        rounds: how often.
        own: measures a round.
        other: the same of what stands beside it.
        beside: what that is.
        goals: of the median and of the 99th percentile.

    Returns:
        The median; and the 99th percentile, where there were enough tasks for one.
    """
    found = place.in_turn(what, rounds, {"streamq": own, beside: other})
    sides = [found["streamq"]["late"], found[beside]["late"]]
    medians = [[percentile(values, 50) for values in side] for side in sides]
    told = [_figure(f"{what} at {RATE}/s, p50", medians, beside, goals[0])]
    pools = [list(itertools.chain.from_iterable(side)) for side in sides]
    many = min(map(len, pools))
    if many < ENOUGH:
        place.tell(f"{what}: {many:,} tasks are too few for a p99, which takes {ENOUGH:,}; more rounds, or --size seconds=N")
    else:
        told.append(_figure(f"{what} at {RATE}/s, p99 of {many:,}", [[percentile(pool, 99)] for pool in pools], beside, goals[1]))
    return told


def _figure(words: str, sides: list[list[float]], beside: str, goal: Goal) -> Figure:
    return Figure(what=words, unit="ms", rounds=sides[0], beside=beside, beside_rounds=sides[1], goal=goal)
