"""`config.yaml` to the values that it sets, each with its line, and the faults of its form.

YAML itself lets the last of two equal keys win, says nothing of unknown ones, and knows no environment: this module refuses the
first, leaves the second to `load`, and replaces `${NAME}` (`$${NAME}` stays as it is, without the first dollar). PyYAML is
imported only when there is a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

from streamq.config.convert import Raw
from streamq.config.fields import find, sections

if TYPE_CHECKING:
    import yaml

#: How deep values may lie in each other, and how many there may be, those that aliases repeat counted each time.
DEPTH_MOST = 50
VALUES_MOST = 100_000
_TOO_DEEP = f"expected values that lie at most {DEPTH_MOST} deep in each other"
_TOO_MANY = f"expected at most {VALUES_MOST} values, those that aliases repeat included"

_VARIABLE = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def read(path: Path, shown: str, environ: Mapping[str, str]) -> Iterator[Raw]:
    """Yield what a file sets, and its faults, in the order of the file.

    Args:
        path: the file; it has to exist.
        shown: how faults name it.
        environ: where `${NAME}` is looked up.
    """
    import yaml  # 15 ms that a start without a file does not pay.

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """libyaml where it is built in."""

    try:
        loader = Loader(path.read_bytes().decode())
        root = loader.get_single_node()
    except OSError as error:
        yield Raw("", None, shown, fault=f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        yield Raw("", None, shown, fault="expected text in UTF-8")
    except RecursionError:
        yield Raw("", None, shown, fault=_TOO_DEEP)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{shown}:{mark.line + 1}" if mark else shown
        yield Raw("", None, where, fault=f"expected YAML: {getattr(error, 'problem', None) or error}")
    else:
        if root is None:
            return
        if fault := _excess(root):
            yield Raw("", None, shown, fault=fault)
            return
        yield from _Reading(loader, yaml.YAMLError, shown, environ).section(root, "")


def _excess(root: Any) -> str:
    """What is too much in a document, before any of it is made: nine lines of aliases can be a billion texts."""
    weights: dict[int, tuple[int, int]] = {}

    def weigh(node: Any) -> tuple[int, int]:
        """How many values a node stands for, and how deep they lie; inside itself it counts once, and is refused later."""
        if node.id == "scalar":
            return 1, 1
        if id(node) in weights:
            return weights[id(node)]
        weights[id(node)] = 1, 1
        inner = [weigh(each) for pair in node.value for each in (pair if node.id == "mapping" else (pair,))]
        weights[id(node)] = 1 + sum(many for many, _ in inner), 1 + max((deep for _, deep in inner), default=0)
        return weights[id(node)]

    try:
        many, deep = weigh(root)
    except RecursionError:
        return _TOO_DEEP
    return _TOO_DEEP if deep > DEPTH_MOST else _TOO_MANY if many > VALUES_MOST else ""


class _Reading:
    """One pass over one file's nodes."""

    def __init__(self, loader: Any, invalid: type[Exception], shown: str, environ: Mapping[str, str]) -> None:
        self.loader = loader
        self.invalid = invalid
        self.shown = shown
        self.environ = environ

    def where(self, node: yaml.Node) -> str:
        return f"{self.shown}:{node.start_mark.line + 1}"

    def section(self, node: Any, name: str) -> Iterator[Raw]:
        """Yield what a section sets; an empty section sets nothing."""
        if node.tag == "tag:yaml.org,2002:null":
            return
        if node.id != "mapping":
            yield Raw(name, None, self.where(node), fault="expected a section of keys")
            return
        prefix = f"{name}." if name else ""
        yield from self.repeated(node, prefix)
        for key_node, value_node in node.value:
            key = f"{prefix}{key_node.value}"
            field, item = find(key)
            if key_node.id != "scalar":
                yield Raw(name, None, self.where(key_node), fault="expected the name of a key")
            elif key in sections():
                yield from self.section(value_node, key)
            elif field is None:
                yield Raw(key, None, self.where(key_node))
            elif get_origin(field.base) is dict and not item:
                yield from self.section(value_node, key)
            else:
                yield from self.value(key, key_node, value_node)

    def value(self, key: str, key_node: yaml.Node, node: Any) -> Iterator[Raw]:
        """Yield the value of one key, with the environment put in, or what is wrong with it."""
        where, missing, repeated = self.where(key_node), set[str](), list(self.within(node, f"{key}.", set()))
        if repeated:
            yield from repeated
            return
        try:
            written = self.loader.construct_object(node, deep=True)
        except (self.invalid, ValueError) as error:  # An unknown tag, a value that holds itself; a date such as 2027-02-30.
            yield Raw(key, None, where, fault=f"expected YAML: {getattr(error, 'problem', None) or error}")
            return
        filled = _filled(written, self.environ, missing)
        if missing:
            yield Raw(key, None, where, fault=f"the environment has no {', '.join(sorted(missing))}")
            return
        changed = filled != written
        yield Raw(key, filled, where, text=changed and isinstance(filled, str), secret=changed)

    def within(self, node: Any, prefix: str, seen: set[int]) -> Iterator[Raw]:
        """Yield the keys that stand twice anywhere inside a value; `seen` ends the round of a value that holds itself."""
        if id(node) in seen or node.id == "scalar":
            return
        seen.add(id(node))
        if node.id == "mapping":
            yield from self.repeated(node, prefix)
        for child in node.value:
            key, value = child if node.id == "mapping" else (None, child)
            yield from self.within(value, f"{prefix}{key.value}." if key else prefix, seen)

    def repeated(self, node: Any, prefix: str) -> Iterator[Raw]:
        """Yield the keys of a mapping that stand in it twice."""
        lines: dict[str, int] = {}
        for key_node, _ in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in lines:
                yield Raw(f"{prefix}{key}", None, self.where(key_node), fault=f"the key stands twice, first in line {lines[key]}")
            lines.setdefault(key, line)


def _filled(value: Any, environ: Mapping[str, str], missing: set[str]) -> Any:
    """Return a value with `${NAME}` replaced in every text of it; names that the environment lacks are put into `missing`."""
    if isinstance(value, list):
        return [_filled(item, environ, missing) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, environ, missing) for key, item in value.items()}
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        if match[2] not in environ:
            missing.add(match[2])
        return environ.get(match[2], "")

    return _VARIABLE.sub(variable, value)
