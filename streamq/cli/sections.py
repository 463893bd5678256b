"""A command with so many options that its help page groups them below headings, on a terminal and in a pipe alike.

Plain click: a command that is run pays nothing for its page. Used by `produce`; `help.py` draws the same groups with Rich.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Heading of the options that belong to no section: those that each command takes, and `--help`.
SHARED: Final = "Options of every command"


class Sectioned(click.Command):
    """A command with options in sections.

    Args:
        sections: heading -> names of the parameters below it, in the order of the page.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **more: Any) -> None:
        super().__init__(*args, **more)
        self.sections = sections

    def grouped(self, ctx: click.Context) -> dict[str, list[click.Option]]:
        """The options by the heading that they stand below."""
        options = {str(param.name): param for param in self.get_params(ctx) if isinstance(param, click.Option)}
        groups = {title: [options.pop(name) for name in names] for title, names in self.sections.items()}
        return groups | {SHARED: list(options.values())}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        for title, options in self.grouped(ctx).items():
            records = [option.get_help_record(ctx) for option in options]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record])
