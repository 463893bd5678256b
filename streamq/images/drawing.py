"""What each operation does to the pixels: pure functions from an image and an operation to a new image.

Images come in and go out as L, LA, RGB or RGBA. `apply` picks the function by the class of the operation; a new operation is a
class in `operations` and a function here. Called by `pipeline` only.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Final

from PIL import Image, ImageEnhance, ImageFilter

from streamq.images import operations
from streamq.images.codecs import GAP
from streamq.images.geometry import Gravity, Size, placed
from streamq.images.operations import RGBA, Operation, rgba

_OPAQUE: Final = 255
_QUARTERS: Final = {1: Image.Transpose.ROTATE_270, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_90}
_MIRRORED: Final = {
    "horizontal": Image.Transpose.FLIP_LEFT_RIGHT,
    "vertical": Image.Transpose.FLIP_TOP_BOTTOM,
    "both": Image.Transpose.ROTATE_180,
}


@singledispatch
def apply(operation: Operation, image: Image.Image) -> Image.Image:  # noqa: ARG001 -- its class picks the function
    """Return the image that an operation makes of another one; an operation that only concerns the encoder returns the same."""
    return image


@apply.register
def _resize(operation: operations.Resize, image: Image.Image) -> Image.Image:
    box, size = operation.scaling(image.size)
    image = image.resize(size, Image.Resampling.LANCZOS, box, GAP)
    return laid_out(operation, image)


def laid_out(operation: Operation, image: Image.Image) -> Image.Image:
    """Return an image that is scaled already, on the canvas that the operation asks for."""
    if not isinstance(operation, operations.Resize) or operation.canvas is None:
        return image
    return _on_canvas(image, operation.canvas, operation.gravity, operation.background)


@apply.register
def _thumbnail(operation: operations.Thumbnail, image: Image.Image) -> Image.Image:
    box, size = operation.scaling(image.size)
    return image.resize(size, Image.Resampling.LANCZOS, box, GAP)


@apply.register
def _crop(operation: operations.Crop, image: Image.Image) -> Image.Image:
    return image.crop(operation.part(image.size))


@apply.register
def _rotate(operation: operations.Rotate, image: Image.Image) -> Image.Image:
    quarters, rest = divmod(operation.angle % 360, 90)
    if not rest and (operation.expand or not quarters % 2):
        return image.transpose(_QUARTERS[int(quarters)]) if quarters else image
    background = rgba(operation.background or "transparent")
    image, fill = _with_room_for(image, background)
    return image.rotate(-operation.angle, Image.Resampling.BICUBIC, expand=operation.expand, fillcolor=fill)


@apply.register
def _flip(operation: operations.Flip, image: Image.Image) -> Image.Image:
    return image.transpose(_MIRRORED[operation.direction])


@apply.register
def _grayscale(_: operations.Grayscale, image: Image.Image) -> Image.Image:
    return image.convert("LA" if image.mode in ("LA", "RGBA") else "L")


@apply.register
def _blur(operation: operations.Blur, image: Image.Image) -> Image.Image:
    return _filtered(image, ImageFilter.GaussianBlur(operation.radius))


@apply.register
def _sharpen(operation: operations.Sharpen, image: Image.Image) -> Image.Image:
    return _filtered(image, ImageFilter.UnsharpMask(operation.radius, operation.amount, threshold=0))


@apply.register
def _pad(operation: operations.Pad, image: Image.Image) -> Image.Image:
    return _on_canvas(image, operation.after(image.size), operation.gravity, operation.background)


@apply.register
def _border(operation: operations.Border, image: Image.Image) -> Image.Image:
    return _on_canvas(image, operation.after(image.size), "center", operation.color)


@apply.register
def _adjust(operation: operations.Adjust, image: Image.Image) -> Image.Image:
    opaque = {"LA": "L", "RGBA": "RGB"}.get(image.mode)
    plain = image.convert(opaque) if opaque else image
    for enhance, factor in (
        (ImageEnhance.Brightness, operation.brightness),
        (ImageEnhance.Contrast, operation.contrast),
        (ImageEnhance.Color, operation.saturation),
    ):
        if factor != 1:
            plain = enhance(plain).enhance(factor)
    if opaque:
        plain = plain.copy() if plain is image else plain
        plain.putalpha(image.getchannel("A"))
    return plain


def stamped(operation: operations.Watermark, image: Image.Image, mark: Image.Image) -> Image.Image:
    """Return an image with a mark on it."""
    gray = image.mode in ("L", "LA") and mark.mode in ("L", "LA")
    size, place = operation.laid(image.size, mark.size)
    mark = mark.convert("LA" if gray else "RGBA").resize(size, Image.Resampling.LANCZOS, reducing_gap=GAP)
    alpha = mark.getchannel("A").point(lambda value: round(value * operation.opacity))
    if image.mode in ("LA", "RGBA"):
        mark.putalpha(alpha)
        image = image.copy() if image.mode == mark.mode else image.convert(mark.mode)
        image.alpha_composite(mark, place)
        return image
    mode = "L" if gray else "RGB"
    image = image.copy() if image.mode == mode else image.convert(mode)
    image.paste(mark.convert(mode), place, alpha)
    return image


def flattened(image: Image.Image, background: RGBA) -> Image.Image:
    """Return an image without alpha channel, laid on a background."""
    if image.mode not in ("LA", "RGBA"):
        return image
    red, green, blue, _ = background
    colourful = image.mode == "RGBA" or not red == green == blue
    mode, fill = ("RGB", (red, green, blue)) if colourful else ("L", red)
    canvas = Image.new(mode, image.size, fill)
    canvas.paste(image.convert(mode), mask=image.getchannel("A"))
    return canvas


def _filtered(image: Image.Image, kernel: ImageFilter.Filter) -> Image.Image:
    """Filter; what is transparent lends its colour to nobody."""
    mixed = {"LA": "La", "RGBA": "RGBa"}.get(image.mode)
    if mixed is None:
        return image.filter(kernel)
    return image.convert(mixed).filter(kernel).convert(image.mode)


def _on_canvas(image: Image.Image, size: Size, gravity: Gravity, background: str | None) -> Image.Image:
    if image.size == size:
        return image
    image, fill = _with_room_for(image, rgba(background or "transparent"))
    left, top = placed(image.size, size, gravity)
    canvas = Image.new(image.mode, size, fill)
    if image.mode in ("LA", "RGBA") and fill[-1]:
        whole = Image.new(image.mode, size, (0,) * len(fill))
        whole.paste(image, (int(left), int(top)))
        return Image.alpha_composite(canvas, whole)
    canvas.paste(image, (int(left), int(top)))
    return canvas


def _with_room_for(image: Image.Image, colour: RGBA) -> tuple[Image.Image, tuple[int, ...]]:
    """The image in a mode that can hold a colour, and the colour as that mode writes it."""
    red, green, blue, alpha = colour
    gray = image.mode in ("L", "LA") and (red == green == blue or not alpha)
    clear = image.mode in ("LA", "RGBA") or alpha < _OPAQUE
    mode = ("L" if gray else "RGB") + ("A" if clear else "")
    image = image if image.mode == mode else image.convert(mode)
    channels = (red,) if gray else (red, green, blue)
    return image, (*channels, alpha) if clear else channels
