"""Results as people read them: a table on the terminal, and sections of a document that nobody types figures into."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.figures import TIMES, Figure, Peers, Profile, Results, Row, number
from scripts.lib.bench.installed import OURS

if TYPE_CHECKING:
    from rich.console import Console

_TITLES = ("what", "measured", "spread", "beside it", "ratio", "goal", "reached")
_WORDS = {True: "yes", False: "no", None: ""}
_COLOURS = {True: "green", False: "red", None: "dim"}
#: Columns of a benchmark of other queues, and what they are.
PEERS = {
    "noop": "empty tasks/s",
    "io": "100 ms tasks/s",
    "cpu": "1000 SHA-256/s",
    "single": "single sends/s",
    "bulk": "bulk sends/s",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "rss": "MiB",
    "bytes": "bytes a task",
}


def cells(figure: Figure) -> list[str]:
    """A line of the table."""
    beside = ratio = ""
    if figure.beside is not None:
        beside = f"{figure.beside}: {number(statistics.median(figure.beside_rounds), figure.unit)}"
        ratio = f"{figure.ratio:.3g} {TIMES}"
        if len(figure.ratios) > 1:
            ratio += f" ({min(figure.ratios):.3g} to {max(figure.ratios):.3g})"
    return [
        figure.what,
        number(figure.median, figure.unit),
        f"{number(min(figure.rounds))} to {number(max(figure.rounds))}" if len(figure.rounds) > 1 else "",
        beside,
        ratio,
        str(figure.goal or ""),
        _WORDS[figure.reached],
    ]


def show(rows: Iterable[Row], console: Console) -> None:
    """Print the table."""
    table = Table(*_TITLES, box=box.SIMPLE)
    for row in rows:
        for figure in row.figures:
            *texts, reached = cells(figure)
            table.add_row(*texts, f"[{_COLOURS[figure.reached]}]{reached}[/]")
        table.add_section()
    console.print(table)


def show_profile(profile: Profile, console: Console) -> None:
    """Print where the time goes."""
    for title, lines, column in _parts(profile):
        table = Table(title, *column, box=box.SIMPLE)
        for line in lines:
            table.add_row(*line)
        console.print(table)


def fill(document: Path, results: Results, chart: Path | None) -> None:
    """Write the marked sections of a document anew; a section for which there is nothing stays as it is.

    Raises:
        BenchError: there is no such document, or a section is not marked in it.
    """
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{document} cannot be read: {error.strerror}", hint="--markdown names a document with marks") from None
    if results.rows:
        text = put(text, "figures", _figures(results, chart, document), document)
    if results.peers is not None:
        text = put(text, "peers", _peers(results.peers), document)
    if results.profile is not None:
        text = put(text, "profile", _profile(results.profile), document)
    document.write_text(text, encoding="utf-8")


def put(text: str, name: str, content: str, document: Path) -> str:
    """The text with another content between the marks of a section.

    Raises:
        BenchError: the section is not marked.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise BenchError(f"{document} has no section {name}", hint=f"mark it with {begin} and {end}")
    return pattern.sub(lambda _: f"{begin}\n{content.strip()}\n{end}", text)


def _lines(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    made = ["| " + " | ".join(cells) + " |" for cells in (titles, *rows)]
    return "\n".join([made[0], "|" + "---|" * len(titles), *made[1:]])


def _figures(results: Results, chart: Path | None, document: Path) -> str:
    table = _lines(_TITLES, (cells(figure) for row in results.rows for figure in row.figures))
    picture = (
        f"![Each figure beside its goal]({os.path.relpath(chart.with_suffix('.svg'), document.parent)})\n\n" if chart else ""
    )
    return f"{picture}{table}\n\n{_origins(results.rows)}"


def _origins(rows: Iterable[Row]) -> str:
    """Where the rows come from: those that share machine, server, commit and settings in one line."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        machine = ", ".join(_plain(name, value) for name, value in row.machine.items())
        settings = ", ".join(f"{name} {value}" for name, value in row.settings.items())
        groups.setdefault(f"commit {row.commit or 'unknown'}; {machine}; {row.server}; {settings}", []).append(row)
    told = []
    for origin, group in groups.items():
        names, times = ", ".join(row.name for row in group), sorted(row.at for row in group)
        told.append(f"- {names}: {times[0]} to {times[-1]}; {origin}." if len(times) > 1 else f"- {names}: {times[0]}; {origin}.")
    return "\n".join(told)


def _plain(name: str, value: str) -> str:
    return value if name in {"processor", "memory", "system", "python"} else f"{name} {value}"


def _peers(peers: Peers) -> str:
    """What was measured, then how many times that streamq is, then where it comes from."""
    columns = [name for name in PEERS if any(name in peer.figures for peer in peers.queues)]
    titles = [PEERS[column] for column in columns]
    ours = next((peer.figures for peer in peers.queues if peer.name == OURS), {})
    measured = (
        [peer.name, peer.version, peer.way, *(_cell(peer.figures.get(column)) for column in columns)] for peer in peers.queues
    )
    others = [peer for peer in peers.queues if peer.name != OURS]
    ratios = ([peer.name, *(_ratio(ours, peer.figures, column) for column in columns)] for peer in others)
    machine = ", ".join(_plain(name, peers.machine[name]) for name in ("processor", "memory", "system") if name in peers.machine)
    where = f"{peers.at}; commit {peers.commit or 'unknown'}; {machine}; {peers.server}"
    origin = f"{where}; options {peers.options or 'as they come'}"
    return "\n\n".join(
        [
            _lines(["queue", "version", "how", *titles], measured),
            "streamq divided by each: where it counts what is done in a second more is better, else less.",
            _lines(["streamq / queue", *titles], ratios),
            f"Each measured once, one after another: {origin}.",
        ]
    )


def _cell(value: float | None) -> str:
    return "-" if value is None else number(value)


def _ratio(ours: Mapping[str, float], theirs: Mapping[str, float], column: str) -> str:
    return f"{ours[column] / theirs[column]:.3g} {TIMES}" if ours.get(column) and theirs.get(column) else "-"


def _profile(profile: Profile) -> str:
    parts = [_lines([title, *column], lines) for title, lines, column in _parts(profile)]
    machine = profile.machine.get("processor", "")
    origin = (
        f"{profile.tasks:,} empty tasks, {number(profile.rate)} a second while they were watched; {profile.at}, "
        f"commit {profile.commit or 'unknown'}, {machine}, {profile.server}."
    )
    return "\n\n".join([origin, *parts])


def _parts(profile: Profile) -> list[tuple[str, list[list[str]], tuple[str, ...]]]:
    threads = [[line.what, f"{line.own:.1%}", f"{line.total:.2f}"] for line in profile.threads]
    functions = [[line.what, f"{line.own:.1%}", f"{line.total:.1%}"] for line in profile.functions]
    commands = [[line.what, f"{line.calls:.4f}", f"{line.own:.1f}", f"{line.total:.2f}"] for line in profile.commands]
    return [
        ("thread", threads, ("share of the processor time", "µs a task")),
        ("function that held the interpreter", functions, ("own share", "with what it calls")),
        ("command at the server", commands, ("calls a task", "µs a call", "µs a task")),
    ]
