"""Times in 64 buckets, so that a queue's percentiles cost one counter a finished task and no list of times is ever kept.

A bucket is half an octave wide: bucket i holds the milliseconds in [0.1·2^((i-1)/2), 0.1·2^(i/2)), the first one everything below
0.1 ms, the last one everything from 60 hours up. What is read back is therefore off by at most a factor of √2 and mostly by much
less, whatever the load. The worker counts with `counts`, the scripts add up by bucket (`lua/include/minutes.lua`), `stats.py`
reads back with `percentiles`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: How many buckets there are; `lua/include/minutes.lua` knows the same number.
BUCKETS: Final = 64
#: Where a bucket ends and the next one begins, in milliseconds; the last bucket has no end.
BOUNDS: Final = tuple(0.1 * 2 ** (i / 2) for i in range(BUCKETS - 1))


def counts(times: Iterable[float]) -> Counter[int]:
    """How many times, in milliseconds, fall in which bucket, 0 to 63; a negative one (a clock stepped back) in the first."""
    return Counter([bisect_right(BOUNDS, ms) for ms in times])


def percentiles(counts: Sequence[int], fractions: Iterable[float]) -> list[float] | None:
    """The times that these fractions of all counted ones do not exceed: the k-th of n, k being the fraction of n rounded up.

    Args:
        counts: how many times fell in each of the 64 buckets.
        fractions: between 0 and 1, 0.99 being the 99th percentile.

    Returns:
        Milliseconds for each fraction. The times in a bucket count as spread over it, each in the middle of its part (by the
        ratio of the bounds, as the buckets are spaced; evenly in the first one), so a single time answers every fraction with the
        middle of its bucket; the last bucket answers with where it begins. None where nothing was counted.
    """
    totals = list(accumulate(counts, initial=0))
    if totals[-1] <= 0:
        return None
    return [_at(totals, max(1, math.ceil(fraction * totals[-1]))) for fraction in fractions]


def _at(totals: Sequence[int], rank: int) -> float:
    """The time of a rank, from 1; `totals[i]` is how many lie in the buckets before i."""
    index = bisect_left(totals, rank) - 1
    if index == BUCKETS - 1:
        return BOUNDS[-1]
    share = (rank - 0.5 - totals[index]) / (totals[index + 1] - totals[index])
    if index == 0:
        return BOUNDS[0] * share
    low, high = BOUNDS[index - 1], BOUNDS[index]
    return float(low * (high / low) ** share)
