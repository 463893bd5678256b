"""Reading and scaling by libvips, which needs less time and memory for it than Pillow: `images.backend: vips`.

Only the pixels come from here. Pillow has opened the file before, so that what is read at all, the limits, the orientation and
the colours are the same with either; libvips then gets the loader of that very format, and every other one is blocked. What it
does not read as Pillow would (palettes, CMYK, 16 bits, animations, enlargements, broken files) is left to Pillow. One thread an
image: there are as many slots as cores. To be imported only where it is wanted; see `backends`.
"""

from __future__ import annotations

import logging
from typing import Any, BinaryIO, Final

import pyvips  # type: ignore[import-untyped]
from PIL import Image

from streamq.images.geometry import Box, Scaling, whole

_log = logging.getLogger("streamq.images")

#: Files of more bytes are left to Pillow, which does not take them into memory whole.
READ_MOST: Final = 64 * 1024 * 1024
#: How much larger than the result what a decoder gives may be at least: as for Pillow.
GAP: Final = 1.5
_LOADERS: Final = {"JPEG": "jpegload_buffer", "PNG": "pngload_buffer", "WEBP": "webpload_buffer"}
_BANDS: Final = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}

pyvips.concurrency_set(1)
pyvips.cache_set_max(0)
pyvips.block_untrusted_set(True)
pyvips.operation_block_set("VipsForeignLoad", True)
for _class in ("VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadWebp"):
    pyvips.operation_block_set(_class, False)


def scaled(image: Image.Image, stream: BinaryIO, size: int, scaling: Scaling) -> Image.Image | None:
    """Return a part of an image in another size; None where Pillow is to make it.

    Args:
        image: as Pillow opened it, nothing decoded.
        stream: its file; stays where it is.
        size: of the file, in bytes.
        scaling: which part of the image, as it is stored, becomes how large.

    Raises:
        OSError: the disk failed: trying again may help.
    """
    if not _suits(image, size, scaling):
        return None
    at = stream.tell()
    stream.seek(0)
    data = stream.read()
    stream.seek(at)
    try:
        pixels = _pixels(data, image, scaling)
    except pyvips.Error as error:
        _log.debug("libvips cannot read what Pillow may: %s", error)
        return None
    return None if pixels is None else Image.frombytes(image.mode, scaling.size, pixels)


def _suits(image: Image.Image, size: int, scaling: Scaling) -> bool:
    """Whether libvips would see the same pixels as Pillow, and is to scale them down."""
    across, down = _factors(scaling)
    return (
        image.format in _LOADERS
        and image.mode in _BANDS
        and "transparency" not in image.info
        and not getattr(image, "is_animated", False)
        and size <= READ_MOST
        and max(across, down) < 1
    )


def _pixels(data: bytes, image: Image.Image, scaling: Scaling) -> bytes | None:
    """The pixels of the result; None where libvips sees something else than Pillow."""
    loader = _LOADERS[str(image.format)]
    options, factor = _shrunk(image, scaling)
    found = pyvips.Operation.call(loader, data, access="sequential", fail_on="error", **options)
    if not _is_the_same(found, image, factor):
        return None
    if scaling.box != whole(image.size):
        found = found.copy_memory()  # all of it: a file that is broken further down is broken
    found = _part(found, scaling.box, factor)
    if found.hasalpha():
        found = found.premultiply().cast("uchar")
    found = _resized(found, scaling, factor)
    if found.hasalpha():
        found = found.unpremultiply().cast("uchar")
    pixels: bytes = found.write_to_memory()
    return pixels


def _factors(scaling: Scaling) -> tuple[float, float]:
    """How many pixels of the result there are for one of the image, across and down."""
    left, top, right, bottom = scaling.box
    return scaling.size[0] / (right - left), scaling.size[1] / (bottom - top)


def _shrunk(image: Image.Image, scaling: Scaling) -> tuple[dict[str, Any], float]:
    """What makes a loader decode no more pixels than are needed, and how many it gives then for one of the image, a side."""
    needed = max(_factors(scaling)) * GAP
    if image.format == "JPEG":
        shrink = next((shrink for shrink in (8, 4, 2) if shrink * needed <= 1), 1)
        return {"shrink": shrink}, 1 / shrink
    if image.format == "WEBP" and needed < 1:
        return {"scale": needed}, needed
    return {}, 1.0


def _is_the_same(found: Any, image: Image.Image, factor: float) -> bool:
    """Whether libvips sees the picture that Pillow sees, but for a part of a pixel at its edges."""
    wide, high = image.size[0] * factor, image.size[1] * factor
    near: bool = abs(found.width - wide) < 1 and abs(found.height - high) < 1
    return near and found.format == "uchar" and found.bands == _BANDS[image.mode]


def _part(found: Any, box: Box, factor: float) -> Any:
    """The part of a decoded image that a box of the stored one becomes, to the nearest pixel.

    Where the decoder dropped more than half a pixel at the edge, the one before is there twice.
    """
    left, top, right, bottom = (round(side * factor) for side in box)
    width, height = max(1, right - left), max(1, bottom - top)
    if (left, top, width, height) == (0, 0, found.width, found.height):
        return found
    return found.embed(-left, -top, width, height, extend="copy")


def _resized(found: Any, scaling: Scaling, factor: float) -> Any:
    """A part in the size of the result, by the scale of the box, fractions of pixels counted."""
    across, down = _factors(scaling)
    exact = found.resize(across / factor, vscale=down / factor)
    if (exact.width, exact.height) == scaling.size:
        return exact
    return found.resize(scaling.size[0] / found.width, vscale=scaling.size[1] / found.height)
