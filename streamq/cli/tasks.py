"""`streamq tasks`: lists of tasks by state, name, arguments and time."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from streamq import listing
from streamq.browse import Record
from streamq.cli.options import SINCE
from streamq.cli.render import STYLES, Column, ago, compact, note, report, safe
from streamq.errors import UsageError
from streamq.keys import sent_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq import browse
    from streamq.cli.state import State
    from streamq.config import Settings


def _condition(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        hint = "Such as --where source=photos/a.jpg or --where width=200; * stands for anything."
        raise UsageError(f"--where: {text!r} is no FIELD=VALUE", hint=hint)
    return name.strip(), value


@click.command()
@click.option("--state", "states", multiple=True, type=click.Choice(listing.STATES), help="Only tasks in this state; repeatable.")
@click.option("--task", "name", metavar="NAME", help="Only tasks of this name; * stands for anything.")
@click.option(
    "--where",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Only where an argument, or a field of the listing such as worker, has this value; * stands for anything.",
)
@click.option("--since", type=SINCE, metavar="TIME", help="Only what ended, or was sent, since then; 1h is an hour ago.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="At most so many.")
@click.option(
    "--look",
    type=click.IntRange(min=1),
    default=listing.LOOK,
    show_default=True,
    metavar="N",
    help="Look at no more than so many tasks, whether they are such ones or not.",
)
@click.option("--after", default="", metavar="PLACE", help="Go on where another list has ended, which tells the place.")
@click.pass_obj
def tasks(
    state: State,
    *,
    states: tuple[browse.State, ...],
    name: str | None,
    where: tuple[str, ...],
    since: int | None,
    limit: int,
    look: int,
    after: str,
) -> int:
    """List tasks: those that have not ended first, then dead ones, then the latest that finished or were cancelled.

    Finished image tasks come from the catalogue, however old; of other ended tasks the queue keeps the newest (worker.history).
    A list that is not whole says with which --after it goes on.
    """
    wanted = listing.Wanted(states or listing.STATES, name, tuple(map(_condition, where)), since or 0)
    catalogue = _Catalogue(state.settings, since or 0)
    found = listing.Tasks(state.transitions, wanted, catalogue, look=look, after=after)
    now = 0 if state.json else state.transitions.now_ms()
    shown = state.out.rows(islice(found, limit), _columns(now))
    place, more = found.place, shown == limit and next(found, None) is not None
    if more:
        note(f"there are more than these {limit}; --limit shows more, `--after {place}` goes on")
    elif found.is_cut:
        note(f"{look:,} tasks were looked at, and {shown or 'no'} such found; `--after {place}` goes on, --look looks further")
    elif not shown and not state.json:
        note(f"no such tasks in queue {state.keys.queue}")
    return catalogue.status


class _Catalogue:
    """The finished image tasks of the catalogue; its driver is loaded only where there is one and they are asked for."""

    def __init__(self, settings: Settings, since: int) -> None:
        self._settings = settings
        self._since = since
        #: Exit status: 1 where there are rows that cannot be read.
        self.status = 0

    def __call__(self) -> Iterator[Record]:
        """The tasks, newest first."""
        if self._settings.catalogue.url is None and not (self._settings.data_dir / "catalogue.db").exists():
            return
        from streamq.images.catalogue import Catalogue, CatalogueUnusable

        opened = Catalogue.of(self._settings)
        try:
            for row in opened.rows(since=self._since, where={"queue": self._settings.queue.name}):
                yield _record(row)
        except CatalogueUnusable as error:
            report(error.what)
            self.status = 1
        finally:
            opened.close()


def _record(row: dict[str, Any]) -> Record:
    """What a row says of its task."""
    return Record(
        id=row["id"],
        task="image",
        args={name: row[name] for name in ("source", "output", "operation")},
        state="finished",
        worker=row["worker"],
        deliveries=row["attempts"],
        sent_ms=sent_ms(row["id"]),
        started_ms=row["started_ms"],
        ended_ms=row["finished_ms"],
        result={name: row[name] for name in ("source", "output", "format", "width", "height", "bytes", "source_bytes", "sha256")},
    )


def _columns(now: int) -> list[Column]:
    """What a list shows of a task."""

    def when(record: Record) -> str:
        if record.ended_ms is not None:
            return f"ended {ago(record.ended_ms, now)}"
        if record.due_ms is not None:
            return f"due {ago(record.due_ms, now)}"
        if record.started_ms is not None:
            return f"started {ago(record.started_ms, now)}"
        return f"sent {ago(record.sent_ms, now)}"

    def what(record: Record) -> str:
        return compact(record.args, 60) if record.args is not None else ""

    return [
        Column("id", lambda record: record.id),
        Column("state", lambda record: record.state, style=lambda record: STYLES.get(record.state, "")),
        Column("task", lambda record: record.task, least=12),
        Column("arguments", what, least=12),
        Column("priority", lambda record: record.priority, spare=4),
        Column("tries", lambda record: record.deliveries, right=True, spare=3),
        Column("when", when),
        Column("worker", lambda record: record.worker, least=12, spare=2),
        Column("error", lambda record: record.error and safe(record.error, 80), style="red", least=12, spare=1),
    ]
