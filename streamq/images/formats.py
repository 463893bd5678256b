"""The image formats that are read and written, and what each can hold.

An allow list: what is not here is never given to a decoder, whatever a file is named. Formats that can run code or load other
files (PostScript, PDF, SVG) and decoders that nobody asks for are left out. Knows names and file extensions only, so that a
sender can use it without loading Pillow; `codecs` and `encoders` do the work.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple

from streamq.images.errors import BadOperation

#: Quality where a task names none, on the scale of JPEG.
QUALITY = 80


class Format(NamedTuple):
    """One format of the allow list."""

    #: As results and parameters name it.
    name: str
    #: As Pillow names it.
    pillow: str
    #: Extensions that belong to it; the first is given to new files.
    extensions: tuple[str, ...]
    #: Whether it can hold an alpha channel; without, transparency is laid on a background.
    alpha: bool
    #: Whether it can hold an animation.
    animated: bool = False
    #: Whether it can hold more than 8 bits a channel, though none is written with more: a source that has them loses some.
    deep: bool = False
    #: Longest side that it can hold, in pixels.
    longest: int = 65_535


FORMATS = {
    each.name: each
    for each in (
        Format("jpeg", "JPEG", ("jpg", "jpeg", "jpe", "jfif"), alpha=False, longest=65_500),
        Format("png", "PNG", ("png", "apng"), alpha=True, animated=True, deep=True),
        Format("webp", "WEBP", ("webp",), alpha=True, animated=True, longest=16_383),
        Format("gif", "GIF", ("gif",), alpha=True, animated=True),
        Format("avif", "AVIF", ("avif",), alpha=True, animated=True),
        Format("tiff", "TIFF", ("tif", "tiff"), alpha=True, deep=True),
        Format("bmp", "BMP", ("bmp",), alpha=False),
        Format("ppm", "PPM", ("ppm", "pnm"), alpha=False),
    )
}

_BY_EXTENSION = {extension: each for each in FORMATS.values() for extension in each.extensions}


def named(name: object) -> Format:
    """Return a format by its name or by one of its extensions, in any case: `jpeg`, `JPG`.

    Raises:
        BadOperation: there is none.
    """
    word = name.lower() if isinstance(name, str) else ""
    found = FORMATS.get(word) or _BY_EXTENSION.get(word)
    if found is None:
        raise BadOperation(f"unknown format {name!r}", hint=f"Formats are: {', '.join(FORMATS)}.")
    return found


def of_path(path: str) -> Format | None:
    """Return the format that a file name's extension stands for, or None."""
    return _BY_EXTENSION.get(PurePath(path).suffix.lower().removeprefix("."))


def target(output: str | None, name: object, source: str) -> Format:
    """Return the format of a result: the one that is named, else that of the output's extension, else that of the source's.

    Args:
        output: the result's path, or None where it is still to be named.
        name: the parameter `format`, or None.
        source: the source's path; where its extension says nothing, the result is a JPEG.

    Raises:
        BadOperation: the format is unknown, or the output's extension does not fit it.
    """
    if output is None:
        return named(name) if name is not None else of_path(source) or FORMATS["jpeg"]
    extension = of_path(output)
    if extension is None:
        raise BadOperation(
            f"the extension of output {output} stands for no format that is written",
            hint=f"Extensions are: {', '.join(_BY_EXTENSION)}.",
        )
    if name is not None and named(name) is not extension:
        raise BadOperation(f"output {output} does not fit format {name}", hint="Leave one of the two out.")
    return extension
