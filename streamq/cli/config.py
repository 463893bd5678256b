"""`streamq config`: the configuration in force, where each value comes from, and a documented file to begin with.

Everything that is printed is made from `streamq.config`'s schema; addresses are shown without their passwords. `init` and
`schema` read no configuration, so that they work where the one at hand is broken.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from streamq.config import load, mask, text
from streamq.config.fields import Field, fields
from streamq.config.project import FILE
from streamq.errors import StreamqError, UsageError

if TYPE_CHECKING:
    from streamq.config import Settings


@click.group()
def config() -> None:
    """Show, check and begin the configuration."""


@config.command()
@click.option("--origin", is_flag=True, help="Show where each value comes from.")
@click.argument("keys", nargs=-1, metavar="[KEY|SECTION]...")
@click.pass_obj
def show(state: Any, keys: tuple[str, ...], *, origin: bool) -> None:
    """Print the configuration in force, all of it or the named keys and sections."""
    settings: Settings = state.settings
    rows = [_row(settings, field) for key, field in fields().items() if not keys or _named(key, keys)]
    if not rows:
        raise UsageError(f"no key or section is named {' or '.join(keys)}", hint="`streamq config show` prints all of them.")
    if state.json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    width = max(len(row["key"]) + len(row["written"]) for row in rows) + 2
    for row in rows:
        line = f"{row['key']}: {row['written']}"
        click.echo(f"{line:<{width}}  # {row['origin']}" if origin else line)


def _named(key: str, names: tuple[str, ...]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _row(settings: Settings, field: Field) -> dict[str, Any]:
    value = text.current(settings, field.key)
    if field.written == "url" and value is not None:
        value = mask(value)
    origins = [where for key, where in settings.origins.items() if key == field.key or key.startswith(f"{field.key}.")]
    where = ", ".join(dict.fromkeys(origins)) or "default"
    return {"key": field.key, "value": value, "written": text.written(field, value), "origin": where}


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.pass_obj
def check(state: Any, file: Path | None) -> None:
    """Check the configuration in force, or FILE; prints every fault with its line."""
    settings: Settings = load(file) if file else state.settings
    where = settings.file or "no config.yaml found, the defaults are in force"
    if state.json:
        click.echo(
            json.dumps({"ok": True, "file": str(settings.file) if settings.file else None, "set": sorted(settings.origins)})
        )
    else:
        click.echo(f"ok: {where}; {len(settings.origins)} of {len(fields())} keys set")


@config.command()
@click.option("--force", is_flag=True, help=f"Replace a {FILE} that is there.")
def init(*, force: bool) -> None:
    """Write a documented config.yaml, with every key and its default, into the working directory."""
    path = Path(FILE)
    try:
        if force:
            made = path.with_name(f".{FILE}.{os.getpid()}.tmp")
            made.write_text(text.document(), encoding="utf-8")
            made.replace(path)
        else:
            with path.open("x", encoding="utf-8") as file:
                file.write(text.document())
    except FileExistsError:
        raise UsageError(f"{path.absolute()} is there already", hint="--force replaces it.") from None
    except OSError as error:
        raise StreamqError(f"{path.absolute()} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {path.absolute()}")


@config.command()
def schema() -> None:
    """Print the JSON Schema of config.yaml, for editors that complete and check it."""
    click.echo(json.dumps(text.schema(), indent=2))
