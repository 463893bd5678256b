"""Which commands there are, and how one is run: found by name, loaded only then, given the options of every command.

A command lives in its own module below `streamq.cli` as a click command; the table here holds its place and its line on the help
page, so that `streamq --help` loads none of them. What a command returns is its exit status; None is 0. However it ends, one line
of error at most is printed, `streamq: error: WHAT`, and `hint: HOW TO MEND IT`; redis-py's and click's own forms never show.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from streamq.cli import INTERRUPTED, TERMINATED, options
from streamq.cli.render import note, report, silence
from streamq.cli.state import State
from streamq.errors import ConfigError, StreamqError

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME: Final = "streamq"


class Place(NamedTuple):
    """Where a command lives below `streamq.cli`, as `module:object`, and its line on the help page."""

    where: str
    help: str


COMMANDS: Final = {
    "produce": Place("produce:produce", "Send tasks: an image each, or any task."),
    "consume": Place("consume:consume", "Run a worker."),
    "pending": Place("pending:pending", "Show the tasks that were handed out and not settled, stuck ones first."),
    "monitor": Place("monitor:monitor", "Watch the queue live."),
    "stats": Place("stats:stats", "Print the figures of the queue."),
    "task": Place("task:task", "Show, wait for, cancel or retry single tasks."),
    "tasks": Place("tasks:tasks", "List tasks by state, name, arguments or time."),
    "dead": Place("dead:dead", "List, retry or discard dead letters."),
    "workers": Place("workers:workers", "List who works."),
    "queues": Place("queues:queues", "List the queues of the server."),
    "queue": Place("queues:queue", "Pause, resume or purge a queue."),
    "server": Place("server:server", "Start, stop or look at the embedded server."),
    "doctor": Place("doctor:doctor", "Say what the server can promise, and find and mend what is wrong."),
    "bench": Place("bench:bench", "Measure what this installation does in a second."),
    "config": Place("config:config", "Show, check and begin the configuration."),
    "completion": Place("completion:completion", "Print the completion script of a shell."),
}


class Context(click.Context):
    """A context whose help page is drawn with Rich where somebody looks at it."""

    def get_help(self) -> str:
        """The help page of the command."""
        if not sys.stdout.isatty():
            return super().get_help()
        from streamq.cli.help import page

        command = self.command
        if isinstance(command, Program):
            return page(self, {name: place.help for name, place in COMMANDS.items()})
        below = command.commands if isinstance(command, click.Group) else {}
        return page(self, {name: each.get_short_help_str(100) for name, each in below.items()})


class Program(click.Group):
    """`streamq` itself."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of this name, loaded now; None: there is none."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.where.partition(":")
        command: click.Command = getattr(importlib.import_module(f"streamq.cli.{module}"), attribute)
        return adopt(command)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with; its misspelt name is answered with the nearest ones."""
        if not ctx.resilient_parsing and args[0] not in COMMANDS and args[0][:1].isalnum():
            raise click.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The commands on the help page, from the table: none is loaded."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.help) for name, place in COMMANDS.items()])


def adopt(command: click.Command) -> click.Command:
    """Give a command, and those below it, the options of every command and the form of help pages."""
    command.context_class = Context
    own = {name for param in command.params for name in param.opts}
    command.params += [option for option in options.everywhere() if not own.intersection(option.opts)]
    if isinstance(command, click.Group):
        for below in command.commands.values():
            adopt(below)
    return command


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"{NAME} {version(NAME)}")
        ctx.exit()


def program() -> Program:
    """The program as click sees it."""
    flag: dict[str, Any] = {"is_flag": True, "is_eager": True, "expose_value": False}
    shown = click.Option(["--version"], **flag, callback=_version, help="Show the version.")
    return Program(
        NAME,
        params=[*options.everywhere(), shown],
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        help="A task queue on Redis Streams that cannot lose a task.\n\n"
        "Begin with `streamq produce`, `streamq consume --name worker1` and `streamq monitor`: no server has to be installed.",
    )


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; errors have been printed."""
    state = State()
    try:
        status = _invoke(list(sys.argv[1:] if arguments is None else arguments), state)
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        status = _status_of(interrupt)
        for told in getattr(interrupt, "__notes__", ()):
            note(told)
    except Exception as error:  # noqa: BLE001 - the border of the program: whatever it is becomes a line and a status
        status = _failed(error, debug=state.debug)
    if status == INTERRUPTED and sys.stderr.isatty():
        sys.stderr.write("\n")  # behind the ^C that the terminal has shown
    return status


def _status_of(interrupt: KeyboardInterrupt) -> int:
    from streamq.cli.interrupt import Terminated

    return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED


def _invoke(arguments: list[str], state: State) -> int:
    root = program()
    instruction = os.environ.get("_STREAMQ_COMPLETE")
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(root, {"obj": state}, NAME, "_STREAMQ_COMPLETE", instruction)
    try:
        with root.make_context(NAME, arguments, obj=state) as ctx:
            result: Any = root.invoke(ctx)
            return result if isinstance(result, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, EOFError):  # somebody was asked and did not answer
        return INTERRUPTED
    finally:
        state.close()


def _failed(error: Exception, *, debug: bool) -> int:
    """Print how a command failed, and return its exit status."""
    if isinstance(error, BrokenPipeError) or (isinstance(error, OSError) and error.errno == errno.EPIPE):
        silence()  # or the last flush would complain
        return 1
    if debug and not isinstance(error, click.ClickException):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.message, err=True)
        return error.exit_code
    if isinstance(error, click.ClickException):
        report(*_worded(error))
        return error.exit_code
    if isinstance(error, StreamqError):
        for what in error.faults if isinstance(error, ConfigError) else [error.what]:
            report(what)
        report(None, error.hint)
        return error.exit_status
    if isinstance(error, OSError) and error.strerror:
        report(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    else:
        hint = None if debug else "this is a defect of streamq; --debug shows where it happened"
        report(f"{type(error).__name__}: {error}", hint)
    return 1


def _worded(error: click.ClickException) -> tuple[str, str]:
    """What click says of a wrong usage, in one sentence, and how to mend it."""
    what = error.format_message().rstrip(".")
    possible = getattr(error, "possibilities", None)
    if possible:
        what = error.message.rstrip(".")
        hint = f"did you mean {' or '.join(possible)}?"
    else:
        ctx = getattr(error, "ctx", None)
        hint = f"`{ctx.command_path if ctx else NAME} --help` shows what it takes"
    return what[:1].lower() + what[1:], hint
