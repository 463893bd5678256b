"""The operations of the image task: their names, their parameters, and the size that each one leaves.

Every parameter is typed, bounded and checked before a task is sent and again before it runs; an unknown one is refused. Nothing
here touches an image or loads Pillow: `drawing` has one function for each class of this table.
"""

from __future__ import annotations

import functools
import math
import re
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct, ValidationError, convert

from streamq.images.errors import BadOperation
from streamq.images.geometry import Fit, Gravity, Scaling, Size, cut, placed, scaling

#: Width or height in pixels.
Pixels = Annotated[int, Meta(ge=1, le=65_535)]
#: `#rgb`, `#rrggbb`, `#rrggbbaa` or one of `NAMED`.
Colour = Annotated[str, Meta(pattern=r"^(#([0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})|[a-z]+)$")]
Factor = Annotated[float, Meta(ge=0, le=10)]
Share = Annotated[float, Meta(ge=0, le=1)]

#: The parameters that are colours.
_COLOURS = ("background", "color")
RGBA = tuple[int, int, int, int]
NAMED: dict[str, RGBA] = {
    "transparent": (0, 0, 0, 0),
    "white": (255, 255, 255, 255),
    "black": (0, 0, 0, 255),
    "gray": (128, 128, 128, 255),
    "red": (255, 0, 0, 255),
    "green": (0, 128, 0, 255),
    "blue": (0, 0, 255, 255),
}


def rgba(colour: object, where: str = "") -> RGBA:
    """Return the red, green, blue and alpha (0 to 255) of a colour: `#rgb`, `#rrggbb`, `#rrggbbaa` or one of `NAMED`.

    Raises:
        BadOperation: it is none.
    """
    if isinstance(colour, str) and colour in NAMED:
        return NAMED[colour]
    if not isinstance(colour, str) or not re.fullmatch("#([0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})", colour):
        raise BadOperation(f"{where}{colour!r} is no colour", hint=f"Write it as #ffcc00, or {', '.join(NAMED)}.")
    digits = colour.removeprefix("#")
    if len(digits) == 3:  # noqa: PLR2004 -- #rgb
        digits = "".join(digit * 2 for digit in digits)
    red, green, blue, alpha = bytes.fromhex(digits.ljust(8, "f"))
    return red, green, blue, alpha


