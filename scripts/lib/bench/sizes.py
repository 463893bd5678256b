"""How much of everything is measured: enough that a figure lasts for seconds, or little, to see that all of it works."""

from __future__ import annotations

from dataclasses import dataclass, field

from scripts.lib.depth import Depth


@dataclass(frozen=True)
class Sizes:
    """Numbers of tasks where nothing else is said."""

    empty: int = 200_000
    burn: int = 50_000
    hash: int = 3_000
    single: int = 20_000
    bulk: int = 200_000
    #: How long is sent for the latency, in seconds; a 99th percentile takes ten, over all rounds.
    seconds: float = 5
    wait: int = 500
    wait_wide: int = 50_000
    stored: int = 30_000
    images: int = 100
    #: Whole processes of each kind for each round of start-up.
    starts: int = 3
    #: Calls of each reader on a deep queue.
    looks: int = 20
    #: Tasks of the profile; not fewer where sizes are small, since it looks at them 250 times a second.
    profile: int = 1_000_000
    depth: Depth = field(default_factory=Depth)


WHOLE = Sizes()
QUICK = Sizes(
    empty=20_000,
    burn=2_000,
    hash=300,
    single=2_000,
    bulk=20_000,
    seconds=1,
    wait=100,
    wait_wide=5_000,
    stored=10_000,
    images=4,
    starts=1,
    looks=5,
    depth=Depth(30_000, 3_000, 3_000, 300),
)
ROUNDS, QUICK_ROUNDS = 5, 2
