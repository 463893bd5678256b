"""The schema as a flat table: `worker.backoff.base` -> its type, bounds, default and meaning.

A file, the environment and options name single keys, and each value is checked by itself so that all faults are found at once;
this table is what they look up. Made from `schema.py`, once a process, a section at a time.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from streamq.config.schema import Document, Section


@dataclass(frozen=True, slots=True)
class Field:
    """One key of the configuration."""

    #: Dotted name, such as `worker.lease`.
    key: str
    #: The annotation that msgspec converts to.
    type: Any
    #: The annotation without `Annotated` and without `None`.
    base: Any
    #: Whether null is allowed.
    optional: bool
    #: Merged constraints and notes of the annotation: `ge`, `le`, `min_length`, `description`, `written`, `expected`.
    notes: dict[str, Any]
    default: Any

    @property
    def description(self) -> str:
        """What the key means, for people."""
        return str(self.notes.get("description", ""))

    @property
    def written(self) -> str:
        """How its values are written: `duration`, `size`, `path`, `url`, or the empty text."""
        return str(self.notes.get("written", ""))


@cache
def fields() -> dict[str, Field]:
    """Return every key of the configuration, in the order of the schema."""
    return {field.key: field for field in _walk(Document, "")}


def find(key: str) -> tuple[Field | None, str]:
    """Return the field that a key names, and the item of it: `images.presets.card` is the item `card` of `images.presets`.

    The field is None where there is none, the item empty where the key names the field itself.
    """
    if key in fields():
        return fields()[key], ""
    for field in fields().values():
        if get_origin(field.base) is dict and key.startswith(f"{field.key}."):
            return field, key.removeprefix(f"{field.key}.")
    return None, ""


@cache
def sections() -> dict[str, type[Section]]:
    """Return every section, `worker` and `worker.backoff` alike; the empty name is the whole document."""
    found: dict[str, type[Section]] = {"": Document}
    for key in fields():
        parts = key.split(".")[:-1]
        for depth in range(1, len(parts) + 1):
            parent, name = ".".join(parts[: depth - 1]), ".".join(parts[:depth])
            if name not in found:
                found[name] = next(info.type for info in msgspec.structs.fields(found[parent]) if info.name == parts[depth - 1])
    return found


def _walk(section: type[Section], prefix: str) -> Iterator[Field]:
    for info in msgspec.structs.fields(section):
        key, annotation = f"{prefix}{info.name}", info.type
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from _walk(annotation, f"{key}.")
            continue
        base, optional, notes = _unwrap(annotation)
        default = info.default if info.default_factory is msgspec.NODEFAULT else info.default_factory()
        yield Field(key, annotation, base, optional, notes, default)


def _unwrap(annotation: Any) -> tuple[Any, bool, dict[str, Any]]:
    """Return an annotation's plain type, whether it allows None, and its merged notes: the outer go before the inner ones."""
    notes: dict[str, Any] = {}
    optional = False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *metas = get_args(annotation)
            for meta in reversed(metas):
                said = {name: getattr(meta, name) for name in ("ge", "le", "min_length", "description")} | (meta.extra or {})
                notes = {name: value for name, value in said.items() if value is not None} | notes
        elif get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation):
            optional = True
            (annotation,) = (member for member in get_args(annotation) if member is not type(None))
        elif get_origin(annotation) is list and "written" not in notes:
            (item,) = get_args(annotation)
            notes["written"] = _unwrap(item)[2].get("written", "")
        else:
            return annotation, optional, notes
