"""Writing: from pixels to the bytes of a file, the same bytes for the same pixels every time.

One number, `quality`, means about the same to the eye in every format: it is on JPEG's scale and mapped to each encoder's own.
Nothing of the source's metadata is passed on, and no colour profile, since the pixels are sRGB. Called by `pipeline` only.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from streamq.images.animation import Animation
from streamq.images.drawing import flattened
from streamq.images.errors import BadImage
from streamq.images.formats import QUALITY, Format
from streamq.images.operations import RGBA

if TYPE_CHECKING:
    from PIL import Image

#: AVIF's quality that looks like JPEG's 80; in between and beyond, straight lines to 0 and 100.
_AVIF = 63


def encode(image: Image.Image | Animation, target: Format, *, quality: int, background: RGBA, thorough: bool) -> memoryview:
    """Return the bytes of a file.

    Args:
        image: one image, or an animation where the format can hold one.
        target: its format.
        quality: 1 to 100, on JPEG's scale; formats without losses ignore it.
        background: what transparency is laid on where the format has none.
        thorough: whether to spend more time on a smaller file.

    Raises:
        BadImage: the format cannot hold this image.
    """
    frames = image.frames if isinstance(image, Animation) else [image]
    frames = [_fitting(frame, target, background) for frame in frames]
    if max(frames[0].size) > target.longest:
        wide, high = frames[0].size
        raise BadImage(f"{target.name} holds at most {target.longest} pixels a side, not {wide}x{high}")
    options = _options(target, quality, thorough=thorough)
    if isinstance(image, Animation):
        options |= image.options(target) | {"save_all": True, "append_images": frames[1:]}
    out = io.BytesIO()
    try:
        frames[0].save(out, target.pillow, **options)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadImage(f"the image cannot be written as {target.name}: {error}") from error
    return out.getbuffer()


def _fitting(image: Image.Image, target: Format, background: RGBA) -> Image.Image:
    """The image in a mode that the format holds, without what its source file said of itself."""
    if not target.alpha:
        image = flattened(image, background)
    if target.name in ("webp", "avif", "gif") and image.mode == "LA":
        image = image.convert("RGBA")
    if target.name == "gif" and image.mode == "RGBA":
        image = _without_halves(image)
    if hasattr(image, "tag_v2"):  # a TIFF nothing was done to: its tags would be written again
        image = image.copy()
    image.info = {}
    return image


def _without_halves(image: Image.Image) -> Image.Image:
    """The image with each pixel either opaque or transparent, as a GIF has them; half-transparent ones would become noise."""
    alpha = image.getchannel("A").point(lambda value: 255 if value >= 128 else 0)  # noqa: PLR2004 -- the middle of 0 to 255
    image = image.copy()
    image.putalpha(alpha)
    return image


def _options(target: Format, quality: int, *, thorough: bool) -> dict[str, Any]:
    """What Pillow's encoder of a format takes."""
    options: dict[str, dict[str, Any]] = {
        "jpeg": {"quality": quality, "optimize": True, "progressive": True},
        "webp": {"quality": max(1, quality - 1), "method": 6 if thorough else 4},
        # One thread: there are as many slots as cores already, and the bytes are the same on every machine.
        "avif": {"quality": _avif(quality), "speed": 4 if thorough else 6, "max_threads": 1},
        "png": {"optimize": True} if thorough else {"compress_level": 6},
        "tiff": {"compression": "tiff_adobe_deflate"},
        "gif": {"optimize": True},
    }
    return options.get(target.name, {})


def _avif(quality: int) -> int:
    if quality <= QUALITY:
        return round(quality * _AVIF / QUALITY)
    return round(_AVIF + (quality - QUALITY) * (100 - _AVIF) / (100 - QUALITY))
