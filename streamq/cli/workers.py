"""`streamq workers`: who works on the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from streamq.cli import figures
from streamq.cli.render import note
from streamq.cli.stats import Reader

if TYPE_CHECKING:
    from streamq.cli.state import State


@click.command()
@click.pass_obj
def workers(state: State) -> None:
    """List the worker processes of the queue: whether each lives, what it runs and has done.

    A process is `lost` when its heartbeat has stopped, and `dead` when it is known to be gone; what it held is handed on.
    """
    found = Reader(state).read()
    if not state.out.rows(found.workers, figures.worker_columns(found.now_ms)) and not state.json:
        note(f"no worker works on queue {found.queue}; `streamq consume --name worker1` starts one")
