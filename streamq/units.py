"""Durations, sizes and moments as people write them, and back.

Everything inside streamq counts in seconds (float), bytes (int) and milliseconds since the epoch (int); what a person types
in an option, in `config.yaml` or in a call passes through here exactly once. A text that could be read in two ways is refused
with a sentence that shows the right form, and no negative duration, no NaN and no number without bound gets through.
Called by the configuration, the command line, the task options and everything that prints a time or a size.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time, timedelta
from itertools import pairwise

from streamq.errors import UsageError

#: Longest duration that is accepted, in seconds: a hundred years. Keeps every due time an exact integer in Lua's doubles.
LONGEST = 36_525 * 86_400.0

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_NUMBER = re.compile(r"\d+(?:\.\d+)?|\.\d+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|m|h|d|w)\s*", re.ASCII)
_DURATION_HINT = "Write it as 30s, 5m, 1h30m, 250ms or 2d; a bare number is seconds."

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII | re.IGNORECASE)
#: Characters of a size; what has hundreds of digits is none.
_SIZE_LONGEST = 64
_BYTES = {"": 1, "b": 1} | {
    spelling: base**power
    for power, letter in enumerate("kmgt", start=1)
    for spelling, base in ((letter, 1024), (f"{letter}ib", 1024), (f"{letter}b", 1000))
}
_SIZE_HINT = "Write it as 512 KiB, 256 MiB, 1.5 GiB or 20 MB; a bare number is bytes."

_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?", re.ASCII)
_MOMENT_HINT = "Write it as 2027-03-01T08:30, 2027-03-01T08:30:00Z, 2027-03-01, 18:30 or +10m; without a zone it is local time."


def seconds(value: object) -> float:
    """Return a duration in seconds.

    Args:
        value: a number of seconds, a `timedelta`, or a text such as `30s`, `1h30m`, `250ms`, `2d`, `1.5h`, `90`.

    Returns:
        Seconds, from 0 to `LONGEST`.

    Raises:
        UsageError: the value is no duration, is negative or not finite, or is longer than `LONGEST`.
    """
    if isinstance(value, timedelta):
        return _bounded(value.total_seconds(), value)
    if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value):
        return _bounded(float(max(-1, min(value, 2 * LONGEST))), value)  # a whole number may be larger than any float
    if not isinstance(value, str):
        raise UsageError(f"{value!r} is not a duration", hint=_DURATION_HINT)
    text = value.strip().lower()
    if _NUMBER.fullmatch(text):
        return _bounded(float(text), value)
    total, units, end = 0.0, [], 0
    for part in _PART.finditer(text):
        if part.start() != end:
            break
        total += float(part[1]) * _SECONDS[part[2]]
        units.append(_SECONDS[part[2]])
        end = part.end()
    falling = all(larger > smaller for larger, smaller in pairwise(units))
    if not units or end != len(text) or not falling:
        raise UsageError(f"{value!r} is not a duration", hint=_DURATION_HINT)
    return _bounded(total, value)


def _bounded(number: float, value: object) -> float:
    if not math.isfinite(number):
        raise UsageError(f"{value!r} is not a duration", hint=_DURATION_HINT)
    if number < 0:
        raise UsageError(f"a duration cannot be negative: {value!r}", hint=_DURATION_HINT)
    if number > LONGEST:
        raise UsageError(f"{value!r} is longer than a hundred years", hint=_DURATION_HINT)
    return number


def duration(value: float) -> str:
    """Return seconds in the shortest form that a person reads at a glance: two neighbouring units at most.

    `0.25` is `250ms`, `90` is `1m30s`, `93_784` is `1d2h`. `seconds()` reads every form back, rounded as shown.
    """
    sign, value = ("-", -value) if value < 0 else ("", value)
    if value < 1:
        milliseconds = round(float(f"{value * 1000:.3g}"), 3)
        if milliseconds == 0:
            return "0s"
        if milliseconds < 1000:  # noqa: PLR2004
            return f"{sign}{milliseconds:g}ms"
    if float(f"{value:.3g}") < _SECONDS["m"]:
        return f"{sign}{float(f'{value:.3g}'):g}s"
    for large, small in (("d", "h"), ("h", "m"), ("m", "s")):
        rounded = round(value / _SECONDS[small]) * _SECONDS[small]
        if rounded >= _SECONDS[large]:
            many, rest = divmod(rounded, _SECONDS[large])
            few = round(rest / _SECONDS[small])
            return f"{sign}{many:.0f}{large}" + (f"{few}{small}" if few else "")
    raise AssertionError(value)


def size(value: object) -> int:
    """Return a size in bytes.

    Args:
        value: a number of bytes, or a text such as `256 MiB`, `20 MB`, `64k`. `KiB` and `K` are 1024, `KB` is 1000.

    Raises:
        UsageError: the value is no size, is negative, or is not a whole number of bytes.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) and len(value) < _SIZE_LONGEST else None
    factor = _BYTES.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise UsageError(f"{value!r} is not a size", hint=_SIZE_HINT)
    number = int(match[1]) * factor if match[1].isdecimal() else float(match[1]) * factor
    if number != int(number):
        raise UsageError(f"{value!r} is not a whole number of bytes", hint=_SIZE_HINT)
    return int(number)


def human_bytes(number: float) -> str:
    """Return a number of bytes with three significant digits in the largest binary unit that fits: `1.5 GiB`, `812 B`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 999.5:  # noqa: PLR2004
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:.3g} TiB" if abs(number) < 999.5 else f"{number:.0f} TiB"  # noqa: PLR2004


def moment(text: str, now: int) -> int:
    """Return a point in time in milliseconds since the epoch.

    Args:
        text: ISO 8601 (local time where it names no zone), a date (its first minute), `HH:MM` (the next time the clock shows
            it: today or tomorrow), or `+` and a duration.
        now: the present in milliseconds since the epoch, by the clock that the answer is to be compared with.

    Returns:
        Milliseconds since the epoch; it may lie in the past, which is for the caller to judge.

    Raises:
        UsageError: the text names no moment.
    """
    written = text.strip()
    if written.startswith("+"):
        return now + round(seconds(written[1:]) * 1000)
    try:
        if _CLOCK.fullmatch(written):
            return _next(time.fromisoformat(written.rjust(5, "0") if written.count(":") == 1 else written.rjust(8, "0")), now)
        found = datetime.fromisoformat(written)
        return round(found.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{text!r} is not a point in time", hint=_MOMENT_HINT) from None


def _next(clock: time, now: int) -> int:
    """The next moment, strictly after `now`, at which the local clock shows `clock`."""
    today: date = datetime.fromtimestamp(now / 1000).astimezone().date()
    for day in (today, today + timedelta(days=1)):
        found = round(datetime.combine(day, clock).timestamp() * 1000)
        if found > now:
            return found
    return round(datetime.combine(today + timedelta(days=2), clock).timestamp() * 1000)
