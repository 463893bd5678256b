"""One written value to the value that the program holds, or a sentence that says what was expected.

Values of a file keep YAML's types and are taken strictly. Values of the environment are text: numbers, `true`, `null`, lists
(`a,b` or JSON) and sections (JSON) are read from it. Called by `load`, once for each value that somebody set.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from streamq import units
from streamq.config.fields import Field
from streamq.config.url import outline
from streamq.errors import UsageError

_PLAIN = {str: "text", bool: "true or false", list: "a list", dict: "a section of keys"}
_NUMBERS = {int: ("a whole number", str), float: ("a number", str)}
_MEASURES = {
    "duration": ("a duration", units.duration, ", such as 30s or 5m"),
    "size": ("a size", units.human_bytes, ", such as 256 MiB"),
}


class Raw(NamedTuple):
    """A value as somebody wrote it."""

    #: Dotted key, as written; it may be unknown.
    key: str
    value: object
    #: Where it was written, as `config show --origin` and a fault say it: `config.yaml:12`, `environment STREAMQ_URL`, `option`.
    where: str
    #: What is wrong with how it is written, before its value is looked at; empty where nothing is.
    fault: str = ""
    #: Whether it is text that may stand for a number, a list or null.
    text: bool = False
    #: Whether it comes from a `${NAME}` and must not be printed.
    secret: bool = False


def convert(field: Field, raw: Raw, item: str = "") -> Any:
    """Return the value of a key, of the key's type and inside its bounds; where the key names an item, a mapping of that one.

    Raises:
        ValueError: it is not; the text says what was expected.
    """
    try:
        value = _read(field, str(raw.value)) if raw.text else raw.value
        if item:
            value = {item: value}
        if value is not None and field.written == "duration":
            value = units.seconds(value)
        elif value is not None and field.written == "size":
            value = units.size(value)
        found = msgspec.convert(value, field.type, strict=not raw.text)
    except (UsageError, msgspec.ValidationError, msgspec.DecodeError, RecursionError):
        got = "" if raw.secret else f", not {_shown(field, raw.value)}"
        raise ValueError(f"expected {expected(field)}{got}{_meant(field, raw.value)}") from None
    if field.written == "path":
        for path in found if isinstance(found, list) else [found]:
            _check_path(path)
    return found


def _check_path(path: str) -> None:
    """Refuse what no operating system takes for a path, and the home of somebody who is not there."""
    try:
        if "\0" not in path and os.fsencode(Path(path).expanduser()):
            return
    except (UnicodeEncodeError, RuntimeError):
        pass
    raise ValueError(f"expected a path, not {path!r}")


def expected(field: Field) -> str:
    """Return what a key takes, in words: `a duration of at least 1s, such as 30s or 5m`."""
    kind = get_origin(field.base) or field.base
    if "expected" in field.notes:
        words = str(field.notes["expected"])
    elif kind is Literal:
        *others, last = map(str, get_args(field.base))
        words = f"{', '.join(others)} or {last}"
    elif field.written in _MEASURES:
        what, show, example = _MEASURES[field.written]
        words = f"{what}{_bounds(field, show)}{example}"
    elif kind in _NUMBERS:
        what, show = _NUMBERS[kind]
        words = f"{what}{_bounds(field, show)}"
    else:
        words = _PLAIN[kind] + (" that is not empty" if field.notes.get("min_length") else "")
    return f"{words}, or null" if field.optional else words


def _bounds(field: Field, show: Any) -> str:
    low, high = field.notes.get("ge"), field.notes.get("le")
    if low == 0 and field.written in _MEASURES:
        low = None  # A measure below zero is nonsense in any case, and "at least 0s" tells nobody anything.
    if low is not None and high is not None:
        return f" from {show(low)} to {show(high)}"
    return "" if low is None else f" of at least {show(low)}"


def _read(field: Field, text: str) -> object:
    """Return what text of the environment stands for; msgspec's lax conversion reads numbers and truth values itself."""
    kind = get_origin(field.base) or field.base
    if field.optional and text.lower() in ("null", "none"):
        return None
    if kind is list and not text.lstrip().startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    return msgspec.json.decode(text) if kind in (list, dict) else text


def _shown(field: Field, value: object) -> str:
    if field.written == "url":
        return outline(value)
    if isinstance(value, str):
        return repr(value)
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else "null" if value is None else repr(value)


def _meant(field: Field, value: object) -> str:
    if get_origin(field.base) is not Literal or not isinstance(value, str):
        return ""
    return did_you_mean(value.lower(), [str(choice) for choice in get_args(field.base)])


def did_you_mean(wrong: str, candidates: list[str]) -> str:
    """Return `; did you mean X?` where one of the candidates is close to what was written, else the empty text."""
    import difflib  # Only a wrong configuration pays for it.

    close = difflib.get_close_matches(wrong, candidates, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
