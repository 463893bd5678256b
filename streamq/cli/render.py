"""What is printed: results on stdout, messages on stderr, in one place so that all commands look and behave alike.

On a terminal results are tables with colours (`NO_COLOR` obeyed), in a pipe aligned plain lines, with `--json` one JSON object a
line; times are relative for people and integer milliseconds in JSON. Text that comes from tasks is somebody else's: whatever a
terminal would obey (control characters, escape sequences, reversed writing) is shown in a harmless form. Rich is imported only
for a terminal.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from typing import Any, Final

import msgspec

from streamq.units import duration

#: Rows whose widths are looked at before the first of them is printed; a longer list goes out in parts.
_PART: Final = 500
#: Longest text of one cell, in characters.
_CELL: Final = 200
#: Blanks between two columns on a terminal.
_GAP: Final = 2
#: Colours of the states of a task and of a worker, by Rich's names.
STYLES: Final = {
    "finished": "green",
    "running": "cyan",
    "scheduled": "blue",
    "retrying": "yellow",
    "stuck": "bold red",
    "dead": "red",
    "expired": "red",
    "cancelled": "bright_black",
    "unknown": "magenta",
    "alive": "green",
    "gone": "red",
    "paused": "yellow",
}

# C0 and C1 controls, DEL, line and paragraph separators, marks that turn the direction of writing, bytes that were no UTF-8.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def safe(text: object, most: int | None = None) -> str:
    r"""Return a text that no terminal obeys: harmful characters as `\n`, `\x1b`, `\u202e`; cut to `most` characters."""
    shown = str(text)
    if most is not None and len(shown) > most:
        shown = f"{shown[: most - 1]}…"
    return _HARMFUL.sub(_escaped, shown)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    return _SHORT.get(character) or (f"\\x{ord(character):02x}" if character < "\u0100" else f"\\u{ord(character):04x}")


def to_json(value: object) -> str:
    """Return a value as JSON in one line, without anything that a terminal obeys."""
    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # a file name that is no UTF-8
        return json.dumps(value, separators=(",", ":"))
    return _HARMFUL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def compact(args: object, most: int = 80) -> str:
    """Return the arguments of a task for one cell: `source=a.jpg width=200` where it is an object, else as JSON."""
    if isinstance(args, dict):
        return safe(" ".join(f"{name}={_plain(value)}" for name, value in islice(args.items(), 40)), most)
    return safe(_plain(args), most)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else to_json(value)


def ago(ms: int | None, now: int) -> str:
    """Return how long ago a moment was, or how far ahead it is: `3m ago`, `just now`, `in 12s`; `-` where there is none."""
    if ms is None:
        return "-"
    away = round((now - ms) / 1000)
    if away == 0:
        return "just now"
    return f"{duration(away)} ago" if away > 0 else f"in {duration(-away)}"


def span(ms: float | None) -> str:
    """Return a length of time in milliseconds as people read it; `-` where there is none."""
    return "-" if ms is None else duration(ms / 1000)


def note(text: str) -> None:
    """Print a message on stderr: `streamq: TEXT`."""
    sys.stderr.write(f"streamq: {safe(text)}\n")
    sys.stderr.flush()


def report(what: str | None, hint: str | None = None) -> None:
    """Print an error and how to mend it on stderr; either may be None."""
    if what is not None:
        sys.stderr.write(f"streamq: error: {safe(what)}\n")
    if hint is not None:
        sys.stderr.write(f"hint: {safe(hint)}\n")


@dataclass(frozen=True)
class Column:
    """One column of a list for people.

    Args:
        title: its heading.
        of: what it shows of a row; text is made harmless here, None is `-`.
        style: a Rich style, or from the row; a state's is `STYLES[state]`.
        right: align to the right, as numbers are.
        wrap: may take several lines on a terminal.
        least: narrowest width to which a text may be cut on a terminal that is too narrow; None: it is never cut, as ids are not.
        spare: whether, and how soon, a terminal that is too narrow goes without it: the highest first, 0 never.
    """

    title: str
    of: Callable[[Any], object]
    style: str | Callable[[Any], str] = ""
    right: bool = False
    wrap: bool = False
    least: int | None = None
    spare: int = 0

    def text(self, row: Any) -> str:
        """The cell of a row."""
        value = self.of(row)
        return "-" if value is None or value == "" else safe(value, _CELL)

    def style_of(self, row: Any) -> str:
        """The style of the cell of a row."""
        return self.style if isinstance(self.style, str) else self.style(row)


class Output:
    """The results of one command.

    Args:
        json: print JSON, whatever stdout is.
    """

    def __init__(self, *, json: bool) -> None:
        self.json = json
        if isinstance(sys.stdout, TextIOWrapper):
            # JSON is UTF-8 wherever it is printed; a terminal that cannot show a character shows its number instead.
            sys.stdout.reconfigure(encoding="utf-8" if json else None, errors="backslashreplace")
        #: Whether stdout is a terminal.
        self.on_terminal = sys.stdout.isatty()
        #: Whether a person reads it: tables and colours make sense.
        self.rich = self.on_terminal and not json
        #: Whether a bar may be drawn on stderr meanwhile: between lines of JSON on the same terminal it would be a mess.
        self.draws = not (json and self.on_terminal)
        self._outlives = False

    def write(self, value: object, *, flush: bool = True) -> None:
        """Print one object as a line of JSON."""
        self._put(to_json(value) + "\n")
        if flush:
            self.flush()

    def flush(self) -> None:
        """Let whoever reads stdout have what was printed."""
        self._through(sys.stdout.flush)

    def outlive_reader(self) -> None:
        """Go on, and print nothing more, where whoever reads stdout has gone; without this the command ends there."""
        self._outlives = True

    def _put(self, text: str) -> None:
        self._through(sys.stdout.write, text)

    def _through(self, print_: Callable[..., object], *text: str) -> None:
        try:
            print_(*text)
        except BrokenPipeError:
            if not self._outlives:
                raise
            silence()

    def line(self, text: str, style: str = "") -> None:
        """Print one line for people; made harmless."""
        if self.rich and style:
            self.console.print(self.styled(text, style), soft_wrap=True)
        else:
            self._put(safe(text) + "\n")

    def rows(self, rows: Iterable[Any], columns: Sequence[Column]) -> int:
        """Print a list: with `--json` each row as it is (a dict or Struct), else the columns; return how many rows there were."""
        many = 0
        if self.json:
            for row in rows:
                self._put(to_json(row) + "\n")
                many += 1
            return many
        rest = iter(rows)
        while part := list(islice(rest, _PART)):
            if self.rich:
                self._table(part, columns)
            else:
                self._lines(part, columns, heading=many == 0)
            many += len(part)
        return many

    def pairs(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Print names and values, a line each, aligned; a value may hold line breaks of ours."""
        shown = [(name, value) for name, value in pairs if value is not None]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            first, *more = [safe(line) for line in str(value).split("\n")]
            if self.rich:
                bold = self.styled(f"{name:<{width}}", "bold")
                self.console.print(bold, "", self.styled(first, STYLES.get(first, "")), soft_wrap=True)
            else:
                self._put(f"{name:<{width}}  {first}\n")
            for line in more:
                self._put(f"{'':<{width}}  {line}\n")

    @property
    def console(self) -> Any:
        """Rich's console on stdout; only where `rich` is true."""
        if "_console" not in self.__dict__:
            from rich.console import Console

            self._console = Console(highlight=False, emoji=False, markup=False)
        return self._console

    @staticmethod
    def styled(text: str, style: str) -> Any:
        """A harmless text in a style of Rich."""
        from rich.text import Text

        return Text(safe(text), style=style)

    def _table(self, rows: list[Any], columns: Sequence[Column]) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        cells = {column: [column.text(row) for row in rows] for column in columns}
        widths = _fitted(cells, self.console.width)
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
        for column, width in widths.items():
            align: Any = "right" if column.right else "left"
            cut = column.least is not None and not column.wrap
            overflow: Any = "ellipsis" if cut else "fold"
            table.add_column(column.title, justify=align, no_wrap=cut, overflow=overflow, max_width=width)
        for index, row in enumerate(rows):
            table.add_row(*[Text(cells[column][index], style=column.style_of(row)) for column in widths])
        self.console.print(table)
        left_out = [column.title for column in columns if column not in widths]
        if left_out:
            self.console.print(self.styled(f"not shown: {', '.join(left_out)}; a wider terminal shows more", "dim"))

    def _lines(self, rows: list[Any], columns: Sequence[Column], *, heading: bool) -> None:
        cells = [[column.text(row) for column in columns] for row in rows]
        if heading:
            cells.insert(0, [column.title.upper() for column in columns])
        widths = [max(map(len, cells_of)) for cells_of in zip(*cells, strict=True)]
        aligns = [str.rjust if column.right else str.ljust for column in columns]
        for line in cells:
            aligned = [align(cell, width) for align, cell, width in zip(aligns, line, widths, strict=True)]
            self._put("  ".join(aligned).rstrip() + "\n")


def silence() -> None:
    """Let everything that is still printed on stdout vanish: nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _fitted(cells: dict[Column, list[str]], room: int) -> dict[Column, int]:
    """The columns that a terminal of this width has room for, and the widths they get.

    Texts are cut first, the widest first; then columns are left out, those first that say nothing of any row.
    """
    from rich.cells import cell_len

    widths = {column: max(map(cell_len, [column.title, *texts])) for column, texts in cells.items()}
    smallest = {column: min(width, max(column.least or width, len(column.title))) for column, width in widths.items()}

    def order(column: Column) -> tuple[bool, int]:
        return {*cells[column]} == {"-"}, column.spare

    def missing(of: dict[Column, int]) -> int:
        return sum(of.values()) + _GAP * (len(of) - 1) - room

    while missing(smallest) > 0 and any(column.spare for column in smallest):
        out = max((column for column in smallest if column.spare), key=order)
        del smallest[out], widths[out]
    for _ in range(missing(widths)):
        wide = [column for column in widths if widths[column] > smallest[column]]
        if not wide:
            break
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def parts(rows: Iterable[Any], many: int) -> Iterator[list[Any]]:
    """The rows in lists of at most `many`."""
    rest = iter(rows)
    while part := list(islice(rest, many)):
        yield part
