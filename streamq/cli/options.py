"""The options that every command takes, before or after its name, and the types of values that several commands share.

Called by `commands.py`, which gives the first to each command as it is loaded, and by the commands' modules for the second.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from streamq import units
from streamq.errors import UsageError
from streamq.keys import is_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.cli.state import State


_UPWARD = "looked for upward from here"


def _note(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Keep what the user said; said twice, the one nearer to the end counts."""
    if value is not None and value is not False:
        state: State = ctx.find_root().obj
        state.given[str(param.name)] = value


def everywhere() -> list[click.Option]:
    """The options of every command, made anew."""

    def option(*names: str, **more: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=_note, **more)

    return [
        option("--config", metavar="FILE", help=f"Configuration file.  [env: STREAMQ_CONFIG; default: config.yaml, {_UPWARD}]"),
        option("--url", metavar="URL", help="Server to use.  [env: STREAMQ_URL; default: the embedded server]"),
        option("--queue", metavar="NAME", help="Queue to use.  [env: STREAMQ_QUEUE; default: images]"),
        option(
            "--data", metavar="DIR", help=f"Folder of the embedded server.  [env: STREAMQ_DATA; default: .streamq, {_UPWARD}]"
        ),
        option("--json", is_flag=True, help="Print JSON."),
        option("--debug", is_flag=True, help="Show tracebacks and debug messages."),
    ]


class _Checked(click.ParamType[Any, str]):
    """A value that one of streamq's own functions reads; what that refuses is its usage error, behind the parameter's name."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self.read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value read; one that is no text has been read before."""
        if not isinstance(value, str):
            return value
        try:
            return self.read(value)
        except UsageError as error:
            name = param.opts[0] if isinstance(param, click.Option) else param.make_metavar(ctx) if param and ctx else self.name
            raise UsageError(f"{name.strip('[].')}: {error.what}", hint=error.hint) from None


def _task_id(text: str) -> str:
    if not is_id(text):
        hint = "An id looks like d1764000000000-0; `streamq tasks` lists them."
        raise UsageError(f"{text!r} is not the id of a task", hint=hint)
    return text


def _since(text: str) -> int:
    """A moment in the past: `1h` is an hour ago, everything else as `moment` reads it."""
    now = round(time.time() * 1000)
    try:
        return now - round(units.seconds(text) * 1000)
    except UsageError:
        pass
    try:
        return units.moment(text, now)
    except UsageError as error:
        hint = "Such as 1h (an hour ago), 2027-03-01, 2027-03-01T08:30 or 18:30."
        raise UsageError(error.what, hint=hint) from None


#: `30s`, `5m`, `1h30m` or a number of seconds -> seconds.
DURATION = _Checked("duration", units.seconds)
#: `1h` (that long ago) or a moment -> milliseconds since the epoch.
SINCE = _Checked("time", _since)
#: The id of a task.
TASK_ID = _Checked("id", _task_id)
