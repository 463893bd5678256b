"""The picture of what is pending, for a terminal: a summary, and two or more lines a task. Loads Rich."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from streamq.cli.figures import WORKER_STYLES
from streamq.cli.pending import more
from streamq.cli.render import STYLES, compact, safe, span

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from streamq.pending import Pending, View


#: Width of an id: it is there to be copied, and so never cut.
_ID: Final = 17


def picture(view: View, queue: str, limit: int, wrong: str | None = None) -> RenderableType:
    """All that was found, and what has been wrong with the server since."""
    parts: list[RenderableType] = [_summary(view, queue, away=wrong is not None)]
    if wrong is not None:
        parts.append(Text(safe(wrong), style="bold red"))
    parts.append(_table(view.tasks) if view.tasks else Text("\nNothing is pending.", style="dim"))
    if said := more(view, limit, view.pending + view.retrying):
        parts.append(Text(f"{said[0].upper()}{said[1:]}.", style="dim"))
    if view.looked < view.pending:
        parts.append(Text(f"{view.looked:,} of {view.pending:,} were looked at; more may be stuck.", style="dim"))
    if view.stuck:
        parts.append(Text("streamq pending --claim hands the stuck ones on now.", style="dim"))
    return Group(*parts)


def screen(queue: str, limit: int) -> Callable[[View, str | None], RenderableType]:
    """What draws a whole screen of it."""
    return lambda view, wrong: picture(view, queue, limit, wrong)


def _summary(view: View, queue: str, *, away: bool) -> Text:
    """One line: how much of what; where the server is away, of what was known last."""
    running = view.pending - view.stuck
    parts = [
        (f"queue {queue}", "bold"),
        ("server away", "bold red") if away else None,
        ("paused", STYLES["paused"]) if view.paused else None,
        (f"{view.stuck:,} stuck", STYLES["stuck"] if view.stuck else "dim"),
        (f"{running:,} running", STYLES["running"] if running else "dim"),
        (f"{view.retrying:,} retrying", STYLES["retrying"] if view.retrying else "dim"),
        (f"{view.alive} worker process{'es' * (view.alive != 1)} alive", STYLES["alive"])
        if view.alive
        else ("no worker alive", STYLES["stuck"]),
    ]
    return Text("  ").join(Text(*part) for part in parts if part)


def _table(tasks: list[Pending]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=True)
    table.add_column("state", no_wrap=True)
    table.add_column("task", min_width=_ID, ratio=5, overflow="ellipsis", no_wrap=True)
    table.add_column("worker", no_wrap=True, max_width=20, overflow="ellipsis")
    table.add_column("running", no_wrap=True)
    table.add_column("next", ratio=6)
    for task in tasks:
        tries = f"try {task.deliveries} of {task.max_deliveries}"
        last = task.deliveries >= task.max_deliveries
        table.add_row(
            _lines((task.state, STYLES[task.state]), (tries, "red" if last else "dim")),
            _lines((task.id, ""), (f"{task.task or '?'} {compact(task.args, 200)}", "dim")),
            _worker(task),
            _times(task),
            _next(task),
        )
    return table


def _worker(task: Pending) -> Text:
    if task.worker is None:
        return Text("-", style="dim")
    return _lines((task.worker, ""), (task.worker_state or "no heartbeat", WORKER_STYLES[task.worker_state]))


def _times(task: Pending) -> Text:
    """How long it runs, and how much of its lease is left."""
    if task.consumer is None:
        return Text("-", style="dim")
    runs = span(task.running_ms and round(task.running_ms, -3)) if task.running_ms else "not seen"
    left = task.lease_left_ms or 0
    return _lines((runs, ""), (f"lease {span(round(left, -3))}" if left else "lease out", "dim" if left else "red"))


def _next(task: Pending) -> Text:
    text = Text(task.next, style="bold" if task.state == "stuck" else "")
    if task.error and task.state != "running":
        text.append(f"\n{safe(task.error, 120)}", style="dim")
    return text


def _lines(*lines: tuple[str, str]) -> Text:
    return Text("\n").join(Text(safe(line), style=style) for line, style in lines)
