"""The ids of the entries of a queue's streams: whether a stream can give any more, and whether those it gives tell the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamq.doctor.finding import finding, many, some
from streamq.doctor.survey import last_of
from streamq.keys import STREAMS
from streamq.units import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq.doctor.finding import Finding
    from streamq.transitions import Transitions

#: Both parts of an id are so long, in bits.
_BITS: Final = 64
#: A stream that can give fewer ids than this is as good as exhausted.
_FEW: Final = 1 << 32
#: Ids that are further ahead of the server's clock, in ms, mislead whoever reads in them when a task was sent.
_AHEAD_MS: Final = 60_000
_MEND: Final = (
    "stop whatever adds entries with ids of its own; when no entry is left in the stream (XLEN), `DEL` it: it is made anew"
)


def examine(transitions: Transitions, now_ms: int) -> Iterator[Finding]:
    """Look at the last id that each stream has given: the server gives none below it.

    Args:
        transitions: of the queue.
        now_ms: the server's time.

    Raises:
        ServerError: the server is away.
    """
    exhausted, ahead = [], {}
    for name in (*STREAMS.values(), "dead", "ended"):
        ms, number = last_of(transitions, name)
        left = ((1 << _BITS) - 1 - ms << _BITS) + (1 << _BITS) - 1 - number
        if left < _FEW:
            exhausted.append(name)
        elif ms > now_ms + _AHEAD_MS:
            ahead[name] = ms - now_ms
    if exhausted:
        streams = many(len(exhausted), "stream has", "streams have")
        what = f"{streams} no id left to give: {some(exhausted)}; nothing can be added there"
        yield finding("stream-ids", "fault", what, _MEND, exhausted)
    elif ahead:
        streams = many(len(ahead), "stream gives", "streams give")
        by = duration(max(ahead.values()) // 1000)
        what = f"{streams} ids that are ahead of the server's clock, by {by} at most: {some(list(ahead))}; tasks seem sent then"
        yield finding("stream-ids", "warning", what, _MEND, list(ahead))
    else:
        yield finding("stream-ids", "ok", "every stream has ids to give, and they tell the server's time")
