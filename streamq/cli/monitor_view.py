"""The picture of a queue at work, for a terminal of any size: tasks, throughput, times, totals, workers, server. Loads Rich."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streamq.cli import figures
from streamq.cli.render import STYLES, ago, safe, span
from streamq.units import duration, human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult

    from streamq.cli.monitor import Moment
    from streamq.stats import Stats, Worker

#: Lines inside the panels of the upper row.
_LINES: Final = 9
#: Lines of the screen that are not rows of the table of workers nor the foot: head, upper row, heading and border of the table.
_AROUND: Final = 1 + (_LINES + 2) + 3
#: A terminal that is narrower has no room for times and totals.
_NARROW: Final = 72
#: Lines of the panel of throughput beside its curve: two borders and the rates.
_RATES: Final = 2 + 4
#: Lines to spare from which on the curve gets a row of its own.
_TALL: Final = _RATES + 5
_BARS: Final = " ▁▂▃▄▅▆▇█"
_SLOTS: Final = 8


class Frame:
    """One picture; it is laid out anew for the size of the terminal whenever it is drawn.

    Args:
        moment: what was read last.
        wrong: what is wrong with the server; None: nothing.
        interval: seconds between readings; None: this is the only picture, as high as it has to be.
    """

    def __init__(self, moment: Moment, wrong: str | None, interval: float | None) -> None:
        self._moment = moment
        self._wrong = wrong
        self._interval = interval

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay it out."""
        foot = self._foot(self._moment.stats)
        around = _AROUND + (1 if self._wrong is None else len(foot.wrap(console, options.max_width)))
        rows = None if self._interval is None else max(1, options.max_height - around)
        spare = 0 if rows is None else max(0, rows - _wanted(self._moment))
        yield self._head(self._moment.stats)
        yield from _upper(self._moment, options.max_width, spare)
        yield _lower(self._moment, rows if spare == 0 else None)
        yield foot

    def _head(self, stats: Stats) -> RenderableType:
        """The queue, the time, and what is wrong."""
        left = Text.assemble((f"queue {stats.queue}", "bold"))
        if stats.paused:
            left.append("  paused", style=f"bold {STYLES['paused']}")
        if self._wrong is not None:
            left.append("  server away", style="bold red")
        clock = datetime.fromtimestamp(stats.now_ms / 1000).astimezone().strftime("%H:%M:%S")
        right = clock if self._interval is None else f"every {duration(self._interval)} · q quits · {clock}"
        line = Table.grid(expand=True)
        line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        line.add_column(no_wrap=True, justify="right")
        line.add_row(left, Text(right, style="dim"))
        return line

    def _foot(self, stats: Stats) -> Text:
        """The server, or what is wrong with it: then all above is what was known last."""
        if self._wrong is not None:
            return Text(safe(self._wrong), style="bold red")
        return Text(figures.server(stats.server), style="dim", no_wrap=True, overflow="ellipsis")


def _wanted(moment: Moment) -> int:
    """How many lines the stuck tasks and the workers would take, heading and border of the table not counted."""
    return max(1, len(moment.stats.workers)) + (len(moment.named) + 2 if moment.named else 0)


def _upper(moment: Moment, width: int, spare: int) -> Iterator[RenderableType]:
    """Tasks, throughput, times and totals, side by side; where much height is to spare, the curve below, in full width."""
    stats = moment.stats
    if spare >= _TALL:
        times = [_panel("Times", _times(stats))] if width >= _NARROW else []
        yield _row(_panel("Tasks", _tasks(moment)), *times, _panel("Totals", _totals(stats, _LINES)))
        yield _panel("Throughput", Throughput(moment, spare - _RATES), spare)
        return
    lines = _LINES + spare
    panels: list[RenderableType] = [
        _panel("Tasks", _tasks(moment), lines + 2),
        _panel("Throughput", Throughput(moment, lines - 4), lines + 2),
    ]
    if width >= _NARROW:
        left = lines - 4 - 2
        panels.append(Group(_panel("Times", _times(stats), 4 + 2), _panel("Totals", _totals(stats, left), left + 2)))
    yield _row(*panels)


def _row(*panels: RenderableType) -> RenderableType:
    """Panels side by side, equally wide."""
    row = Table.grid(expand=True)
    for _ in panels:
        row.add_column(ratio=1)
    row.add_row(*panels)
    return row


def _panel(title: str, inside: RenderableType, height: int | None = _LINES + 2, more: str | None = None) -> Panel:
    head = Text(title, style="bold")
    return Panel(
        inside,
        title=head,
        title_align="left",
        subtitle=more,
        subtitle_align="right",
        box=box.ROUNDED,
        border_style="dim",
        height=height,
    )


def _grid(rows: Sequence[tuple[Text | str, Text | str]]) -> Table:
    """Names on the left, values on the right."""
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right")
    for name, value in rows:
        grid.add_row(name, value)
    return grid


def _tasks(moment: Moment) -> RenderableType:
    """Where the tasks are."""
    stats = moment.stats

    def row(name: str, many: int, style: str = "") -> tuple[Text, Text]:
        style = style if many else "dim"
        return Text(name, style=style), Text(figures.number(many), style=style)

    return _grid(
        [
            row("waiting", stats.waiting.total, "bold"),
            *(row(f"  {name}", getattr(stats.waiting, name)) for name in ("high", "default", "low")),
            row("scheduled", stats.scheduled, STYLES["scheduled"]),
            row("running", stats.running, STYLES["running"]),
            row("stuck", moment.stuck, STYLES["stuck"]),
            row("retrying", stats.retrying, STYLES["retrying"]),
            row("dead letters", stats.dead, STYLES["dead"]),
        ]
    )


