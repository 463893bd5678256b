"""`streamq queues` and `streamq queue`: what queues the server holds; pause, resume and purge one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from streamq.cli.asking import sure
from streamq.cli.figures import number
from streamq.cli.render import Column, note
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
NAME = click.argument("name")


@click.group()
def queue() -> None:
    """Pause, resume or purge a queue."""


@queue.command()
@NAME
@click.pass_obj
def pause(state: State, name: str) -> None:
    """Stop all hand-outs of a queue; what runs goes on, and sending too."""
    with _queue(state, name) as found:
        _tell(state, found, "paused" if found.pause() else "paused already")


@queue.command()
@NAME
@click.pass_obj
def resume(state: State, name: str) -> None:
    """Hand tasks of a queue out again."""
    with _queue(state, name) as found:
        _tell(state, found, "resumed" if found.resume() else "not paused")


@queue.command()
@NAME
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def purge(state: State, name: str, *, yes: bool) -> int:
    """Remove the waiting, scheduled and retrying tasks of a queue that were sent before now; never running or dead ones."""
    from streamq import stats

    with _queue(state, name) as found, found.transitions() as transitions:
        counts = stats.counts(transitions)
        many = counts.waiting.total + counts.scheduled + counts.retrying
        if many and not sure(f"remove {_tasks(many)} from queue {name}", yes=yes):
            note("nothing was removed")
            return 1
        purged = found.purge()
    if state.json:
        state.out.write({"queue": name, "purged": purged})
    else:
        state.out.line(f"{name}: {_tasks(purged)} removed")
    return 0


@contextlib.contextmanager
def _queue(state: State, name: str) -> Iterator[Queue]:
    """The queue of this name, of the server in force."""
    from streamq.queue import Queue

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
