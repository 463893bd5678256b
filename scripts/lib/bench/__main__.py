"""Measures streamq beside what it is compared with, in one run, and says which goals are reached.

scripts/bench                                every row of the table, five rounds, both sides of each in turn
scripts/bench sync bulk --quick              these rows, small and in two rounds: to see that it works, not to be quoted
scripts/bench --json F --chart F --markdown docs/performance.md
scripts/bench --from F --markdown docs/performance.md --chart F       the same from a file, measuring nothing
scripts/bench --peers arq,celery [--peers-dir DIR]                    other queues beside, by a benchmark that lies in DIR
scripts/bench --against REV [ROW…]           has a change cost more than 10%? Exit status 1 where it has
scripts/bench profile                        where the time of an empty task goes

Exit status 0: measured, goals reached or not; 1: --against found what costs more; 2: something could not be measured, or wrong
usage; 130, 143: interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import signal
import sys
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console

from scripts.lib.bench import against, machine, peers, profile, report, rows
from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.figures import Peers, Results, Row
from scripts.lib.bench.measure import Place
from scripts.lib.bench.server import SETTINGS, program
from scripts.lib.bench.sizes import QUICK, QUICK_ROUNDS, ROUNDS, WHOLE
from streamq.errors import StreamqError

_PROFILE = "profile"
#: A machine with more to do than this is no place to measure.
_BUSY = 0.5

#: Columns where there is no terminal.
_WIDTH = 180

console, messages = Console(width=None if sys.stdout.isatty() else _WIDTH), Console(stderr=True)


def main() -> None:
    """Does what was asked for."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that servers and workers are ended, as by Ctrl-C
    try:
        with tempfile.TemporaryDirectory(prefix="streamq-bench-") as folder:
            sys.exit(_run(options, Path(folder)))
    except (BenchError, StreamqError) as error:
        messages.print(f"scripts/bench: error: {error.what}", markup=False, highlight=False, soft_wrap=True)
        if error.hint:
            messages.print(f"hint: {error.hint}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        messages.print("scripts/bench: interrupted")
        sys.exit(130)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{', '.join(rows.ROWS)}, or {_PROFILE}; default: all rows")
    parser.add_argument("--rounds", type=int, help=f"how often each is measured (default {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help=f"small sizes, {QUICK_ROUNDS} rounds")
    parser.add_argument("--size", action="append", default=[], metavar="NAME=N", help=f"another size: {_sizes()}")
    parser.add_argument("--server", type=Path, help="a server binary (default: the one that streamq brings along)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured; rows that are there already stay")
    parser.add_argument("--from", type=Path, dest="source", metavar="FILE", help="measure nothing: show this file")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw FILE.png and FILE.svg")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="fill the marked sections of a document")
    parser.add_argument("--peers", metavar="NAMES", help="other queues to run beside, with commas; streamq comes by itself")
    parser.add_argument(
        "--peers-dir", type=Path, metavar="DIR", help="where the benchmark that knows them is (default ../shared/peers)"
    )
    home = f"where it keeps their environments (default {peers.HOME})"
    parser.add_argument("--peers-home", type=Path, metavar="DIR", default=peers.HOME, help=home)
    parser.add_argument("--peers-options", default="", metavar="TEXT", help="passed to it, such as '--tasks 60000'")
    parser.add_argument("--against", metavar="REV", help=f"compare with a revision (default rows: {' '.join(against.DEFAULT)})")
    options = parser.parse_args()
    known = {*rows.ROWS, _PROFILE, *(against.COMPARED if options.against else ())}
    if unknown := [name for name in options.rows if name not in known]:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    if options.peers_dir and not options.peers:
        parser.error("--peers-dir: say which queues, too: --peers NAMES")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds: at least 1")
    if options.source and (options.rows or options.against or options.peers):
        parser.error("--from measures nothing: give it no rows, no --against and no --peers")
    for file in filter(None, (options.json, options.chart)):
        if not file.absolute().parent.is_dir():
            parser.error(f"{file}: there is no folder {file.parent}")
    if options.markdown and not options.markdown.is_file():
        parser.error(f"--markdown {options.markdown}: there is no such document")
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    options.sizes = QUICK if options.quick else WHOLE
    for text in options.size:
        name, _, value = text.partition("=")
        if name not in _sizes().split(", ") or not value.isdecimal() or int(value) < 1:
            parser.error(f"--size {text}: give NAME=N; the names are {_sizes()}")
        options.sizes = dataclasses.replace(options.sizes, **{name: int(value)})
    return options


def _sizes() -> str:
    return ", ".join(each.name for each in dataclasses.fields(WHOLE) if each.name != "depth")


def _run(options: argparse.Namespace, folder: Path) -> int:
    results = _read(options.source or options.json, must_exist=options.source is not None)
    if options.source is None:
        binary, server = program(options.server)
        place = Place(binary, folder, lambda text: messages.print(f"[dim]{text}[/]", highlight=False))
        if (busy := machine.load()) > _BUSY:
            messages.print(f"[yellow]this machine is busy (load {busy:.1f}): figures of now say little[/]", highlight=False)
        if options.against:
            return _against(options, place, folder)
        others = options.peers and peers.find(
            options.peers_dir, options.peers, options.peers_home, shlex.split(options.peers_options)
        )
        _measure(options, place, server, results)
        if others:
            results.peers = Peers(
                queues=peers.run(others, binary, folder),
                at=machine.now(),
                commit=machine.commit(),
                machine=machine.machine(),
                server=server,
                options=options.peers_options,
            )
            _write(options.json, results)
    elif results.rows:
        report.show(results.rows, console)
    if options.chart:
        for file in _draw(results, options.chart):
            console.print(f"drawn: {file}", highlight=False)
    if options.markdown:
        report.fill(options.markdown, results, options.chart)
        console.print(f"filled: {options.markdown}", highlight=False)
    return 0


def _measure(options: argparse.Namespace, place: Place, server: str, results: Results) -> None:
    """Measure row by row; what was measured is kept, whatever becomes of the next one."""
    wanted = options.rows or ([] if options.peers else list(rows.ROWS))
    for name in wanted:
        if name == _PROFILE:
            results.profile = profile.take(place, server, options.sizes.profile)
            report.show_profile(results.profile, console)
        else:
            row = Row(
                name=name,
                figures=rows.ROWS[name](place, options.sizes, options.rounds),
                at=machine.now(),
                commit=machine.commit(),
                settings=_settings(options),
                machine=machine.machine(),
                server=server,
            )
            results.put(row, list(rows.ROWS))
            report.show([row], console)
        _write(options.json, results)


def _settings(options: argparse.Namespace) -> dict[str, str]:
    size = "quick" if options.quick else "whole"
    return {"rounds": str(options.rounds), "sizes": " ".join([size, *options.size]), "server options": " ".join(SETTINGS)}


def _against(options: argparse.Namespace, place: Place, folder: Path) -> int:
    names = options.rows or list(against.DEFAULT)
    against.check(names)
    package = against.check_out(options.against, folder)
    figures = against.compare(place, options.sizes, options.rounds, names, package)
    row = Row(name="against", figures=figures, at="", commit="", settings={}, machine={}, server="")
    report.show([row], console)
    for text in (worse := against.costs_more(figures)):
        console.print(f"[red]costs more than 10%:[/] {text}", highlight=False)
    if not worse:
        console.print(f"nothing costs more than 10% over {options.against}", highlight=False)
    return 1 if worse else 0


def _read(path: Path | None, *, must_exist: bool) -> Results:
    if path is None or not (must_exist or path.exists()):
        return Results()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except (OSError, msgspec.DecodeError) as error:
        raise BenchError(f"{path} holds no results: {error}", hint="--json FILE writes such a file") from None


def _write(path: Path | None, results: Results) -> None:
    if path is not None:
        path.write_bytes(results.encode())


def _draw(results: Results, path: Path) -> list[Path]:
    from scripts.lib.bench import chart

    return chart.draw(results, path)


if __name__ == "__main__":
    main()
