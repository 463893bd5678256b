"""Reads the Lua transitions of `streamq/lua/`, one file each, and makes them ready for EVALSHA.

`-- @include NAME` brings in `include/NAME.lua`, each once. `K.name` and `K['name:more']` stand for the key of that name: the
loader numbers the names in the order met and writes `KEYS[n]`, so that every key a script touches is passed in KEYS and no
index can slip. `FIXED_KEYS` is how many those are; what a caller passes beyond them follows. Called by `transitions.py`; whoever
removes a whole queue learns here which keys it can have.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import NamedTuple

try:
    from _sha1 import sha1  # type: ignore[import-not-found]  # hashlib loads OpenSSL, which a command that sends one task need not
except ImportError:
    from hashlib import sha1

_FOLDER = Path(__file__).with_name("lua")
_INCLUDE = re.compile(r"^-- @include (\w+)\n", re.MULTILINE)
_KEY = re.compile(r"\bK(?:\.(\w+)|\['([\w:]+)'\])")
_COMMENT = re.compile(r"[ \t]*--[^\n]*")


class Script(NamedTuple):
    """A transition as the server gets it."""

    name: str
    source: str
    sha: str
    #: Names of the keys that it touches, in the order in which KEYS wants them.
    keys: tuple[str, ...]


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all transitions."""
    return tuple(sorted(each.stem for each in _FOLDER.glob("*.lua")))


@functools.cache
def load(name: str) -> Script:
    """The script of a transition, includes and keys put in.

    Raises:
        FileNotFoundError: there is no such transition, or it includes a part that is not there.
    """
    seen: set[str] = set()

    def include(match: re.Match[str]) -> str:
        part = match[1]
        if part in seen:
            return ""
        seen.add(part)
        return expand((_FOLDER / "include" / f"{part}.lua").read_text())

    def expand(text: str) -> str:
        return _INCLUDE.sub(include, text)

    keys: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"KEYS[{keys.setdefault(match[1] or match[2], len(keys) + 1)}]"

    source = _COMMENT.sub("", expand((_FOLDER / f"{name}.lua").read_text()))
    source = re.sub(r"\n{2,}", "\n", _KEY.sub(number, source)).replace("FIXED_KEYS", str(len(keys)))
    return Script(name, source, sha1(source.encode(), usedforsecurity=False).hexdigest(), tuple(keys))
