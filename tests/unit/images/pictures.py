"""Pictures that the tests of the image task need, made from the photographs of the package."""

from __future__ import annotations

import io
import math
from functools import cache
from typing import Any

from PIL import Image, ImageChops, ImageStat

from streamq.config.schema import Limits
from streamq.images.backends import Scaler
from streamq.images.pipeline import make
from streamq.images.roots import SAMPLES
from streamq.images.work import plan

#: EXIF orientation -> what has to be done to an upright picture, so that it is stored that way.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def photo(name: str = "astronaut") -> Image.Image:
    """A photograph of the package, decoded."""
    return _decoded(name).copy()


@cache
def _decoded(name: str) -> Image.Image:
    with Image.open(SAMPLES / f"{name}.jpg") as image:
        return image.convert("RGB")


@cache
def photo_as(kind: str) -> bytes:
    """The photograph's file in a format, made once."""
    return encoded(photo(), kind)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def lying(upright: Image.Image, orientation: int, kind: str, **options: Any) -> bytes:
    """A file whose pixels are stored turned, with the EXIF orientation that tells."""
    turn = STORED[orientation]
    exif = Image.Exif()
    exif[0x112] = orientation
    return encoded(upright if turn is None else upright.transpose(turn), kind, exif=exif, **options)


def made(data: bytes, limits: Limits | None = None, scaler: Scaler | None = None, **arguments: Any) -> Image.Image:
    """What the task makes of a file, decoded again; in PNG where the arguments name no format."""
    work = plan({"source": "x", "format": "png"} | arguments)
    result = make(io.BytesIO(data), len(data), work, limits or Limits(), "source x", scaler)
    image = Image.open(io.BytesIO(result.data))
    assert image.size == result.size
    image.load()
    return image


def difference(one: Image.Image, other: Image.Image) -> float:
    """The root of the mean square of the differences of two pictures, 0 to 255."""
    assert one.size == other.size
    return math.sqrt(
        sum(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).sum2) / 3 / (one.width * one.height)
    )
