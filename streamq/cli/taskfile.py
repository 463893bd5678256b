"""Tasks from a file or stdin, a JSON object a line: `task`, and `args, priority, delay, at, timeout, max, expires, unique`.

A file is read twice: nothing of it is sent unless every line of it can be, so that a file which was mended can be sent again
without sending anything twice. What can be read only once, stdin or a named pipe, is sent as it comes; a line that cannot be is
told with its number, and the others are sent. No more of either is held than a piece of 64 KiB.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from streamq.cli import images
from streamq.cli.images import Item
from streamq.cli.progress import Progress
from streamq.cli.render import compact
from streamq.cli.sources import STDIN, Refused, arrived, stdin
from streamq.errors import ConfigError, UsageError
from streamq.prepared import Options, prepare, resolve

if TYPE_CHECKING:
    from io import FileIO

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


def bursts(name: str, defaults: Options, *, shown: bool) -> tuple[Iterable[Iterable[Item | Refused]], int | None]:
    """The tasks of a file, a pipe or stdin (`-`), in bursts that can be sent at once; how many there are, None: nobody knows yet.

    Args:
        name: of the file.
        defaults: what a line does not say.
        shown: whether it may be drawn how far the check of a file has come.

    Raises:
        ConfigError: lines of the file are wrong; it carries the faults.
        UsageError: the file cannot be read.
        KeyboardInterrupt: the check was interrupted.
    """
    if name == STDIN:
        return _as_they_come(stdin(), defaults), None
    if "\0" in name:
        raise UsageError(f"{name!r} is no name of a file")
    try:
        with ExitStack() as opened:
            file = opened.enter_context(Path(name).open("rb", buffering=0))
            is_read_twice = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            lines, tasks = _check(file, defaults, shown=shown) if is_read_twice else (0, None)
            opened.pop_all()  # whoever reads it to its end closes it
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}", hint="`--file -` reads from stdin.") from None
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"interrupted: nothing of {name} was sent")
        raise
    return ([_checked(file, defaults, lines)] if is_read_twice else _as_they_come(file, defaults)), tasks


def _check(file: FileIO, defaults: Options, *, shown: bool) -> tuple[int, int]:
    """Read a file to its end; returns how many lines and how many tasks it has.

    Raises:
        ConfigError: lines are wrong.
    """
    lines = tasks = 0
    faults: list[str] = []
    with Progress(f"checking {compact(file.name)}", shown=shown) as progress:
        for piece in arrived(b"\n", file):
            found = list(_items(piece, defaults, lines))
            wrong = [each for each in found if isinstance(each, Refused)]
            faults += (f"{file.name}:{each.source.removeprefix('line ')}: {each.error}" for each in wrong)
            if len(faults) >= _FAULTS:
                break
            lines += len(piece)
            tasks += len(found)
            progress.advance(len(found))
    if faults:
        raise ConfigError(faults[:_FAULTS], hint="Nothing of the file was sent.")
    return lines, tasks


def _checked(file: FileIO, defaults: Options, many: int) -> Iterator[Item | Refused]:
    """The tasks of the first lines of a file, those that were checked: more may have been written to it meanwhile."""
    with file:
        file.seek(0)
        yield from _items(islice(chain.from_iterable(arrived(b"\n", file)), many), defaults, 0)


def _as_they_come(file: FileIO, defaults: Options) -> Iterator[Iterable[Item | Refused]]:
    """The tasks of what can be read only once: no line waits for the next one."""
    number = 0
    with file:
        for lines in arrived(b"\n", file):
            yield list(_items(lines, defaults, number))
            number += len(lines)


def _items(lines: Iterable[bytes], defaults: Options, number: int) -> Iterator[Item | Refused]:
    for at, raw in enumerate(lines, number + 1):
        if raw.strip():
            try:
                yield item(raw, defaults)
            except UsageError as error:
                yield Refused(f"line {at}", error.what)
