"""How long the readers take on a deep queue: the calls behind commands and pages, in a process that is warm, the median in ms.

python -m scripts.lib.bench.look URL TIMES
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from itertools import islice

from streamq import dead, listing, pending, stats
from streamq.browse import State
from streamq.config import load
from streamq.keys import Keys
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.server.probe import probe
from streamq.transitions import Transitions

#: Rows of a page.
PAGE = 50


def readers(url: str) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    link = Link(Endpoint(url))
    run = Transitions(link, Keys("bench"))
    limits = pending.wanted_by(load(None, {}).worker)

    def page(state: State) -> list[object]:
        return list(islice(listing.Tasks(run, listing.Wanted(states=(state,))), PAGE))

    return {
        "stats": lambda: stats.read(run, probe(link)),
        "pending": lambda: pending.read(run, limits),
        "waiting": lambda: page("waiting"),
        "scheduled": lambda: page("scheduled"),
        "retrying": lambda: page("retrying"),
        "dead": lambda: list(islice(dead.letters(run, dead.Wanted()), PAGE)),
    }


def main() -> None:
    """Prints the medians."""
    url, times = sys.argv[1], int(sys.argv[2])
    found = {}
    for name, read in readers(url).items():
        read()
        taken = []
        for _ in range(times):
            begun = time.perf_counter()
            read()
            taken.append(time.perf_counter() - begun)
        found[name] = statistics.median(taken) * 1000
    print(json.dumps(found))


if __name__ == "__main__":
    main()
