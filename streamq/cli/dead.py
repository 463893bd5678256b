"""`streamq dead`: the dead letters: look through them, put them back into their queue, throw them away."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, get_args

import click

from streamq.cli.asking import sure
from streamq.cli.options import SINCE, TASK_ID
from streamq.cli.render import Column, ago, compact, note, safe
from streamq.errors import UsageError
from streamq.transitions import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.cli.state import State
    from streamq.dead import Deed, Letter, Wanted

#: What was done -> in words.
_DONE = {"revive": "back in its queue", "discard": "thrown away"}
#: What is to be done to many -> the question.
_QUESTION = {"revive": "put {} back into the queue", "discard": "throw {} away for good"}


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which letters are meant."""
    for option in (
        click.option("--since", type=SINCE, metavar="TIME", help="Only those that died since then; 1h is an hour ago."),
        click.option("--reason", type=click.Choice(get_args(Reason)), help="Only those that died for this reason."),
        click.option("--task", "name", metavar="NAME", help="Only tasks of this name; * stands for anything."),
    ):
        command = option(command)
    return command


@click.group()
def dead() -> None:
    """List, show, retry or discard dead letters: tasks that were given up."""


@dead.command("list")
@filters
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="At most so many.")
@click.pass_obj
def list_(state: State, name: str | None, reason: Reason | None, since: int | None, limit: int) -> None:
    """List dead letters, the newest first, with why they died."""
    from streamq import dead as reading

    found = reading.letters(state.transitions, reading.Wanted(name, reason, since or 0))
    now = 0 if state.json else state.transitions.now_ms()
    shown = state.out.rows(islice(found, limit), _columns(now))
    if not shown and not state.json:
        note(f"no such dead letters in queue {state.keys.queue}")
    elif shown == limit and next(found, None) is not None:
        note(f"there are more than these {limit}; --limit shows more")


def _columns(now: int) -> list[Column]:
    """What a list shows of a letter; its error last, since it is the longest."""
    return [
        Column("id", lambda letter: letter.id),
        Column("task", lambda letter: letter.task, least=12),
        Column("reason", lambda letter: letter.reason, style="red"),
        Column("tries", lambda letter: letter.deliveries, right=True, spare=2),
        Column("died", lambda letter: ago(letter.died_ms, now)),
        Column("worker", lambda letter: letter.worker, least=12, spare=3),
        Column("arguments", lambda letter: compact(letter.args, 60), least=12, spare=1),
        Column("error", lambda letter: letter.error and safe(letter.error, 100), least=12),
    ]


@dead.command()
@click.argument("ids", nargs=-1, required=True, type=TASK_ID, metavar="ID...")
@click.pass_obj
def show(state: State, ids: tuple[str, ...]) -> int:
    """Show whole dead letters: the task, every attempt, the error and its traceback.

    Exit status 1: there is no letter of one of them.
    """
    from streamq import dead as reading

    letters = reading.find(state.transitions, ids)
    now = 0 if state.json else state.transitions.now_ms()
    for index, letter in enumerate(filter(None, letters)):
        if state.json:
            state.out.write(letter)
            continue
        if index:
            state.out.line("")
        _show(state, letter, now)
    missing = [task_id for task_id, letter in zip(ids, letters, strict=True) if letter is None]
    for task_id in missing:
        note(f"there is no dead letter of {task_id}; `streamq task show {task_id}` says what became of it")
    return int(bool(missing))


def _show(state: State, letter: Letter, now: int) -> None:
    """One letter for people."""
    state.out.pairs(
        [
            ("id", letter.id),
            ("task", letter.task),
            ("arguments", compact(letter.args, 4000)),
            ("priority", letter.priority),
            ("unique key", letter.unique),
            ("sent", ago(letter.sent_ms, now) if letter.sent_ms else None),
            ("died", ago(letter.died_ms, now)),
            ("reason", letter.reason),
            ("error", letter.error),
            ("deliveries", letter.deliveries),
            ("given up by", letter.worker),
        ]
    )
    for attempt in letter.attempts:
        number, worker = attempt.get("delivery", "?"), attempt.get("worker", "?")
        ended, error = ago(attempt.get("ended_ms"), now), attempt.get("error") or "ok"
        state.out.line(f"  attempt {number} on {worker}, ended {ended}: {error}")
    for line in (letter.traceback or "").rstrip().splitlines():
        state.out.line(f"  {line}", "dim")


def _deed(command: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments of what can be done to letters."""
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many, the newest first."),
        filters,
        click.option("--all", "everything", is_flag=True, help="All of them."),
        click.argument("ids", nargs=-1, type=TASK_ID, metavar="[ID]..."),
    ):
        command = option(command)
    return command


@dead.command()
@_deed
@click.pass_obj
def retry(state: State, /, ids: tuple[str, ...], *, yes: bool, **which: Any) -> int:
    """Put dead letters back into their queue: those named, --all, or those that the filters let through.

    All their deliveries are forgiven; what was tried before stays on record.

    Exit status 1: one of them is unknown, or its unique key belongs to another task now.
    """
    return _act(state, "revive", ids, ask=which["everything"], yes=yes, **which)


@dead.command()
@_deed
@click.pass_obj
def discard(state: State, /, ids: tuple[str, ...], *, yes: bool, **which: Any) -> int:
    """Throw dead letters away for good: those named, --all, or those that the filters let through.

    Exit status 1: one of them is unknown.
    """
    return _act(state, "discard", ids, ask=True, yes=yes, **which)


def _act(
    state: State,
    deed: Deed,
    ids: tuple[str, ...],
    *,
    ask: bool,
    yes: bool,
    everything: bool,
    name: str | None,
    reason: Reason | None,
    since: int | None,
    limit: int | None,
) -> int:
    """Do it to those that are meant, print what came of each, and return the exit status."""
    from streamq import dead as reading

    wanted = reading.Wanted(name, reason, since or 0)
    chosen = list(ids)
    if bool(ids) + everything + (wanted != reading.Wanted()) != 1:
        raise UsageError(
            "dead letters are named by their ids, by --all, or by --task, --reason and --since",
            hint="`streamq dead list` shows them.",
        )
    if not ids:
        chosen = _chosen(state, wanted, limit)
        if not chosen:
            note(f"no such dead letters in queue {state.keys.queue}")
            return 0
        letters = f"{len(chosen):,} dead letter{'s' * (len(chosen) != 1)}"
        if ask and not sure(_QUESTION[deed].format(letters), yes=yes):
            note("nothing was done")
            return 1
    failed = 0
    for outcome in reading.act(state.transitions, deed, chosen):
        failed += not outcome.done
        if state.json:
            state.out.write({"id": outcome.id, "done": outcome.done, "result": outcome.result}, flush=False)
        else:
            state.out.line(f"{outcome.id}  {_DONE[deed] if outcome.done else outcome.result}")
    if failed:
        note(f"{failed:,} of {len(chosen):,} could not be {'put back' if deed == 'revive' else 'thrown away'}")
    return int(failed > 0)


def _chosen(state: State, wanted: Wanted, limit: int | None) -> list[str]:
    """The ids of the letters that are wanted, the oldest first; those that die from now on are not among them."""
    from streamq import dead as reading

    return [letter.id for letter in islice(reading.letters(state.transitions, wanted), limit)][::-1]
