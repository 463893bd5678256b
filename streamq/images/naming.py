"""The names of results: a template filled from the source and from what is asked for, the same for sender and worker.

`produce` makes the path and sends it; a worker makes it only for a task that came without one, such as a plain XADD. Nothing is
read from the image: a name says what was asked for, so it is known before the work is done. Pillow is not loaded.
"""

from __future__ import annotations

import re
import string
from pathlib import PurePosixPath

from streamq.images import formats
from streamq.images.errors import BadOperation
from streamq.images.roots import Located, Roots
from streamq.images.work import Work

#: Field of a template -> what it stands for.
FIELDS = {
    "dir": "the folder of the source below its root",
    "stem": "the source's name without extension",
    "ext": "the extension of the result's format",
    "operation": "the operations, joined by hyphens",
    "size": "the wanted width and height, such as 1200x800",
    "width": "the wanted width",
    "height": "the wanted height",
    "hash8": "eight digits that differ for different work",
}
#: Longest name of a file, in bytes, that every file system of today takes.
_LONGEST = 255


def check(template: str) -> None:
    """Refuse a template that has an unknown field, or gives no name of a file.

    Raises:
        BadOperation: it does.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise BadOperation(f"name template {template!r}: {error}") from None
    for _, field, spec, conversion in parts:
        if field is not None and (field not in FIELDS or spec or conversion):
            raise BadOperation(f"name template {template!r}: unknown field {{{field}}}", hint=f"Fields are: {', '.join(FIELDS)}.")
    if ".." in PurePosixPath(template).parts or template.startswith("/") or template.endswith("/"):
        raise BadOperation(f"name template {template!r} does not name a file below the output folder")


def output_name(template: str, source: str, work: Work) -> str:
    """Return the path of a result, relative to the output folder.

    A field that is empty (a task without a size, a source at the top of its root) takes the separator before it along.

    Args:
        template: text with fields in braces; see `FIELDS`.
        source: the source's path below its root.
        work: what is asked for.

    Raises:
        BadOperation: the template has an unknown field, or the name would be too long.
    """
    check(template)
    path = PurePosixPath(source)
    width, height = work.wanted
    values = {
        "dir": "" if str(path.parent) == "." else str(path.parent),
        "stem": path.stem,
        "ext": _extension(path, work),
        "operation": "-".join(work.names),
        "size": f"{width or ''}x{height or ''}" if width or height else "",
        "width": str(width or ""),
        "height": str(height or ""),
        "hash8": work.hash8,
    }
    for field, value in values.items():
        if not value:
            template = re.sub(rf"[_.-]?\{{{field}\}}", "", template)
    name = template.format_map(values).lstrip("/")
    if len(PurePosixPath(name).name.encode(errors="surrogateescape")) > _LONGEST:
        raise BadOperation(f"the result's name is longer than {_LONGEST} bytes: {name}")
    return name


def output_path(roots: Roots, folder: str, template: str, source: Located, work: Work) -> str:
    """Return the path of a result as a task's `output` has it.

    Args:
        roots: where it may lie.
        folder: the output folder, relative to the output root.
        template: the name in it; see `output_name`.
        source: where the source lies.
        work: what is asked for.

    Raises:
        BadOperation: see `output_name`.
    """
    return roots.shown(roots.output / folder / output_name(template, source.below.as_posix(), work))


def _extension(path: PurePosixPath, work: Work) -> str:
    """The source's own extension where it fits, so that `a.jpeg` becomes `a_….jpeg`."""
    same = formats.of_path(str(path)) is work.format
    return path.suffix.lower().removeprefix(".") if same else work.format.extensions[0]
