"""One image from its open file to the bytes of the result: check, decode, operations, encode.

The order saves work: an operation that scales and comes first is done while decoding. Every size is computed before it is made
and held against the limits, so that no operation can ask for more memory than a source may take. Called by the task only; no
path and no disk here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from streamq.config.schema import Limits
from streamq.images import animation, codecs, colour, drawing, encoders
from streamq.images.backends import Scaler
from streamq.images.codecs import Picture
from streamq.images.errors import BadOperation
from streamq.images.geometry import Size
from streamq.images.operations import Operation, Resize, Thumbnail, Watermark
from streamq.images.work import Work

if TYPE_CHECKING:
    from PIL import Image


class Made(NamedTuple):
    """A finished result."""

    data: memoryview
    size: Size


_log = logging.getLogger("streamq.images")

#: The images that steps lay on another one, by their paths.
Marks = Mapping[str, "Image.Image"]
#: Opens an image that a step lays on another one: the file, and its size in bytes.
Opener = Callable[[str], AbstractContextManager[tuple[BinaryIO, int]]]


def marks(work: Work, limits: Limits, opener: Opener) -> Marks:
    """Return the images that the steps of a task lay on its own.

    Raises:
        BadImage: one of them is no image that is read, is broken, or beyond a limit.
        ForbiddenPath: one of them may not be read.
        OSError: one of them is missing, or the disk failed: trying again may help.
    """
    found = {}
    for path in work.marks:
        with opener(path) as (stream, size), codecs.opened(stream, size, limits, f"watermark {path}") as picture:
            found[path] = picture.decode(None, None)
    return found


def make(
    stream: BinaryIO, size: int, work: Work, limits: Limits, what: str, scaler: Scaler | None = None, laid_on: Marks | None = None
) -> Made:
    """Return what a task asks for, made from an image file.

    Args:
        stream: the file, at its beginning.
        size: its size in bytes.
        work: what is to be done.
        limits: see `config.schema.Limits`.
        what: what errors call the file.
        scaler: what is asked before Pillow, where an image is scaled first of all.
        laid_on: what `marks` returned for the task; None: its steps lay nothing on it.

    Raises:
        BadImage: the file is no image that is read, is broken, or beyond a limit; or the format cannot hold the result.
        BadOperation: an operation cannot be carried out on this image, or asks for more than the limits allow.
        OSError: the disk failed: trying again may help.
    """
    with codecs.opened(stream, size, limits, what) as picture:
        check_sizes(work.steps, picture.size, limits)
        if picture.is_deep and work.format.deep:
            _log.warning("%s has more than 8 bits a channel; the %s made of it has 8", what, work.format.name)
        image = _decoded(picture, work, limits, scaler, laid_on or {})
    first = image.frames[0] if isinstance(image, animation.Animation) else image
    result = first.size
    data = encoders.encode(image, work.format, quality=work.quality, background=work.background, thorough=work.thorough)
    return Made(data, result)


def check_sizes(steps: Sequence[Operation], size: Size, limits: Limits) -> None:
    """Refuse steps that would make an image too large on the way or at the end.

    Raises:
        BadOperation: they would, or one of them cannot be carried out on an image of this size.
    """
    for step in steps:
        made = step.after(size)
        if made != size and (max(made) > limits.dimension or made[0] * made[1] > limits.pixels):
            raise BadOperation(
                f"{type(step).__name__.lower()} would make {made[0]}x{made[1]} pixels; images.limits allow "
                f"{limits.dimension} a side and {limits.pixels} together"
            )
        size = made
    if max(size) > limits.dimension:
        raise BadOperation(f"the result would have {size[0]}x{size[1]} pixels; images.limits.dimension is {limits.dimension}")


def _decoded(
    picture: Picture, work: Work, limits: Limits, scaler: Scaler | None, laid_on: Marks
) -> Image.Image | animation.Animation:
    def change(frame: Image.Image) -> Image.Image:
        return _changed(colour.to_srgb(frame, picture.profile), work.steps, laid_on)

    if work.format.animated and picture.can_move:
        moving = animation.read(picture, limits, change)
        if moving is not None:
            return moving
        picture.seek(0)
    first, rest = (work.steps[0], work.steps[1:]) if work.steps else (None, ())
    if isinstance(first, Resize | Thumbnail):
        image = picture.decode(first.scaling(picture.size), scaler)
        return _changed(drawing.laid_out(first, image), rest, laid_on)
    return _changed(picture.decode(None, scaler), work.steps, laid_on)


def _changed(image: Image.Image, steps: Sequence[Operation], laid_on: Marks) -> Image.Image:
    for step in steps:
        image = drawing.stamped(step, image, laid_on[step.mark]) if isinstance(step, Watermark) else drawing.apply(step, image)
    return image
