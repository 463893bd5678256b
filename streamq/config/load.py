"""The configuration in force: options before the environment before `config.yaml` before the defaults.

Each value that somebody set is checked by itself, and every fault of every source is reported at once, as
`FILE:LINE: KEY: what was expected`. Called once a process, by the command line and by `App`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from streamq.config import environment, file, project
from streamq.config.convert import Raw, convert, did_you_mean
from streamq.config.fields import Field, fields, find, sections
from streamq.config.schema import Settings
from streamq.errors import ConfigError
from streamq.units import duration


def load(
    config: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> Settings:
    """Return the configuration in force.

    Args:
        config: the file; without it, `STREAMQ_CONFIG`, else `config.yaml` looked for upward.
        overrides: key -> value, of options and arguments; None means that the option was not given.
        environ: the environment, `os.environ` without it.
        cwd: the working directory, where the search begins and which relative paths of options and environment are relative to.

    Raises:
        ConfigError: a fault in any of the sources; it carries all of them.
        UsageError: the named file does not exist, or what was found belongs to a stranger.
    """
    environ = os.environ if environ is None else environ
    here = Path(cwd or ".").absolute()
    found = project.find(here, config or environ.get(environment.CONFIG) or None)
    raws = list(file.read(found.file, _shown(found.file, here), environ)) if found.file is not None else []
    written = len(raws)
    raws += environment.read(environ)
    raws += [Raw(key, value, "option") for key, value in (overrides or {}).items() if value is not None]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    faults: list[str] = []
    for index, raw in enumerate(raws):
        try:
            field, value = _value(raw)
        except ValueError as error:
            faults.append(f"{raw.where}: {raw.key}: {error}" if raw.key else f"{raw.where}: {error}")
            continue
        if raw.key != field.key:
            value = values.get(field.key, {}) | value
        values[field.key] = value if index < written else _absolute(field, value, here)
        origins[raw.key] = raw.where
    faults += _contradictions(values, origins)
    if faults:
        raise ConfigError(faults, hint=_hint(found.file, raws[:written]))
    return Settings(**_sections(values), project=found.directory, file=found.file, origins=origins)


def _value(raw: Raw) -> tuple[Field, Any]:
    """Return the field that a written value is for, and the value; a ValueError says what is wrong with it."""
    if raw.fault:
        raise ValueError(raw.fault)
    field, item = find(raw.key)
    if field is None:
        raise ValueError(_unknown(raw.key))
    return field, convert(field, raw, item)


def _shown(path: Path, here: Path) -> str:
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _absolute(field: Field, value: Any, here: Path) -> Any:
    """Paths of options and environment are relative to where the command was typed, not to the project."""
    if field.written != "path" or value is None:
        return value
    if isinstance(value, list):
        return [str(here / Path(path).expanduser()) for path in value]
    return str(here / Path(value).expanduser())


def _unknown(key: str) -> str:
    section, _, name = key.rpartition(".")
    prefix = f"{section}." if section else ""
    known = [*fields(), *sections()]
    beside = [other.removeprefix(prefix) for other in known if other.startswith(prefix)]
    meant = did_you_mean(name, [other for other in beside if other and "." not in other])
    elsewhere = [other for other in fields() if other.rpartition(".")[2] == name]
    return "unknown key" + (meant or (f"; did you mean {elsewhere[0]}?" if elsewhere else ""))


def _hint(path: Path | None, written: Iterable[Raw]) -> str | None:
    """A file of which not one section is known is likelier somebody else's config.yaml than a bad one of ours."""
    names = {raw.key.partition(".")[0] for raw in written}
    if path is None or not names or names & {*sections(), ""}:
        return None
    return f"If {path} is not streamq's, name another file with --config or {environment.CONFIG}."


def _contradictions(values: Mapping[str, Any], origins: Mapping[str, str]) -> list[str]:
    """Faults of values that are right by themselves but not together."""
    pair = ("worker.backoff.cap", "worker.backoff.base")
    key = next((key for key in pair if key in values), None)
    if key is None:
        return []
    cap, base = (values.get(each, fields()[each].default) for each in pair)
    if base <= cap:
        return []
    return [f"{origins[key]}: {key}: expected a cap of at least the base, not {duration(cap)} and {duration(base)}"]


def _sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of the document that hold these values, inner ones made first."""
    arguments: dict[str, dict[str, Any]] = {"": {}}
    for key, value in values.items():
        name, _, last = key.rpartition(".")
        arguments.setdefault(name, {})[last] = value
        arguments.setdefault(name.rpartition(".")[0], {})  # which may have no other key than this inner section
    for name in sorted(arguments.keys() - {""}, key=lambda each: -each.count(".")):
        parent, _, last = name.rpartition(".")
        arguments[parent][last] = sections()[name](**arguments[name])
    return arguments[""]
