"""`streamq consume`: a worker. It runs until it is asked to stop (SIGTERM, Ctrl-C), has drained the queue or used up its budget.

Everything that it does is `streamq.worker`'s; here options become settings.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from streamq.cli.options import DURATION
from streamq.errors import UsageError
from streamq.keys import is_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamq.cli.state import State
    from streamq.config import Settings

_log = logging.getLogger("streamq.worker")


def _name(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_name(value):
        raise UsageError(
            f"--name: {value!r} is no name of a worker", hint="1 to 64 letters, digits, dots, hyphens and underscores"
        )
    return value


@click.command()
@click.option("--name", callback=_name, help="Name that people see.  [default: host and process id]")
@click.option("--processes", type=click.IntRange(1, 1024), help="Processes of this worker.  [default: one a core]")
@click.option(
    "--concurrency", type=click.IntRange(1, 10_000), help="Tasks that a process runs at a time.  [default: 4 sync, 100 async]"
)
@click.option("--tasks", multiple=True, metavar="MODULE", help="Module with tasks of yours; may be given more than once.")
@click.option("--drain", is_flag=True, help="End when nothing is left to do, late retries included.")
@click.option("--max-tasks", type=click.IntRange(1), help="End after so many tasks.")
@click.option("--grace", type=DURATION, help="How long running tasks may go on when it is asked to stop.  [default: 30s]")
@click.option("--lease", type=DURATION, help="Sign of life within which tasks stay this worker's.  [default: 30s]")
@click.option("--prefetch", type=click.IntRange(0, 10_000), help="Tasks held beyond those that run.  [default: measured]")
@click.option("--reload", is_flag=True, help="Start anew when a Python file below this folder changes.")
@click.pass_obj
def consume(
    state: State,
    name: str | None,
    processes: int | None,
    concurrency: int | None,
    tasks: tuple[str, ...],
    drain: bool,  # noqa: FBT001
    max_tasks: int | None,
    grace: float | None,
    lease: float | None,
    prefetch: int | None,
    reload: bool,  # noqa: FBT001
) -> int:
    """Run a worker: take tasks, run them, settle them.

    Asked to stop (SIGTERM, Ctrl-C), it takes nothing more, lets running tasks finish within the grace time, hands back the rest
    and ends with 0; asked twice, it hands back at once. A handler that still runs then, sync or async, is killed with its
    process, and its task runs again from its beginning.
    """
    from streamq.images import backends
    from streamq.log import set_up
    from streamq.worker.supervisor import Options, Supervisor

    if lease is not None and lease < 1:
        raise UsageError(
            f"--lease: at least 1s, not {lease:g}s", hint="it is how long a worker may be silent, not how long a task may take"
        )
    settings = _with(
        state.settings,
        state.debug,
        concurrency=concurrency,
        tasks=list(tasks) or None,
        grace=grace,
        lease=lease,
        prefetch=prefetch,
    )
    _find(settings.worker.tasks)
    backends.check(settings)
    set_up(settings.log)
    state.announce()
    worker = settings.worker
    options = Options(
        name=name or worker.name or _default_name(),
        processes=processes or worker.processes or os.cpu_count() or 1,
        drain=drain,
        max_tasks=max_tasks,
        reload=reload,
    )
    supervisor = Supervisor(settings, state.endpoint, options)
    _log.info("%s: %d process%s; Ctrl-C stops it", options.name, options.processes, "es" * (options.processes != 1))
    return supervisor.run()


def _find(modules: Sequence[str]) -> None:
    """Look for the modules of tasks before any process is started, and import none.

    Whether a module inside a package exists is told only by importing the package, which is left to the processes, as is
    whatever else is wrong with a module.

    Raises:
        UsageError: there is none of such a name.
    """
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        for name in modules:
            top = name.partition(".")[0]
            if top and top not in sys.modules and not name.endswith(".py") and find_spec(top) is None:
                what = f"no module named {name} in {here} or among the installed ones"
                raise UsageError(what, hint="is it spelled as in `import`?")
    finally:
        sys.path.remove(here)


def _with(settings: Settings, debug: bool, **changes: object) -> Settings:  # noqa: FBT001
    """The settings with what the options say."""
    worker = msgspec.structs.replace(settings.worker, **{key: value for key, value in changes.items() if value is not None})
    log = msgspec.structs.replace(settings.log, level="debug") if debug else settings.log
    return msgspec.structs.replace(settings, worker=worker, log=log)


def _default_name() -> str:
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:40] or "worker"
    return f"{host}-{os.getpid()}"