class Operation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all operations: what is asked for, and the size that it leaves."""

    #: Whether the encoder should try harder to make the file small.
    thorough: ClassVar[bool] = False

    def after(self, size: Size) -> Size:
        """Return the size of the result for an image of a size.

        Raises:
            BadOperation: the operation cannot be carried out on an image of this size.
        """
        return size

    @property
    def wanted(self) -> tuple[int | None, int | None]:
        """Width and height that the operation asks for, for the names of results."""
        return getattr(self, "width", None), getattr(self, "height", None)


class Resize(Operation, frozen=True):
    """Scale to a width and height, the way `fit` says; with one of them only, the ratio of the sides stays.

    Without `enlarge` an image is never blown up. `contain` fills the rest with `background`, transparent where none is named.
    """

    width: Pixels | None = None
    height: Pixels | None = None
    fit: Fit = "cover"
    gravity: Gravity = "center"
    enlarge: bool = False
    background: Colour | None = None

    def scaling(self, size: Size) -> Scaling:
        """Return which part of an image becomes how large."""
        return scaling(size, self.width, self.height, self.fit, self.gravity, enlarge=self.enlarge)

    @property
    def canvas(self) -> Size | None:
        """The size that the scaled image is laid on, where `fit` asks for one."""
        return (self.width, self.height) if self.fit == "contain" and self.width and self.height else None

    def after(self, size: Size) -> Size:  # noqa: D102
        return self.canvas or self.scaling(size).size

    def __post_init__(self) -> None:
        if self.width is None and self.height is None:
            raise BadOperation("resize needs a width, a height, or both")


class Thumbnail(Operation, frozen=True):
    """Scale down to fit in a width and height, 256 pixels where none is named; the ratio of the sides stays."""

    width: Pixels | None = None
    height: Pixels | None = None

    def scaling(self, size: Size) -> Scaling:
        """Return which part of an image becomes how large."""
        width, height = self.wanted
        return scaling(size, width, height, "inside", "center", enlarge=False)

    @property
    def wanted(self) -> tuple[int | None, int | None]:  # noqa: D102
        return (256, 256) if self.width is None and self.height is None else (self.width, self.height)

    def after(self, size: Size) -> Size:  # noqa: D102
        return self.scaling(size).size


class Crop(Operation, frozen=True):
    """Cut out a box (left, top, right, bottom), or a width and height at the place that `gravity` says."""

    box: tuple[int, int, int, int] | None = None
    width: Pixels | None = None
    height: Pixels | None = None
    gravity: Gravity = "center"

    def part(self, size: Size) -> tuple[int, int, int, int]:
        """Return the box that is cut out of an image of a size; it lies inside of the image."""
        if self.box is None:
            return cut(size, self.width, self.height, self.gravity)
        left, top, right, bottom = self.box
        inside = max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            raise BadOperation(f"crop: box {list(self.box)} lies outside of the image of {size[0]}x{size[1]} pixels")
        return inside

    @property
    def wanted(self) -> tuple[int | None, int | None]:  # noqa: D102
        return (self.width, self.height) if self.box is None else (self.box[2] - self.box[0], self.box[3] - self.box[1])

    def after(self, size: Size) -> Size:  # noqa: D102
        left, top, right, bottom = self.part(size)
        return right - left, bottom - top

    def __post_init__(self) -> None:
        if (self.box is None) == (self.width is None and self.height is None):
            raise BadOperation("crop needs either a box or a width and a height")
        if self.box is not None and (self.box[0] >= self.box[2] or self.box[1] >= self.box[3]):
            raise BadOperation(f"crop: box {list(self.box)} is empty", hint="A box is left, top, right, bottom.")


class Rotate(Operation, frozen=True):
    """Turn clockwise by an angle in degrees. With `expand` the result holds all of the turned image; corners are `background`."""

    angle: Annotated[float, Meta(ge=-360, le=360)]
    expand: bool = True
    background: Colour | None = None

    def after(self, size: Size) -> Size:  # noqa: D102
        quarter_turns, rest = divmod(self.angle % 360, 90)
        if not self.expand:
            return size
        if not rest:
            return (size[1], size[0]) if quarter_turns % 2 else size
        angle = math.radians(self.angle)
        across, along = abs(math.cos(angle)), abs(math.sin(angle))
        # One pixel more than the exact box, since Pillow rounds its corners outward.
        return math.ceil(size[0] * across + size[1] * along) + 1, math.ceil(size[0] * along + size[1] * across) + 1


class Flip(Operation, frozen=True):
    """Mirror left and right (`horizontal`), top and bottom (`vertical`), or both."""

    direction: Literal["horizontal", "vertical", "both"] = "horizontal"


class Grayscale(Operation, frozen=True):
    """Take the colours away."""


class Blur(Operation, frozen=True):
    """Blur by a Gauss curve of a radius in pixels."""

    radius: Annotated[float, Meta(ge=0, le=250)] = 2.0


class Sharpen(Operation, frozen=True):
    """Sharpen by an unsharp mask: its radius in pixels, its strength in per cent."""

    radius: Annotated[float, Meta(ge=0, le=250)] = 2.0
    amount: Annotated[int, Meta(ge=0, le=1000)] = 100


class Pad(Operation, frozen=True):
    """Lay on a canvas of at least a width and height, at the place that `gravity` says."""

    width: Pixels | None = None
    height: Pixels | None = None
    gravity: Gravity = "center"
    background: Colour | None = None

    def after(self, size: Size) -> Size:  # noqa: D102
        return max(self.width or 0, size[0]), max(self.height or 0, size[1])

    def __post_init__(self) -> None:
        if self.width is None and self.height is None:
            raise BadOperation("pad needs a width, a height, or both")


class Border(Operation, frozen=True):
    """Put a border of a thickness in pixels around the image."""

    thickness: Annotated[int, Meta(ge=1, le=10_000)] = 10
    color: Colour = "black"

    def after(self, size: Size) -> Size:  # noqa: D102
        return size[0] + 2 * self.thickness, size[1] + 2 * self.thickness


class Adjust(Operation, frozen=True):
    """Change brightness, contrast and saturation, in this order; 1 leaves them as they are, 0 takes them away."""

    brightness: Factor = 1.0
    contrast: Factor = 1.0
    saturation: Factor = 1.0


class Watermark(Operation, frozen=True):
    """Lay another image on it: `mark`, a path below the image roots, where `gravity` says, `margin` pixels off the edge.

    The mark has its own size, or `scale` times the width of the image; where it would not fit in, it is made smaller. What is
    transparent in it stays so, the rest is `opacity` of itself.
    """

    mark: Annotated[str, Meta(min_length=1)]
    gravity: Gravity = "southeast"
    opacity: Share = 1.0
    scale: Annotated[float, Meta(gt=0, le=1)] | None = None
    margin: Annotated[int, Meta(ge=0, le=10_000)] = 0

    def laid(self, size: Size, mark: Size) -> tuple[Size, tuple[int, int]]:
        """Return the size that a mark gets on an image of a size, and where its left upper corner lies."""
        margin = min(self.margin, (min(size) - 1) // 2)
        room = size[0] - 2 * margin, size[1] - 2 * margin
        wanted = 1.0 if self.scale is None else size[0] * self.scale / mark[0]
        factor = min(wanted, room[0] / mark[0], room[1] / mark[1])
        made = max(1, round(mark[0] * factor)), max(1, round(mark[1] * factor))
        left, top = placed(made, room, self.gravity)
        return made, (margin + int(left), margin + int(top))


class Convert(Operation, frozen=True):
    """Write the image in another format or quality."""


class Optimize(Operation, frozen=True):
    """Write the image as small as the encoder can make it at this quality, however long that takes."""

    thorough: ClassVar[bool] = True


class Strip(Operation, frozen=True):
    """Write the image without EXIF data, location, comments, thumbnails and colour profile (its colours stay right)."""


OPERATIONS: dict[str, type[Operation]] = {
    "resize": Resize,
    "thumbnail": Thumbnail,
    "crop": Crop,
    "rotate": Rotate,
    "flip": Flip,
    "grayscale": Grayscale,
    "convert": Convert,
    "blur": Blur,
    "sharpen": Sharpen,
    "optimize": Optimize,
    "strip": Strip,
    "pad": Pad,
    "border": Border,
    "adjust": Adjust,
    "watermark": Watermark,
}


def parse(name: object, parameters: dict[str, Any]) -> Operation:
    """Return an operation with its parameters, checked.

    Raises:
        BadOperation: no operation has this name, or a parameter is unknown, missing or out of its range.
    """
    kind = OPERATIONS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise BadOperation(f"unknown operation {name!r}", hint=f"Operations are: {', '.join(OPERATIONS)}.")
    _check_words(str(name), kind, parameters)
    try:
        return convert(parameters, kind)
    except ValidationError as error:
        raise BadOperation(f"{name}: {_readable(str(error))}", hint=_parameters(str(name), kind)) from None


def _check_words(operation: str, kind: type[Operation], parameters: dict[str, Any]) -> None:
    """Refuse what is none of the words that a parameter takes, in a sentence that has them all."""
    for name in kind.__struct_fields__:
        value, words = parameters.get(name), _words(kind).get(name)
        if words and name in parameters and value not in words:
            what = f"{operation}: {name}: expected one of {', '.join(words)}, not {value!r}"
            raise BadOperation(what, hint=_parameters(operation, kind))
        if name in _COLOURS and value is not None:
            rgba(value, f"{operation}: {name}: ")


@functools.cache
def _words(kind: type[Operation]) -> dict[str, tuple[str, ...]]:
    """Parameter -> the words of which it takes one."""
    return {name: get_args(hint) for name, hint in get_type_hints(kind).items() if get_origin(hint) is Literal}


def _readable(message: str) -> str:
    what, _, path = message.rpartition(" - at `$.")
    message = f"{path.rstrip('`')}: {what[:1].lower()}{what[1:]}" if what else message
    return message.replace("Object contains unknown field", "it takes no").replace("Object missing required field", "it needs")


def _parameters(name: str, kind: type[Operation]) -> str:
    names = kind.__struct_fields__
    return f"Parameters of {name} are: {', '.join(names)}." if names else f"{name} takes no parameters."
