"""`streamq pending`: the tasks that were handed out and not settled, stuck ones first, and what will happen next to each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from streamq.cli.options import DURATION
from streamq.cli.render import Column, compact, note, span
from streamq.errors import UsageError

if TYPE_CHECKING:
    from streamq.cli.state import State
    from streamq.pending import Pending, View, Wanted


@click.command()
@click.option("--stuck", is_flag=True, help="Only tasks whose lease has run out or whose worker is dead.")
@click.option(
    "--idle", type=DURATION, metavar="DURATION", help="Only tasks of whose worker nothing was heard for this long: 30s."
)
@click.option("--task", "name", metavar="NAME", help="Only tasks of this name.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.  [default: 50; with --claim: all]")
@click.option("--claim", is_flag=True, help="Hand stuck ones on now, to whoever is free.")
@click.option("--watch", is_flag=True, help="Go on showing them; q or Ctrl-C quits.")
@click.option("--interval", type=DURATION, default="1s", show_default=True, metavar="DURATION", help="With --watch: how often.")
@click.pass_obj
def pending(
    state: State,
    *,
    stuck: bool,
    idle: float | None,
    name: str | None,
    limit: int | None,
    claim: bool,
    watch: bool,
    interval: float,
) -> int:
    """Show the tasks that were handed out and not settled: who has each, since when, and what will happen next.

    Stuck ones come first, then the longest running; then those that wait for a retry, the soonest first.
    """
    from streamq.pending import LIMIT, wanted_by

    limits = wanted_by(state.settings.worker)
    wanted = limits._replace(limit=limit or LIMIT, stuck=stuck, idle_ms=round((idle or 0) * 1000), task=name)
    if claim and watch:
        raise UsageError("--claim acts once, --watch goes on", hint="Give one of them.")
    if claim:
        return _claim(state, wanted, limit)
    if watch:
        return _watch(state, wanted, interval)
    _print(state, wanted)
    return 0


def _print(state: State, wanted: Wanted) -> None:
    """Print the view once."""
    from streamq.pending import read

    view = read(state.transitions, wanted)
    if not view.tasks and not state.json:
        _empty(state, view, wanted)
    elif state.out.rich:
        from streamq.cli.pending_view import picture

        state.out.console.print(picture(view, state.keys.queue, wanted.limit))
    else:
        state.out.rows(view.tasks, COLUMNS)
        _left_out(view, wanted)


#: What a list shows of a task where there is no terminal: a line a task.
COLUMNS = [
    Column("state", lambda task: task.state),
    Column("id", lambda task: task.id),
    Column("task", lambda task: task.task),
    Column("arguments", lambda task: compact(task.args, 40)),
    Column("worker", lambda task: task.worker),
    Column("alive", lambda task: task.worker_state),
    Column("running", lambda task: span(task.running_ms), right=True),
    Column("lease", lambda task: span(task.lease_left_ms), right=True),
    Column("tries", lambda task: f"{task.deliveries}/{task.max_deliveries}", right=True),
    Column("next", lambda task: task.next),
]


def _left_out(view: View, wanted: Wanted) -> None:
    """Say what is not shown."""
    if said := more(view, wanted.limit, view.pending + (0 if wanted.stuck or wanted.idle_ms else view.retrying)):
        note(said)
    if view.looked < view.pending:
        note(f"{view.looked:,} of {view.pending:,} pending tasks were looked at; more may be stuck")


def more(view: View, limit: int, there: int) -> str | None:
    """Where the rest is of what is there; None: all of it is shown."""
    from streamq.pending import FIELDS_MOST

    shown = len(view.tasks)
    if shown == limit < there:
        return f"the first {shown} are shown; --limit shows more"
    if shown == FIELDS_MOST < there:
        return f"the first {shown} are shown; `streamq tasks --state running --state retrying` lists them all"
    return None


def _empty(state: State, view: View, wanted: Wanted) -> None:
    """Say that nothing is pending, and what there is instead."""
    from streamq import stats
    from streamq.cli.figures import number, priorities

    counts = stats.counts(state.transitions)
    filtered = "such " if wanted.idle_ms or wanted.task else "stuck " if wanted.stuck else ""
    has = f"no {filtered}task is pending" if filtered else "nothing is pending"
    state.out.line(f"{has} in queue {counts.queue}" + (", which is paused" if counts.paused else ""))
    alive = f"{view.alive} process{'es' * (view.alive != 1)} alive" if view.alive else "none alive"
    state.out.pairs(
        [
            ("waiting", f"{number(counts.waiting.total)} ({priorities(counts.waiting)})"),
            ("scheduled", number(counts.scheduled)),
            ("running", number(counts.running)),
            ("retrying", number(counts.retrying)),
            ("dead", number(counts.dead)),
            ("workers", alive + ("" if view.alive else "; `streamq consume --name worker1` starts one")),
            ("server", state.endpoint.masked + (" (embedded)" if state.endpoint.embedded else "")),
        ]
    )


def _claim(state: State, wanted: Wanted, limit: int | None) -> int:
    """Hand stuck tasks on until none is left, or as many as were asked for."""
    from streamq.pending import LIMIT, claim, read

    done = late = 0
    while limit is None or done < limit:
        view = read(state.transitions, wanted._replace(stuck=True, limit=min(LIMIT, limit - done if limit else LIMIT)))
        claimed = claim(state.transitions, view.tasks)
        for task in view.tasks:
            _tell(state, task, claimed=task.id in claimed)
        done += len(claimed)
        late += len(view.tasks) - len(claimed)
        if not claimed:
            break
    if not done + late and not state.json:
        note(f"no task is stuck in queue {state.keys.queue}")
    return int(late > 0)


def _tell(state: State, task: Pending, *, claimed: bool) -> None:
    if state.json:
        state.out.write({"id": task.id, "worker": task.worker, "claimed": claimed})
    else:
        state.out.line(f"{task.id}  {f'handed on from {task.worker}' if claimed else 'not stuck any more'}")


def _watch(state: State, wanted: Wanted, interval: float) -> int:
    """Show the view until somebody leaves."""
    from streamq.cli import live
    from streamq.pending import read

    transitions = state.transitions
    if live.can_take_over(state.out):
        from streamq.cli.pending_view import screen

        live.on_terminal(state.out.console, lambda: read(transitions, wanted), screen(state.keys.queue, wanted.limit), interval)
        return 0

    def block(view: View) -> None:
        state.out.rows(view.tasks, COLUMNS)
        if not state.json:
            state.out.line("" if view.tasks else f"nothing is pending in queue {state.keys.queue}")

    live.in_blocks(lambda: read(transitions, wanted), block, interval)
    return 0
