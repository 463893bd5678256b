"""`streamq stats`: the figures of a queue, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from streamq.cli import figures

if TYPE_CHECKING:
    from streamq.cli.state import State
    from streamq.stats import Stats


@click.command()
@click.pass_obj
def stats(state: State) -> None:
    """Print the figures of the queue: what waits, runs and died, how fast it goes, who works, which server.

    They add up: sent and revived tasks are waiting, scheduled, running, retrying, finished, dead, expired, cancelled or purged.
    """
    found = Reader(state).read()
    if state.json:
        state.out.write(found)
        return
    pairs = figures.pairs(found)
    if state.out.rich:
        room = state.out.console.width - max(len(name) for name, _ in pairs) - 2
        pairs = [(name, figures.wrapped(value, room)) for name, value in pairs]
    state.out.pairs(pairs)
    if found.workers:
        state.out.line("")
        state.out.rows(found.workers, figures.worker_columns(found.now_ms))


class Reader:
    """Reads the figures of the queue, any number of times over one connection.

    Args:
        state: what the command was handed.
    """

    def __init__(self, state: State) -> None:
        from streamq.transitions import Transitions

        self.link = state.link()
        self.transitions = Transitions(self.link, state.keys)

    def read(self) -> Stats:
        """The figures now.

        Raises:
            ServerError: the server is away.
        """
        from streamq import stats as reading
        from streamq.server.probe import probe

        return reading.read(self.transitions, probe(self.link))
