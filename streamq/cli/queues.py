"""`streamq queues` and `streamq queue`: what queues the server holds; pause, resume and purge one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from streamq.cli.asking import sure
from streamq.cli.figures import number
from streamq.cli.render import Column, note
from streamq.errors import UsageError
from streamq.keys import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq.cli.state import State
    from streamq.queue import Queue


@click.command()
@click.pass_obj
def queues(state: State) -> None:
    """List the queues of the server, with what waits, runs and died in each."""
    from streamq import stats

    found = stats.queues(state.transitions)
    if not state.out.rows(found, _COLUMNS) and not state.json:
        note(f"no queue yet at {state.endpoint.masked}; `streamq produce` makes one")


def _column(title: str) -> Column:
    """A count, under its own name."""
    return Column(title, lambda queue: number(getattr(queue, title)), right=True)


_COLUMNS = [
    Column("queue", lambda queue: queue.queue),
    Column("waiting", lambda queue: number(queue.waiting.total), right=True),
    *map(_column, ("scheduled", "running", "retrying")),
    Column("dead", lambda queue: number(queue.dead), right=True, style=lambda queue: "red" if queue.dead else ""),
    Column("state", lambda queue: "paused" if queue.paused else "open", style=lambda queue: "yellow" if queue.paused else ""),
]
#: Without it: the queue of --queue, the environment or the configuration, as for every other command.
NAME = click.argument("name", required=False)


@click.group()
def queue() -> None:
    """Pause, resume or purge a queue: the one of this NAME, else that of --queue or the configuration."""


@queue.command()
@NAME
@click.pass_obj
def pause(state: State, name: str | None) -> None:
    """Stop all hand-outs of a queue; what runs goes on, and sending too."""
    with _queue(state, name) as found:
        _tell(state, found, "paused" if found.pause() else "paused already")


@queue.command()
@NAME
@click.pass_obj
def resume(state: State, name: str | None) -> None:
    """Hand tasks of a queue out again."""
    with _queue(state, name) as found:
        _tell(state, found, "resumed" if found.resume() else "not paused")


@queue.command()
@NAME
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def purge(state: State, name: str | None, *, yes: bool) -> int:
    """Remove the waiting, scheduled and retrying tasks of a queue that were sent before now; never running or dead ones."""
    from streamq import stats

    with _queue(state, name) as found, found.transitions() as transitions:
        counts = stats.counts(transitions)
        many = counts.waiting.total + counts.scheduled + counts.retrying
        if many and not sure(f"remove {_tasks(many)} from queue {found.name}", yes=yes):
            note("nothing was removed")
            return 1
        purged = found.purge()
    if state.json:
        state.out.write({"queue": found.name, "purged": purged})
    else:
        state.out.line(f"{found.name}: {_tasks(purged)} removed")
    return 0


@contextlib.contextmanager
def _queue(state: State, name: str | None) -> Iterator[Queue]:
    """The queue of this name, or the one in force, of the server in force.

    Raises:
        UsageError: another one is named by --queue.
    """
    from streamq.queue import Queue

    option = state.given.get("queue")
    if None not in (name, option) and name != option:
        raise UsageError(f"NAME is {name}, and --queue is {option}: which of the two queues is meant?", hint="Give one of them.")
    found = Queue(state.settings, name)
    try:
        yield found
    finally:
        found.close()


def _tell(state: State, queue: Queue, what: str) -> None:
    """Say what was done; a queue that nobody has used may be a misspelt one."""
    if state.json:
        state.out.write({"queue": queue.name, "state": what})
    else:
        state.out.line(f"{queue.name}: {what}")
    with queue.transitions() as transitions:
        if not any(transitions.link.call("EXISTS", transitions.keys.stream(letter)) for letter in STREAMS):
            note(f"nobody has used a queue {queue.name} yet; `streamq queues` lists them")


def _tasks(many: int) -> str:
    return f"{number(many)} task{'s' * (many != 1)}"
