"""Tasks from a file or stdin, a JSON object a line: `task`, and `args, priority, delay, at, timeout, max, expires, unique`.

A file is read twice: nothing of it is sent unless every line of it can be, so that a file which was mended can be sent again
without sending anything twice. Lines on stdin are sent as they come; one that cannot be is told with its number, and the others
are sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from streamq.cli import images
from streamq.cli.images import Item
from streamq.cli.render import compact
from streamq.cli.sources import STDIN, Refused, arrived
from streamq.errors import ConfigError, UsageError
from streamq.prepared import Options, prepare, resolve

#: Faults of one file that are told at once.
_FAULTS: Final = 20

Duration = str | float | None


class Line(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One line; what it does not say, the options of the command do."""

    task: str
    args: msgspec.Raw = msgspec.Raw(b"{}")
    priority: str | None = None
    delay: Duration = None
    at: str | None = None
    timeout: Duration = None
    max: int | None = None
    expires: Duration = None
    unique: str | None = None


_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`")
_decode = msgspec.json.Decoder(Line).decode


def item(raw: bytes, defaults: Options) -> Item:
    """The task of a line.

    Raises:
        UsageError: it is no task, or one that a worker would refuse.
    """
    try:
        line = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(_fault(error)) from None
    said: dict[str, Any] = {
        "priority": line.priority,
        "delay": line.delay,
        "at": line.at,
        "timeout": line.timeout,
        "max_deliveries": line.max,
        "expires": line.expires,
        "unique": line.unique,
    }
    own = {name: value for name, value in said.items() if value is not None}
    return make(line.task, bytes(line.args), cast("Options", {**defaults, **own}))


def _fault(error: Exception) -> str:
    """What is wrong with a line; a field that does not exist is answered with those that do."""
    fault = str(error) or "nested too deeply"
    unknown = _UNKNOWN.match(fault)
    if unknown is None:
        return fault
    import difflib

    close = difflib.get_close_matches(unknown[1], Line.__struct_fields__, 1)
    meant = f"did you mean `{close[0]}`? " if close else ""
    return f"unknown field `{unknown[1]}`; {meant}there are: {', '.join(Line.__struct_fields__)}"


def make(task: str, args: bytes, options: Options) -> Item:
    """A task that is ready to be sent.

    Raises:
        UsageError: a worker would refuse it.
    """
    prepared = prepare(task, args, resolve(options))
    if task == "image":
        images.check(args)
    return Item(prepared, f"{task}  {compact(msgspec.json.decode(args), 200)}")


def bursts(name: str, defaults: Options) -> Iterator[Iterable[Item | Refused]]:
    """The tasks of a file or of stdin (`-`), in bursts that can be sent at once.

    Raises:
        ConfigError: lines of the file are wrong; it carries the faults.
        UsageError: the file cannot be read.
    """
    if name == STDIN:
        number = 0
        for lines in arrived(b"\n"):
            yield list(_items(lines, defaults, number))
            number += len(lines)
        return
    if "\0" in name:
        raise UsageError(f"{name!r} is no name of a file")
    try:
        with Path(name).open("rb") as file:
            refused = (each for each in _items(file, defaults, 0) if isinstance(each, Refused))
            faults = [f"{name}:{each.source.removeprefix('line ')}: {each.error}" for each in islice(refused, _FAULTS)]
            if faults:
                raise ConfigError(faults, hint="Nothing of the file was sent.")
            file.seek(0)
            yield _items(file, defaults, 0)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}", hint="`--file -` reads from stdin.") from None


def _items(lines: Iterable[bytes], defaults: Options, number: int) -> Iterator[Item | Refused]:
    for at, raw in enumerate(lines, number + 1):
        if raw.strip():
            try:
                yield item(raw, defaults)
            except UsageError as error:
                yield Refused(f"line {at}", error.what)
