"""`streamq completion`: the script that teaches a shell to complete commands and options; click makes it."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    In bash: eval "$(streamq completion bash)"; in zsh the same; in fish: streamq completion fish | source.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - one of the choices above
    click.echo(kind(ctx.find_root().command, {}, "streamq", "_STREAMQ_COMPLETE").source())
