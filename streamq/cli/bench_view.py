"""The figures of `bench` for people, part by part as they are measured."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final, NamedTuple

from streamq.cli.figures import number, rate
from streamq.cli.figures import server as server_line
from streamq.cli.render import span

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.bench.figures import Machine, Rate, Report, Setting, Times, Waited
    from streamq.cli.render import Output

#: Columns of a line: what, how much, and what that means.
_WHAT, _MUCH = 22, 14


class Line(NamedTuple):
    """One figure."""

    what: str
    much: str
    remark: str = ""


class Block(NamedTuple):
    """What is shown together."""

    title: str
    lines: list[Line]


def show(out: Output, what: str, report: Report) -> None:
    """Print what has been measured.

    Args:
        out: where to.
        what: `head`, a part, or `hints`.
        report: the figures so far.
    """
    if what == "head":
        out.pairs(_head(out, report))
    elif what == "hints":
        _hints(out, report)
    else:
        block = _BLOCKS[what](report)
        out.line("")
        out.line(block.title, "bold")
        for line in block.lines:
            _print(out, line)


def _print(out: Output, line: Line) -> None:
    """One figure; where the terminal is too narrow for what it means, that goes on below."""
    figure = f"  {line.what:<{_WHAT}}{line.much:>{_MUCH}}"
    if not out.rich:
        out.line(f"{figure}   {line.remark}".rstrip())
        return
    from rich.text import Text

    shown = Text.assemble(f"  {line.what:<{_WHAT}}", (f"{line.much:>{_MUCH}}", "bold cyan"))
    room = max(20, out.console.width - len(figure) - 3)
    first, *more = textwrap.wrap(line.remark, room) or [""]
    out.console.print(shown.append(f"   {first}".rstrip(), "dim"))
    for text in more:
        out.line(f"{'':<{len(figure)}}   {text}", "dim")


def _head(out: Output, report: Report) -> list[tuple[str, str]]:
    settings, trip = report.settings, report.round_trip_ms
    pairs = [
        ("machine", _machine(report.machine)),
        ("server", server_line(report.server)),
        ("round trip", f"{span(trip.p50)}, p99 {span(trip.p99)}"),
        ("worker", _worker(settings)),
        ("measured", f"{span(settings.seconds * 1000)} each"),
    ]
    if not out.rich:
        return pairs
    from streamq.cli.figures import wrapped

    room = out.console.width - max(len(name) for name, _ in pairs) - 2
    return [(name, wrapped(value, room)) for name, value in pairs]


def _machine(machine: Machine) -> str:
    load = "" if machine.load is None else f", load {machine.load:g}"
    cores = f"{machine.cores} core{'s' * (machine.cores != 1)}"
    return f"{cores}, {machine.system}, Python {machine.python}, streamq {machine.streamq}, redis-py {machine.redis_py}{load}"


def _worker(settings: Setting) -> str:
    slots = f"{settings.sync_slots} sync and {settings.async_slots} async slots"
    return f"1 process, {slots}" if settings.processes == 1 else f"{settings.processes} processes, each {slots}"


def _send(report: Report) -> Block:
    found = report.send
    assert found is not None  # noqa: S101 - it is shown because it was measured
    return Block(
        "Sending, from one thread",
        [
            Line("one by one", rate(found.single.per_s), _beside(found.single_ratio, "xadd", found.xadd)),
            Line("in bulk", rate(found.bulk.per_s), _beside(found.bulk_ratio, "pipeline", found.pipeline)),
        ],
    )


def _empty(report: Report) -> Block:
    found = report.empty
    assert found is not None  # noqa: S101
    return Block("Empty tasks", [Line("sync", *_measured(found.sync)), Line("async", *_measured(found.async_))])


def _waiting(report: Report) -> Block:
    found = report.waiting
    assert found is not None  # noqa: S101

    def line(kind: str, each: Waited) -> Line:
        what = f"{kind}, {number(each.slots)} slot{'s' * (each.slots != 1)}"
        return Line(what, rate(each.per_s), f"{each.share:.1%} of what the slots can do, {rate(each.ideal_per_s)}")

    return Block(f"Tasks that wait {span(found.wait_ms)}", [line("sync", found.sync), line("async", found.async_)])


def _images(report: Report) -> Block:
    found = report.images
    assert found is not None  # noqa: S101
    size = f"{found.width} x {found.height} to {found.thumbnail} px"
    return Block("Images", [Line("thumbnails of JPEGs", rate(found.per_s), f"{size}, {number(found.tasks)} of them")])


def _latency(report: Report) -> Block:
    found = report.latency
    assert found is not None  # noqa: S101
    times: Times = found.start_ms
    remark = f"{number(found.tasks)} tasks, {found.sent_per_s:.0f} a second"
    return Block(
        "From being sent until started, in another process",
        [Line("p50", span(times.p50), remark), Line("p99", span(times.p99))],
    )


_BLOCKS: Final[dict[str, Callable[[Report], Block]]] = {
    "send": _send,
    "empty": _empty,
    "waiting": _waiting,
    "images": _images,
    "latency": _latency,
}


def _measured(found: Rate) -> tuple[str, str]:
    return rate(found.per_s), f"{number(round(found.lowest))} to {number(round(found.highest))} meanwhile"


def _beside(ratio: float, what: str, theirs: Rate) -> str:
    """What a rate is beside redis-py's."""
    return f"{ratio:.2g} {'of' if ratio < 1 else 'times'} redis-py's {what}, {rate(theirs.per_s)}"


def _hints(out: Output, report: Report) -> None:
    """What to look at, a sentence each."""
    if report.hints:
        out.line("")
    for text in report.hints:
        width = out.console.width - 2 if out.rich else len(text)
        for i, line in enumerate(textwrap.wrap(text, width)):
            out.line(f"{'→ ' if i == 0 else '  '}{line}", "yellow")
