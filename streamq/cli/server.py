"""`streamq server`: start, stop and look at the embedded server.

Only `start` starts one; every other command that needs a server starts it by itself, so that nobody has to know this one.
`status` ends with 0 when a server answers and with 3 when none does, as `pg_ctl status` and `systemctl status` do; with `--url`
it looks at that server. `stop` of a server that does not run is no error: it is as asked. Workers that still run do not start it
again.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamq.cli.render import span
from streamq.errors import ServerUnreachable, UsageError
from streamq.server import embedded

if TYPE_CHECKING:
    from streamq.cli.state import State
    from streamq.server.embedded import Status

#: Exit status of `status` when no server answers (CONTRACT: the server can't be reached).
NOT_RUNNING = 3


@click.group()
def server() -> None:
    """Start, stop or look at the embedded server."""


@server.command()
@click.pass_obj
def start(state: State) -> None:
    """Start the embedded server, and wait until it answers.

    A server that runs is left as it is; how it writes to the disk is set to the `server.durability` in force.
    """
    data = _embedded(state, "start")
    settings = state.settings.server
    embedded.ensure(data, settings.durability, wait=settings.wait)
    embedded.set_durability(data, settings.durability)
    _show(state, embedded.status(data))


@server.command()
@click.pass_obj
def stop(state: State) -> None:
    """Stop the embedded server; it writes what it holds to the disk first.

    Where it cannot write (a full disk) it is not stopped, since what it accepted last would be lost: make room, then stop it.

    Workers that run wait for it and do not start it again. The next command that needs it does, as does `streamq server start`.
    """
    data = _embedded(state, "stop")
    ran = embedded.stop(data, wait=state.settings.server.wait)
    if state.json:
        _show(state, embedded.status(data))
    else:
        state.out.line(f"the server in {data} is stopped" if ran else f"no server was running in {data}")


@server.command()
@click.pass_obj
def status(state: State) -> int:
    """Show whether a server runs, and which; starts none. Exit status 3: none answers."""
    where = state.endpoint.where
    found = embedded.status(where) if isinstance(where, Path) else _elsewhere(state)
    _show(state, found)
    return 0 if found.running else NOT_RUNNING


def _embedded(state: State, verb: str) -> Path:
    """The data directory; with a URL in force there is no embedded server."""
    where = state.endpoint.where
    if isinstance(where, Path):
        return where
    raise UsageError(
        f"`server {verb}` is for the embedded server, and {state.endpoint.masked} is given",
        hint="leave out --url, STREAMQ_URL and `server.url`",
    )


def _elsewhere(state: State) -> Status:
    """What runs at the URL."""
    from streamq.server.probe import probe  # loads redis-py

    endpoint = state.endpoint
    try:
        facts = probe(state.link())
    except ServerUnreachable:
        return embedded.Status(url=endpoint.masked, embedded=False, data=None, state="absent")
    return embedded.Status(
        url=facts.url,
        embedded=False,
        data=None,
        state="ready",
        pid=facts.pid,
        kind=facts.kind,
        version=facts.version,
        fsync=facts.durability,
        uptime_ms=facts.uptime_ms,
    )


def _show(state: State, found: Status) -> None:
    if state.json:
        state.out.write({"running": found.running, **dataclasses.asdict(found)})
        return
    pairs = [
        ("server", f"{found.kind} {found.version}" if found.running else _STATES[found.state]),
        ("url", found.url),
        ("data", found.data),
        ("pid", found.pid),
        ("fsync", found.fsync),
        ("up for", span(found.uptime_ms) if found.uptime_ms is not None else None),
    ]
    state.out.pairs(pairs)


_STATES = {"absent": "not running", "silent": "does not answer", "loading": "loading its data", "ready": "running"}
