"""The schema as text: the documented `config.yaml`, single values as a file would hold them, and the JSON Schema.

`config.yaml` at the top of the project is `document()`, to the letter, and `config init` writes the same, so that no default and
no description stands in two places.
"""

from __future__ import annotations

import json
import re
import textwrap
from typing import Any

import msgspec

from streamq import units
from streamq.config.convert import Raw, convert
from streamq.config.fields import Field, fields, sections
from streamq.config.schema import Document, Section, Settings

_WIDTH = 110
_INDENT = "  "
_HEADER = """\
streamq: every key and its default. Delete what you do not change; a key that is absent has its default.
An option goes before the environment (STREAMQ_WORKER__LEASE=1m), that before this file, this file before the defaults.
Durations are written 250ms, 30s, 5m, 1h30m, 2d or as seconds, sizes 512 KiB, 256 MiB or as bytes.
${NAME} is taken from the environment. Relative paths are relative to the folder of this file.
"""
# What YAML reads as text without quotes, in version 1.1 and 1.2 alike.
_BARE = re.compile(r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[A-Za-z./][A-Za-z0-9_./-]*(?<![.:])", re.IGNORECASE)


def document() -> str:
    """Return the documented `config.yaml`: each key with its default, and above it what it means."""
    lines = [f"# {line}" for line in _HEADER.splitlines()]
    opened: set[str] = set()
    for key, field in fields().items():
        parts = key.split(".")
        for depth in range(1, len(parts)):
            name = ".".join(parts[:depth])
            if name not in opened:
                opened.add(name)
                indent = _INDENT * (depth - 1)
                lines += [
                    *([""] if depth == 1 else []),
                    *_comment(_meaning(sections()[name]), indent),
                    f"{indent}{parts[depth - 1]}:",
                ]
        indent = _INDENT * (len(parts) - 1)
        lines += [*_comment(field.description, indent), f"{indent}{parts[-1]}: {written(field, field.default)}"]
    return "\n".join(lines) + "\n"


def written(field: Field, value: Any) -> str:
    """Return a value as a file would hold it, in one line, such that reading it gives the same value."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if field.written in ("duration", "size"):
        short = units.duration(value) if field.written == "duration" else units.human_bytes(value)
        return short if convert(field, Raw(field.key, short, "")) == value else repr(value)
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)


def current(settings: Settings, key: str) -> Any:
    """Return the value of a key that is in force."""
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def schema() -> dict[str, Any]:
    """Return the JSON Schema of `config.yaml`, for editors that complete and check it."""
    made = msgspec.json.schema(Document)
    for key, field in fields().items():
        section, _, name = key.rpartition(".")
        if field.written in ("duration", "size"):
            properties = made["$defs"][sections()[section].__name__]["properties"]
            properties[name]["type"] = [properties[name]["type"], "string"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _meaning(section: type[Section]) -> str:
    return " ".join((section.__doc__ or "").split())


def _comment(text: str, indent: str) -> list[str]:
    lines = textwrap.wrap(text, _WIDTH - len(indent), break_long_words=False, break_on_hyphens=False)
    return [f"{indent}# {line}" for line in lines]