class Throughput:
    """How fast it goes: what finishes a second, its curve, what is sent and fails, and how much succeeds.

    Args:
        moment: what was read last.
        lines: how high the curve is.
    """

    def __init__(self, moment: Moment, lines: int) -> None:
        self._moment = moment
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay it out; the curve takes the whole width."""
        stats, rates = self._moment.stats, self._moment.rates
        finished = rates.get("finished", stats.throughput_per_s)
        yield _grid([(Text("finished", style="bold"), Text(figures.rate(finished), style="bold green"))])
        for line in curve(self._moment.history, options.max_width, self._lines):
            yield Text(line, style="green", no_wrap=True)
        failed = rates.get("failed")
        success = stats.success_rate
        yield _grid(
            [
                ("sent", figures.rate(rates["sent"]) if rates else "-"),
                ("failed attempts", Text("-" if failed is None else figures.rate(failed), style="yellow" if failed else "")),
                ("success, 5 min", Text(figures.percent(success), style="" if success in (None, 1) else "yellow")),
            ]
        )


def curve(values: Sequence[float], width: int, height: int) -> list[str]:
    """Lines that show values as bars, the newest on the right, the highest one as high as there is room."""
    shown = [0.0] * max(0, width - len(values)) + list(values[-width:])
    highest = max(shown, default=0.0)
    eighths = [round(value / highest * height * 8) if highest else 0 for value in shown]
    # The least that moves at all shows.
    eighths = [max(many, 1) if value else 0 for many, value in zip(eighths, shown, strict=True)]
    return ["".join(_BARS[min(8, max(0, many - 8 * line))] for many in eighths) for line in reversed(range(height))]


def _times(stats: Stats) -> RenderableType:
    """How long tasks wait and run."""
    grid = Table.grid(expand=True, padding=(0, 1))
    for justify in ("left", "right", "right"):
        grid.add_column(no_wrap=True, justify=justify)
    grid.add_row(Text("5 min", style="dim"), Text("wait", style="bold"), Text("run", style="bold"))
    for name in ("p50", "p95", "p99"):
        grid.add_row(name, span(getattr(stats.wait_ms, name)), span(getattr(stats.run_ms, name)))
    return grid


def _totals(stats: Stats, lines: int) -> RenderableType:
    """What has happened since the queue began; where there are few lines, what matters most."""
    totals = sorted(figures.totals(stats), key=lambda each: each[0] not in {"sent", "finished", "dead"})
    return _grid([(name, Text(figures.number(many), style="" if many else "dim")) for name, many in totals[:lines]])


def _lower(moment: Moment, rows: int | None) -> RenderableType:
    """The stuck tasks, where there are any, and the workers.

    Args:
        moment: what was read.
        rows: how many lines there are for both; None: as many as are needed.
    """
    lines = len(moment.named)
    if rows is not None:
        lines = min(lines, rows - 2 - min(3, len(moment.stats.workers)))
    if lines < 1:
        return _workers(moment.stats, rows)
    return Group(_stuck(moment, lines), _workers(moment.stats, None if rows is None else rows - 2 - lines))


def _stuck(moment: Moment, lines: int) -> Panel:
    """The longest stuck, and what will happen to them."""
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
    for task in moment.named[:lines]:
        grid.add_row(Text(task.id), Text(safe(f"{task.task} on {task.worker}: {task.next}")))
    title = f"Stuck: {lines:,} of {moment.stuck:,}"
    return Panel(grid, title=f"[bold red]{title}[/]", title_align="left", box=box.ROUNDED, border_style="red")


def _workers(stats: Stats, rows: int | None) -> RenderableType:
    """The worker processes: those that do not live first, since they are few and matter."""
    alive = figures.workers(stats.workers)
    if not stats.workers:
        return _panel("Workers", Text("none alive; `streamq consume --name worker1` starts one", style="dim"), None)
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    for title, justify in _COLUMNS:
        table.add_column(title, justify=justify, no_wrap=True, overflow="ellipsis")
    ordered = sorted(stats.workers, key=lambda worker: worker.state == "alive")
    shown = ordered[:rows]
    for worker in shown:
        table.add_row(*_worker(worker, stats.now_ms))
    more = f"and {len(ordered) - len(shown)} more" if len(shown) < len(ordered) else None
    return _panel(f"Workers: {alive}", table, None, more)


_COLUMNS: Final[tuple[tuple[str, JustifyMethod], ...]] = (
    ("worker", "left"), ("process", "right"), ("state", "left"), ("runs", "left"), ("finished", "right"), ("failed", "right"),
    ("memory", "right"), ("seen", "right"),
)  # fmt: skip


def _worker(worker: Worker, now: int) -> list[Text]:
    state = "quarantine" if worker.quarantine and worker.state == "alive" else worker.state
    return [
        Text(safe(worker.name)),
        Text(str(worker.pid), style="dim"),
        Text(state, style=figures.WORKER_STYLES[worker.state]),
        _slots(worker),
        Text(figures.number(worker.finished)),
        Text(figures.number(worker.failed), style="yellow" if worker.failed else "dim"),
        Text(human_bytes(worker.rss_bytes), style="dim"),
        Text(ago(worker.seen_ms or None, now), style="dim"),
    ]


def _slots(worker: Worker) -> Text:
    """How many of its slots are busy, as a bar and as numbers."""
    slots = min(_SLOTS, max(1, worker.concurrency))
    busy = min(slots, -(-worker.running * slots // max(1, worker.concurrency)))
    numbers = f" {worker.running}/{worker.concurrency}"
    return Text.assemble(("▰" * busy, STYLES["running"]), ("▱" * (slots - busy), "dim"), numbers)
