"""Colours stay right: every image ends up in sRGB with 8 bits a channel, in one of the modes L, LA, RGB and RGBA.

Two steps, since scaling needs real channels but should not pay for the conversion of pixels that it throws away: `workable`
before an image is scaled, `to_srgb` after. Profiles that wide-gamut cameras, scanners and printers embed are applied with Little
CMS; without that, their pictures turn dull. Called by `codecs` only.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from typing import Final, cast

from PIL import Image, ImageCms

#: Profiles beyond this size in bytes are ignored; those of printing presses have about 2 MB.
PROFILE_MOST: Final = 4 * 1024 * 1024

_CHANNELS: Final = {"RGB": "RGB", "RGBA": "RGB", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab"}
#: What has to be converted before pixels may be mixed; the rest can be scaled as it is.
_UNMIXABLE: Final = {"1": "L", "La": "LA", "PA": "RGBA", "RGBa": "RGBA", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB"}
_FLAGS: Final = ImageCms.Flags.BLACKPOINTCOMPENSATION
_BYTE: Final = 255.0
_WORD: Final = 65_535.0


def workable(image: Image.Image) -> Image.Image:
    """Return an image whose pixels can be mixed: no palette, no more than 8 bits a channel, transparency as a channel."""
    if image.mode == "P":
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode in ("L", "RGB") and "transparency" in image.info:
        return image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _narrowed(image)
    return image.convert(_UNMIXABLE[image.mode]) if image.mode in _UNMIXABLE else image


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a workable image in sRGB.

    Args:
        image: what `workable` returned, scaled or not.
        profile: the ICC profile that its file carried; one that is broken or belongs to other channels is ignored.
    """
    if image.mode == "LA" and profile:
        opaque = to_srgb(image.getchannel("L"), profile)
        opaque.putalpha(image.getchannel("A"))
        return opaque
    transform = _transform(profile, image.mode) if profile and len(profile) <= PROFILE_MOST else None
    if transform is None and image.mode == "LAB":
        transform = _lab()
    if transform is not None:
        right = transform.apply(image)
        return right.convert("L") if image.mode == "L" else right
    return image if image.mode in ("L", "LA", "RGB", "RGBA") else image.convert("RGB")


def _narrowed(image: Image.Image) -> Image.Image:
    """Bring one channel of 16 or 32 bits, or of floats, to 8 bits.

    16 bits are a fixed scale. The wider modes say nothing of theirs: 0 to 1 (floats), 0 to 255 and 0 to 65535 are taken as what
    they look like, anything else from its darkest to its brightest pixel.
    """
    if image.mode.startswith("I;16"):
        image, low, high = image.convert("I"), 0.0, _WORD
    else:
        low, high = cast("tuple[float, float]", image.getextrema())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("a pixel is not a finite number")
        if low >= 0 and high <= _WORD:
            low, high = 0.0, 1.0 if image.mode == "F" and high <= 1 else _BYTE if high <= _BYTE else _WORD
    scale = _BYTE / (high - low) if high > low else 0.0
    # Half a step more, since the conversion to bytes cuts off.
    return image.convert("F").point(lambda value: value * scale + (0.5 - low * scale)).convert("L")


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from a profile to sRGB; None where there is nothing to do, or nothing that could be done."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _CHANNELS.get(mode):
            return None
        if "srgb" in (source.profile.profile_description or "").lower():
            return None
        return _built(source, mode, {"L": "RGB", "RGBA": "RGBA"}.get(mode, "RGB"))
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None


@lru_cache(maxsize=1)
def _lab() -> ImageCms.ImageCmsTransform:
    return _built(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB", "RGB")


def _built(source: ImageCms.ImageCmsProfile, mode: str, into: str) -> ImageCms.ImageCmsTransform:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.ImageCmsTransform(source, srgb, mode, into, intent, flags=_FLAGS)
