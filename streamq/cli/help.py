"""Help pages for a terminal, drawn by rich-click. Loaded only when somebody who looks at a terminal asks for one.

Commands are plain click commands, so that running one never pays for Rich; for its page a command is copied into rich-click's
form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich_click import RichCommand, RichContext, RichGroup, RichHelpConfiguration

from streamq.cli.options import everywhere
from streamq.cli.sections import SHARED, Sectioned

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Group(RichGroup):
    """A group whose commands stand in the order in which they were given."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)


def _groups(ctx: click.Context) -> list[Any]:
    """The options of a command by their headings, in Rich's form."""
    command = ctx.command
    if isinstance(command, Sectioned):
        return [{"name": title, "options": [each.opts[-1] for each in of]} for title, of in command.grouped(ctx).items()]
    shared = [name for option in everywhere() for name in option.opts]
    options = [param for param in command.get_params(ctx) if isinstance(param, click.Option)]
    own = [param.opts[-1] for param in options if not {*param.opts} & {*shared}]
    return [{"name": "Options of this command", "options": own}, {"name": SHARED, "options": shared}]


def page(ctx: click.Context, commands: Mapping[str, str]) -> str:
    """The help page of the command of a context.

    Args:
        ctx: the context.
        commands: name -> short help of the commands below it.
    """
    command = ctx.command
    config = RichHelpConfiguration(
        text_markup="ansi",
        text_emojis=False,
        max_width=100,
        commands_before_options=True,
        option_groups={"*": _groups(ctx)},
    )
    parts: dict[str, Any] = {
        "name": command.name,
        "params": command.params,
        "help": command.help,
        "epilog": command.epilog,
        "commands": {name: RichCommand(name=name, help=text) for name, text in commands.items()},
    }
    if not commands:
        del parts["commands"]
    drawn = _Group(**parts) if commands else RichCommand(**parts)
    copy = RichContext(drawn, info_name=ctx.command_path, rich_help_config=config, help_option_names=ctx.help_option_names)
    return copy.get_help().rstrip("\n")
