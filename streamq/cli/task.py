"""`streamq task`: one task at a time: look at it, wait for it, cancel it, try it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from streamq.cli.options import DURATION, TASK_ID
from streamq.cli.render import ago, compact, note, safe, span, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.browse import Record
    from streamq.cli.state import State

#: What a task that is not dead answers when it is asked to be tried again -> what to say.
_HASTENED: Final = {"ok": "due now", "waiting": "waits already", "running": "runs already"}
IDS = click.argument("ids", nargs=-1, required=True, type=TASK_ID, metavar="ID...")


@click.group()
def task() -> None:
    """Show, wait for, cancel or retry single tasks."""


@task.command()
@IDS
@click.pass_obj
def show(state: State, ids: tuple[str, ...]) -> int:
    """Show all that is known of a task: state, arguments, every attempt, result or error.

    Exit status 1: nothing is known of one of them.
    """
    from streamq import browse

    records = browse.find(state.transitions, ids, max_deliveries=state.settings.worker.max_deliveries)
    now = state.transitions.now_ms() if not state.json else 0
    for index, record in enumerate(records):
        if state.json:
            state.out.write(record)
            continue
        if index:
            state.out.line("")
        _show(state, record, now)
    return int(any(record.state == "unknown" for record in records))


def _show(state: State, record: Record, now: int) -> None:
    """One task for people."""
    if record.state == "unknown":
        state.out.pairs([("id", record.id), ("state", "unknown: no such task, or it ended too long ago")])
        return
    took = record.ended_ms - record.started_ms if record.ended_ms and record.started_ms else None
    running = record.state == "running" and record.started_ms
    state.out.pairs(
        [
            ("id", record.id),
            ("state", record.state),
            ("task", record.task),
            ("arguments", None if record.args is None else compact(record.args, 2000)),
            ("priority", record.priority),
            ("unique key", record.unique),
            ("sent", _when(record.sent_ms, now)),
            ("due", _when(record.due_ms, now)),
            ("expires", _when(record.expires_ms, now)),
            ("started", _when(record.started_ms, now)),
            ("ended", _when(record.ended_ms, now)),
            ("took", span(took) if took is not None else None),
            ("runs for", span(max(0, now - record.started_ms)) if running and record.started_ms else None),
            ("worker", record.worker),
            ("deliveries", f"{record.deliveries} of {record.max_deliveries}"),
            ("reason", record.reason),
            ("error", record.error),
            ("result", None if record.result is None else to_json(record.result)),
        ]
    )
    for attempt in record.attempts:
        state.out.line(f"  {_attempt(attempt, now)}")
    if record.traceback:
        for line in record.traceback.rstrip().split("\n"):
            state.out.line(f"  {line}", "dim")


def _attempt(attempt: dict[str, Any], now: int) -> str:
    number, worker, error = attempt.get("delivery", "?"), attempt.get("worker", "?"), attempt.get("error") or "ok"
    return f"attempt {number} on {worker}, ended {ago(attempt.get('ended_ms'), now)}: {error}"


def _when(ms: int | None, now: int) -> str | None:
    if ms is None:
        return None
    from datetime import datetime

    return f"{datetime.fromtimestamp(ms / 1000).astimezone().isoformat(sep=' ', timespec='seconds')} ({ago(ms, now)})"


@task.command()
@IDS
@click.option("--timeout", type=DURATION, metavar="DURATION", help="Longest wait, such as 30s; then exit status 1.")
@click.pass_obj
def wait(state: State, ids: tuple[str, ...], timeout: float | None) -> int:
    """Wait until tasks have ended, and print how each did, as it ends.

    Exit status 1: one of them did not finish, is unknown, or had not ended when the time was over.
    """
    from streamq.cli.waiting import Wait

    waits = Wait(state)
    left = dict.fromkeys(ids)
    bad = False

    def ended(record: Record) -> None:
        nonlocal bad
        del left[record.id]
        bad = bad or record.state != "finished"
        if state.json:
            state.out.write(line_of(record))
        else:
            state.out.line(f"{record.id}  {record.state}" + (f": {record.error}" if record.error else ""))

    for record in waits.find(left):
        if record.ended or record.state == "unknown":
            ended(record)
    for record in waits.ends(list(left), timeout):
        ended(record)
    for task_id in left:
        note(f"{task_id} has not ended yet")
    return int(bad or bool(left))


def line_of(record: Record) -> dict[str, Any]:
    """The JSON line of a task that has ended, for whoever waited."""
    return {
        "id": record.id,
        "state": record.state,
        "result": record.result,
        "error": record.error,
        "attempts": record.attempts,
        "worker": record.worker,
        "deliveries": record.deliveries,
    }


@task.command()
@IDS
@click.pass_obj
def cancel(state: State, ids: tuple[str, ...]) -> int:
    """Cancel tasks that have not ended, whatever their state.

    What one returns that runs is thrown away; an async handler is cancelled when its worker next renews its lease.

    Exit status 1: one of them has ended, or is unknown.
    """

    def cancelled(task_id: str) -> tuple[bool, str]:
        found = state.queue().cancel(task_id)
        if found == "running":
            return True, "cancelled while it ran; its result will be thrown away"
        return found == "cancelled", found

    return _each(state, ids, cancelled)


@task.command()
@IDS
@click.pass_obj
def retry(state: State, ids: tuple[str, ...]) -> int:
    """Try tasks again now: a dead letter goes back to its queue, a scheduled or retrying task becomes due.

    Exit status 1: one of them has ended otherwise, is unknown, or its unique key belongs to another task now.
    """

    def retried(task_id: str) -> tuple[bool, str]:
        found = state.queue().hasten(task_id)
        if found in _HASTENED:
            return True, _HASTENED[found]
        if found == "unknown":
            return False, found
        revived, holder = state.queue().revive(task_id)
        if revived == "taken":
            return False, f"its unique key belongs to {holder} now"
        return revived == "ok", "back in its queue" if revived == "ok" else revived

    return _each(state, ids, retried)


def _each(state: State, ids: tuple[str, ...], act: Callable[[str], tuple[bool, str]]) -> int:
    """Do something to each task, print what came of it, and return the exit status."""
    failed = False
    for task_id in ids:
        done, what = act(task_id)
        if what == "unknown":
            what = _past(state, task_id)
        failed = failed or not done
        if state.json:
            state.out.write({"id": task_id, "done": done, "what": what})
        else:
            state.out.line(f"{task_id}  {safe(what)}")
    return int(failed)


def _past(state: State, task_id: str) -> str:
    """What a task is that stands in no stream."""
    from streamq import browse

    [record] = browse.find(state.transitions, [task_id], max_deliveries=state.settings.worker.max_deliveries)
    return f"{record.state} already" if record.ended else record.state
