"""Time that passes only when a step says so.

Every script reads one clock, `include/clock.lua`. Here it is the server's own plus what the machine has let pass, which stands in
the queue itself; idle times of pending entries, which the server counts by itself, are moved on with it. So leases, heartbeats,
delays and expiry run out in the steps that say so and in no other, a play is the same each time, and an hour takes a millisecond.
What happens within one play takes seconds at most, far less than a `UNIT`.
"""

from __future__ import annotations

import functools
import hashlib
import re
import time
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

from streamq.keys import STREAMS, Keys
from streamq.scripts import Script, load
from streamq.server.connect import Link

#: The grain of time, in milliseconds; the machine counts in these.
UNIT_MS = 60_000
#: A lease that is not renewed runs out after so many units.
LEASE = 6
#: A heartbeat holds for so many.
HEARTBEAT = 4
#: So long may nobody beat before all recovery by time rests: two thirds of a heartbeat.
QUIET = 3
#: A producer's lane is forgotten after so many: an hour.
LANE = 60

#: A text of a script, keys as `K['name']`, and what stands there instead.
Edit = tuple[str, str]

#: All scripts by name.
SCRIPTS = sorted(path.name[:-4] for path in (resources.files("streamq") / "lua").iterdir() if path.name.endswith(".lua"))

#: Made always: groups are small here, and shall be removed in both ways.
_ALWAYS: tuple[Edit, ...] = (("local TRIM_FROM = 16", "local TRIM_FROM = 1"),)

_CLOCK = "return t[1] * 1000 + math.floor(t[2] / 1000)"
_ADVANCE = """
redis.call('HDEL', KEYS[1], '')
redis.call('HINCRBY', KEYS[1], 'ahead', ARGV[1])
for i = 2, #KEYS do
  local rows = redis.pcall('XPENDING', KEYS[i], 'workers', '-', '+', 10000)
  for _, row in ipairs(rows.err and {} or rows) do
    redis.call('XCLAIM', KEYS[i], 'workers', row[2], 0, row[1], 'IDLE', row[3] + ARGV[1], 'JUSTID')
  end
end
"""

_KEY = re.compile(r"\bK\['([\w:]+)'\]")


def loader(edits: Sequence[Edit] = ()) -> tuple[Callable[[str], Script], set[str]]:
    """What takes the place of `streamq.transitions.load`: the scripts with the machine's clock, and with edits.

    Args:
        edits: each is made in every script that has its text.

    Returns:
        The loader, and the texts that it has found so far.
    """
    found: set[str] = set()

    @functools.cache
    def altered(name: str) -> Script:
        script = load(name)
        source, keys = script.source, script.keys
        for old, new in (*_ALWAYS, *edits):
            text = _numbered(old, keys)
            if text in source and (old, new) in edits:
                found.add(old)
            source = source.replace(text, _numbered(new, keys))
        if _CLOCK in source and name != "locate":  # which only tells what time it is
            keys = keys if "control" in keys else (*keys, "control")
            ahead = f"redis.call('HGET', KEYS[{keys.index('control') + 1}], 'ahead')"
            source = source.replace(_CLOCK, f"{_CLOCK} + ({ahead} or 0)")
        return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), keys)

    return altered, found


def _numbered(text: str, keys: Sequence[str]) -> str:
    """A text with the numbers of the keys that a script has, as the loader gives them."""
    return _KEY.sub(lambda key: f"KEYS[{keys.index(key[1]) + 1}]" if key[1] in keys else key[0], text)


def advance(link: Link, keys: Keys, units: int) -> None:
    """Let time pass."""
    names = [keys["control"], *(keys[stream] for stream in STREAMS.values())]
    link.call("EVAL", _ADVANCE, len(names), *names, units * UNIT_MS)


def tick(link: Link) -> None:
    """Wait for the next millisecond: what two steps do never has the same time, so that a play is the same each time."""
    seconds, microseconds = _server_time(link)
    last = seconds * 1000 + microseconds // 1000
    time.sleep((1000 - microseconds % 1000) / 1e6)
    while server_ms(link) == last:
        pass


def server_ms(link: Link) -> int:
    """The server's own clock in milliseconds."""
    seconds, microseconds = _server_time(link)
    return seconds * 1000 + microseconds // 1000


def _server_time(link: Link) -> tuple[int, int]:
    reply: Any = link.call("TIME")
    return int(reply[0]), int(reply[1])
