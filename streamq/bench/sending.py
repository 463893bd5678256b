"""How many tasks a second one thread sends, singly and in bulk; redis-py adds the same entries in turn with it.

No worker is there yet. What was sent is removed while the clock stands, so that hardly anything waits at any time.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, Final

from streamq.bench import ground
from streamq.bench.bare import Bare
from streamq.bench.figures import Rate, Sending

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.app import App
    from streamq.server.connect import Link
    from streamq.task import Task

#: How often both are measured, in turn.
_ROUNDS: Final = 5
#: Tasks of one call in bulk, and of one pipeline of redis-py.
_BULK: Final = 3000
#: So many entries are removed before there are more.
_HELD: Final = 20_000


def measure(app: App, task: Task[..., Any], link: Link, seconds: float) -> Sending:
    """Measure singly and in bulk, for so many seconds each.

    Raises:
        ServerError: the server is away, or takes nothing.
    """
    keys = app.queue.keys

    def clear() -> None:
        ground.clear_streams(link, keys)

    def bulk() -> None:
        app.enqueue_many(task.prepare() for _ in range(_BULK))

    with Bare(app.queue.endpoint, keys[ground.BARE]) as bare:
        single, xadd = _in_turn(task.enqueue, bare.add, 1, seconds, clear)
        many, pipeline = _in_turn(bulk, lambda: bare.add_many(_BULK), _BULK, seconds, clear)
    return Sending(
        single=Rate.of(single),
        xadd=Rate.of(xadd),
        single_ratio=_ratio(single, xadd),
        bulk=Rate.of(many),
        pipeline=Rate.of(pipeline),
        bulk_ratio=_ratio(many, pipeline),
    )


def _in_turn(
    ours: Callable[[], object], theirs: Callable[[], object], size: int, seconds: float, clear: Callable[[], None]
) -> tuple[list[float], list[float]]:
    """The rates of both, round by round; what drifts meanwhile drifts for both."""
    ours()  # connects
    theirs()
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for send, into in zip((ours, theirs), rates, strict=True):
            into.append(_rate(send, size, seconds / _ROUNDS / 2, clear))
    return rates


def _rate(send: Callable[[], object], size: int, seconds: float, clear: Callable[[], None]) -> float:
    """Tasks a second of calls that send `size` each."""
    sent = held = 0
    took = 0.0
    while took < seconds:
        began = time.perf_counter()
        send()
        took += time.perf_counter() - began
        sent, held = sent + size, held + size
        if held >= _HELD:
            clear()
            held = 0
    clear()
    return sent / took


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """How many times the other one it is: the median of the rounds, each with its neighbour."""
    return round(statistics.median(our / their for our, their in zip(ours, theirs, strict=True)), 3)
