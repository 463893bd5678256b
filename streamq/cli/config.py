"""`streamq config`: the configuration in force, where each value comes from, and a documented file to begin with.

Everything that is printed is made from `streamq.config`'s schema; addresses are shown without their passwords. `init` and
`schema` read no configuration, so that they work where the one at hand is broken.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamq.cli.render import Column, note
from streamq.config import load, mask, text
from streamq.config.fields import Field, fields, sections
from streamq.config.project import FILE
from streamq.errors import StreamqError, UsageError

if TYPE_CHECKING:
    from streamq.cli.state import State
    from streamq.config import Settings


@click.group()
def config() -> None:
    """Show, check and begin the configuration."""


@config.command()
@click.option("--origin", is_flag=True, help="Show where each value comes from.")
@click.argument("keys", nargs=-1, metavar="[KEY|SECTION]...")
@click.pass_obj
def show(state: State, keys: tuple[str, ...], *, origin: bool) -> None:
    """Print the configuration in force, all of it or the named keys and sections."""
    for name in keys:
        if name not in fields() and name not in sections():
            raise UsageError(f"no key or section is named {name}", hint="`streamq config show` prints all of them.")
    columns = [Column("key", lambda row: row["key"]), Column("value", lambda row: row["written"], wrap=True)]
    if origin:
        columns.append(Column("from", lambda row: row["origin"]))
    asked = [field for key, field in fields().items() if not keys or any(f"{key}.".startswith(f"{name}.") for name in keys)]
    state.out.rows([_row(state.settings, field) for field in asked], columns)


def _row(settings: Settings, field: Field) -> dict[str, Any]:
    value = text.current(settings, field.key)
    if field.written == "url" and value is not None:
        value = mask(value)
    where = [origin for key, origin in settings.origins.items() if f"{key}.".startswith(f"{field.key}.")]
    origin = ", ".join(dict.fromkeys(where)) or "default"
    return {"key": field.key, "value": value, "written": text.written(field, value), "origin": origin}


@config.command()
@click.argument("file", required=False, type=click.Path())
@click.pass_obj
def check(state: State, file: str | None) -> None:
    """Check FILE, or the configuration in force, and print every fault with its line."""
    from streamq.images.backends import scaler

    settings = load(file) if file else state.settings
    scaler(settings)
    if state.json:
        state.out.write({"ok": True, "file": settings.file and str(settings.file), "set": list(settings.origins)})
    else:
        where = settings.file or f"no {FILE} here or further up, the defaults are in force"
        state.out.line(f"ok: {where}; {len(settings.origins)} of {len(fields())} keys are set")


@config.command()
@click.option("--force", is_flag=True, help=f"Replace a {FILE} that is there.")
def init(*, force: bool) -> None:
    """Write a documented config.yaml, with every key and its default, into the working directory."""
    path = Path(FILE).absolute()
    made = path.with_name(f".{FILE}.{os.getpid()}.tmp")
    try:
        made.write_text(text.document(), encoding="utf-8")
        if force:
            made.replace(path)
        else:
            path.hardlink_to(made)  # Unlike a rename, a link never replaces what is there.
    except FileExistsError:
        raise UsageError(f"{path} is there already", hint="--force replaces it.") from None
    except OSError as error:
        raise StreamqError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        made.unlink(missing_ok=True)
    note(f"wrote {path}")


@config.command()
def schema() -> None:
    """Print the JSON Schema of config.yaml, for editors that complete and check it."""
    click.echo(json.dumps(text.schema(), indent=2))
