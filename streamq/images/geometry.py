"""Sizes and boxes: which part of an image becomes which result, by the words that sharp uses.

Pure arithmetic on the upright image (EXIF orientation applied), shared by the operations, by the decoder, which reads no more
pixels of a JPEG than the result needs, and by senders. No image is touched here.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Size = tuple[int, int]
#: Left, top, right, bottom, in pixels, fractions allowed.
Box = tuple[float, float, float, float]
Fit = Literal["cover", "contain", "fill", "inside", "outside"]
Gravity = Literal["center", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest"]

#: What part of the free space lies left of, and above, what is placed.
_SHARES: Final[dict[Gravity, tuple[float, float]]] = {
    "center": (0.5, 0.5),
    "north": (0.5, 0.0),
    "northeast": (1.0, 0.0),
    "east": (1.0, 0.5),
    "southeast": (1.0, 1.0),
    "south": (0.5, 1.0),
    "southwest": (0.0, 1.0),
    "west": (0.0, 0.5),
    "northwest": (0.0, 0.0),
}


class Scaling(NamedTuple):
    """A part of an image, and the size that it is brought to."""

    box: Box
    size: Size

    def changes(self, size: Size) -> bool:
        """Whether an image of a size would become another one."""
        return self.size != size or self.box != whole(size)


def whole(size: Size) -> Box:
    """Return the box that is all of an image."""
    return 0.0, 0.0, float(size[0]), float(size[1])


def placed(inner: tuple[float, float], outer: Size, gravity: Gravity) -> tuple[float, float]:
    """Return left and top of something of size `inner` that lies in (or, being larger, over) `outer`."""
    across, down = _SHARES[gravity]
    return (outer[0] - inner[0]) * across, (outer[1] - inner[1]) * down


def scaling(size: Size, width: int | None, height: int | None, fit: Fit, gravity: Gravity, *, enlarge: bool) -> Scaling:
    """Return how an image is scaled into a wanted width and height, of which one may be missing.

    `cover` fills both and cuts off what hangs over, `contain` and `inside` fit in both, `outside` covers both without a cut,
    `fill` stretches. With one of the two missing, the ratio of the sides stays. Without `enlarge` no pixel is blown up: the
    result is smaller than wanted where the image is; a `cover` keeps the wanted ratio then.
    """
    if width is None or height is None:
        fit = "inside"
    wide, high = width or float("inf"), height or float("inf")
    across, down = wide / size[0], high / size[1]
    if fit == "fill":
        most = (1.0, 1.0) if not enlarge else (across, down)
        return Scaling(whole(size), _rounded(size[0] * min(across, most[0]), size[1] * min(down, most[1])))
    if fit == "cover":
        shrunk = 1.0 if enlarge else min(1.0, 1 / max(across, down))
        result = _rounded(wide * shrunk, high * shrunk)
        scale = max(result[0] / size[0], result[1] / size[1])
        part = min(result[0] / scale, size[0]), min(result[1] / scale, size[1])
        left, top = placed(part, size, gravity)
        return Scaling((left, top, left + part[0], top + part[1]), result)
    scale = max(across, down) if fit == "outside" else min(across, down)
    if not enlarge:
        scale = min(scale, 1.0)
    return Scaling(whole(size), _rounded(size[0] * scale, size[1] * scale))


def cut(size: Size, width: int | None, height: int | None, gravity: Gravity) -> tuple[int, int, int, int]:
    """Return the box of a wanted width and height inside an image; a missing one, or one too large, is the image's own."""
    wide, high = min(width or size[0], size[0]), min(height or size[1], size[1])
    left, top = placed((wide, high), size, gravity)
    return int(left), int(top), int(left) + wide, int(top) + high


def _rounded(width: float, height: float) -> Size:
    return max(1, round(width)), max(1, round(height))
