"""What one image task asks for, checked: the operations in order, the format, the quality, the background.

The arguments of a task become a `Work` here and nowhere else: `tasks` runs it, `produce` and the presets of the configuration
check with it before anything is sent, and `naming` reads the name of a result off it. Pillow is not loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from streamq.images import formats, operations
from streamq.images.errors import BadOperation
from streamq.images.formats import QUALITY, Format
from streamq.images.operations import RGBA, Operation, Watermark

#: Steps of one task at most.
STEPS = 32
_WHITE: RGBA = (255, 255, 255, 255)


class Work(NamedTuple):
    """What is to be done with one image."""

    #: Names of the operations, in order.
    names: tuple[str, ...]
    steps: tuple[Operation, ...]
    format: Format
    #: 1 to 100, on the scale of JPEG.
    quality: int
    #: What transparency is laid on where the format has none.
    background: RGBA
    #: First 8 hexadecimal digits of a hash over all that was asked for: equal work on one source has equal digits.
    hash8: str

    @property
    def thorough(self) -> bool:
        """Whether the encoder should try harder."""
        return any(step.thorough for step in self.steps)

    @property
    def marks(self) -> list[str]:
        """The paths of the images that its steps lay on it, each once."""
        return list(dict.fromkeys(step.mark for step in self.steps if isinstance(step, Watermark)))

    @property
    def wanted(self) -> tuple[int | None, int | None]:
        """Width and height that the last operation which names any asks for."""
        sizes = [step.wanted for step in self.steps if step.wanted != (None, None)]
        return sizes[-1] if sizes else (None, None)


def plan(arguments: Mapping[str, Any]) -> Work:
    """Return what a task's arguments ask for.

    Args:
        arguments: those of task `image`, as they are sent: `source`, and optionally `output`, `format`, `quality`,
            `background`, and either `operation` with its parameters or `steps`. A value of None counts as absent.

    Raises:
        BadOperation: an operation, a parameter, a format or a combination of them makes no sense.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    hash8 = hashlib.sha256(msgspec.json.encode(given, order="deterministic")).hexdigest()[:8]
    source, output, format_name = given.pop("source", ""), given.pop("output", None), given.pop("format", None)
    quality = given.pop("quality", QUALITY)
    if not isinstance(quality, int) or not 1 <= quality <= 100:  # noqa: PLR2004
        raise BadOperation(f"quality is a whole number from 1 to 100, not {quality!r}")
    background = operations.rgba(given["background"], "background: ") if "background" in given else _WHITE
    if not isinstance(output, str | None):
        raise BadOperation(f"output is a path, not {output!r}")
    target = formats.target(output, format_name, source)
    steps = _steps(given, changes_format=format_name is not None or output is not None)
    return Work(tuple(name for name, _ in steps), tuple(step for _, step in steps), target, quality, background, hash8)


def _steps(given: dict[str, Any], *, changes_format: bool) -> list[tuple[str, Operation]]:
    name, steps = given.pop("operation", None), given.pop("steps", None)
    if steps is not None:
        given.pop("background", None)
        if name is not None or given:
            extra = "operation" if name is not None else ", ".join(given)
            raise BadOperation(f"steps and {extra} cannot stand together", hint="Write the parameters into the steps.")
        return _listed(steps)
    if name is None and not given.keys() - {"background"} and changes_format:
        name = "convert"
    if name is None:
        raise BadOperation("no operation is named", hint=f"Operations are: {', '.join(operations.OPERATIONS)}.")
    kind = operations.OPERATIONS.get(name) if isinstance(name, str) else None
    if kind is not None and "background" not in kind.__struct_fields__:
        given.pop("background", None)
    return [(name, operations.parse(name, given))]


def _listed(steps: object) -> list[tuple[str, Operation]]:
    if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        raise BadOperation('steps is a list of operations, such as [{"operation": "flip"}]')
    if len(steps) > STEPS:
        raise BadOperation(f"a task has at most {STEPS} steps, not {len(steps)}")
    listed = []
    for number, step in enumerate(steps, start=1):
        try:
            parameters = {name: value for name, value in step.items() if name != "operation"}
            listed.append((step.get("operation"), operations.parse(step.get("operation"), parameters)))
        except BadOperation as error:
            raise BadOperation(f"step {number}: {error.what}", hint=error.hint) from None
    return listed
