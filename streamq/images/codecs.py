"""Reading: from an open file to upright sRGB pixels, with nothing decoded that the result does not need.

The header is read first and held against the limits, before a pixel takes memory. A JPEG that is to become much smaller is
decoded at a half, a quarter or an eighth of its size. What a decoder makes of a broken file is one error, `BadImage`; what the
disk does wrong stays an `OSError`. Called by `pipeline` only.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, cast

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError, features

from streamq.config.schema import Limits
from streamq.images import colour
from streamq.images.backends import Scaler
from streamq.images.errors import BadImage, ImageError
from streamq.images.formats import FORMATS
from streamq.images.geometry import Box, Scaling, Size, whole

#: How much larger than the result the decoded image is at least; measured: as good as 2.0, up to 40 % faster.
GAP: Final = 1.5
#: How often a file may be read, and for how many bytes of it once more; large files of real encoders need a tenth of that.
READS_MOST: Final = 100_000
READ_LEAST: Final = 1024
#: Whether three eighths of a JPEG's size can be decoded too; Pillow itself asks for halves, quarters and eighths.
_THIRDS: Final = bool(features.check_feature("libjpeg_turbo"))
#: A PNG: its signature in bytes, then chunks: length and name, data, checksum.
_PNG_SIGNATURE: Final = 8
_PNG_CHUNK: Final = struct.Struct(">I4s")
_PNG_CHECKSUM: Final = 4
#: How Pillow names a layout of 16 bits a channel.
_SIXTEEN: Final = re.compile("(I|L|LA|RGB|RGBA|RGBX|CMYK);16[BLN]?$")
_TILE_WIDTH: Final = 322
_TILE_LENGTH: Final = 323
_ALLOWED: Final = tuple(each.pillow for each in FORMATS.values())
_TRANSPOSED: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Frugal:
    """A file that may be read so many times.

    Each chunk, segment or comment is a read at least: a file of nothing else would keep its reader busy for minutes.

    Args:
        stream: the file.
        left: how often it may be read.
        what: what errors call it.
    """

    def __init__(self, stream: BinaryIO, left: int, what: str) -> None:
        self._stream = stream
        self.left = left
        self.what = what
        self.seek, self.tell, self.fileno = stream.seek, stream.tell, stream.fileno

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, or all.

        Raises:
            BadImage: it was read too often.
        """
        self.left -= 1
        if self.left < 0:
            raise BadImage(f"{self.what} is made of too many pieces")
        return self._stream.read(size)

    def close(self) -> None:
        """The file stays its owner's to close."""


class Picture:
    """An opened image file, of which the header was read and found within the limits.

    Args:
        image: as Pillow opened it, nothing decoded.
        file: it, and its size in bytes.
        what: what errors call it.
    """

    def __init__(self, image: ImageFile.ImageFile, file: tuple[BinaryIO, int], what: str) -> None:
        self._image = image
        self._file = file
        self.what = what
        self.orientation = _orientation(image, file[0])
        self.profile: bytes | None = image.info.get("icc_profile")
        #: Upright.
        self.size = _turned(image.size, self.orientation)

    @property
    def can_move(self) -> bool:
        """Whether the file may hold more than one frame of an animation."""
        return self._image.format in ("GIF", "WEBP", "PNG", "AVIF") and getattr(self._image, "is_animated", False)

    @property
    def is_deep(self) -> bool:
        """Whether its file is known to hold more than 8 bits a channel, of which `workable` keeps 8; nothing is decoded yet."""
        layouts = (tile.args if isinstance(tile.args, tuple) else (tile.args,) for tile in self._image.tile)
        return self._image.mode in ("I", "F") or any(_SIXTEEN.match(str(layout[0])) for layout in layouts if layout)

    def seek(self, index: int) -> bool:
        """Go to a frame; return whether there is one."""
        with broken_is_bad(self.what):
            try:
                self._image.seek(index)
            except EOFError:
                return False
        return True

    def check(self, limits: Limits) -> None:
        """Refuse the frame gone to if it is too large; that of a GIF may be larger than the picture.

        Raises:
            BadImage: it is.
        """
        check_size(self._image.size, limits, self.what)

    def frame(self) -> tuple[Image.Image, int]:
        """Return the frame gone to, workable and upright but not yet in sRGB, and its duration in ms (0: it names none)."""
        with broken_is_bad(self.what):
            self._image.load()
            frame = colour.workable(self._image)
        frame = frame.copy() if frame is self._image else frame
        return self.upright(frame), round(self._image.info.get("duration") or 0)

    @property
    def info(self) -> dict[str | tuple[int, int], Any]:
        """What the file says of itself, as Pillow names it."""
        return self._image.info

    @property
    def pillow_format(self) -> str | None:
        """The file's format, as Pillow names it."""
        return self._image.format

    def decode(self, scaling: Scaling | None, scaler: Scaler | None) -> Image.Image:
        """Return the pixels, upright and in sRGB, scaled on the way.

        Args:
            scaling: which part of the upright image becomes how large; None: all of it, as it is.
            scaler: what is asked before Pillow.

        Raises:
            BadImage: the file is broken.
        """
        with broken_is_bad(self.what):
            if scaling is not None and scaling.changes(self.size):
                lying = Scaling(_laid(scaling.box, self.size, self.orientation), _turned(scaling.size, self.orientation))
                image = (scaler and scaler(self._image, *self._file, lying)) or _scaled(self._image, lying)
            else:
                self._image.load()
                image = colour.workable(self._image)
        return colour.to_srgb(self.upright(image), self.profile)

    def upright(self, image: Image.Image) -> Image.Image:
        """Return a stored image the way it is to be seen."""
        turn = _TRANSPOSED.get(self.orientation)
        return image if turn is None else image.transpose(turn)


@contextmanager
def opened(stream: BinaryIO, size: int, limits: Limits, what: str) -> Iterator[Picture]:
    """Open an image, check its header against the limits, and yield it.

    Args:
        stream: the file, at its beginning; it stays the caller's to close.
        size: its size in bytes.
        limits: see `config.schema.Limits`.
        what: what errors call it.

    Raises:
        BadImage: it is no image of an allowed format, its header is broken, or it is beyond a limit.
        OSError: the disk failed: trying again may help.
    """
    if size == 0:
        raise BadImage(f"{what} is empty")
    if size > limits.source_bytes:
        raise BadImage(f"{what} has {size} bytes, more than images.limits.source_bytes ({limits.source_bytes})")
    frugal = Frugal(stream, READS_MOST + size // READ_LEAST, what)
    with broken_is_bad(what):
        image = Image.open(cast("BinaryIO", frugal), formats=_ALLOWED)
    if image.format == "BMP":  # whose packed pixels Pillow reads byte by byte
        frugal.left = size
    with image:
        check_size(image.size, limits, what)
        _check_tile(image, limits, what)
        yield Picture(image, (stream, size), what)


@contextmanager
def broken_is_bad(what: str) -> Iterator[None]:
    """Turn whatever a decoder makes of a broken file into `BadImage`; errors of the disk and of memory pass."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImage(f"{what} is no image, or of no format that is read", hint=f"Formats are: {', '.join(FORMATS)}.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # Pillow's bound is ours or wider: see tasks.build
        raise BadImage(
            f"{what} has more pixels than images.limits.pixels allows",
            hint="Raise images.limits.pixels if the file can be trusted.",
        ) from None
    except Exception as error:  # decoders raise what the libraries below them do: SyntaxError, struct.error, zlib.error, ...
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadImage(f"{what} is broken: {str(error) or type(error).__name__}") from error


def check_size(size: Size, limits: Limits, what: str) -> None:
    """Refuse an image that has more pixels than one may have.

    Raises:
        BadImage: it has.
    """
    if size[0] * size[1] > limits.pixels:
        raise BadImage(
            f"{what} has {size[0]}x{size[1]} pixels, more than images.limits.pixels ({limits.pixels})",
            hint="Raise images.limits.pixels if the file can be trusted.",
        )


def _check_tile(image: Image.Image, limits: Limits, what: str) -> None:
    """Refuse a TIFF whose tiles are larger than an image may be, however small its picture is: one is decoded whole."""
    tags = getattr(image, "tag_v2", {})
    sides = [tags.get(number, 1) for number in (_TILE_WIDTH, _TILE_LENGTH)]
    if all(isinstance(side, int) for side in sides):
        check_size((sides[0], sides[1]), limits, f"a tile of {what}")


def _orientation(image: Image.Image, stream: BinaryIO) -> int:
    """How the image lies, 1 to 8 as in EXIF; 1 where nothing readable says so."""
    if image.format == "TIFF":  # Pillow turns these itself while it decodes
        return 1
    try:
        # That of a PNG decodes all pixels first, for what may stand behind them.
        plain = image.format == "PNG" and not _has_more_behind(stream)
        exif = Image.Image.getexif(image) if plain else image.getexif()
        found = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 -- broken EXIF data fails in many ways, and the image is good without it
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1  # noqa: PLR2004


def _has_more_behind(stream: BinaryIO) -> bool:
    """Whether a PNG tells anything behind its pixels, or is made of too many pieces to say; the stream stays where it is."""
    at, has_pixels = stream.tell(), False
    stream.seek(_PNG_SIGNATURE)
    try:
        for _ in range(READS_MOST):
            length, kind = _PNG_CHUNK.unpack(stream.read(_PNG_CHUNK.size).ljust(_PNG_CHUNK.size, b"\0"))
            if kind in (b"IEND", bytes(4)):
                return False
            if has_pixels and kind != b"IDAT":
                return True
            has_pixels |= kind == b"IDAT"
            stream.seek(length + _PNG_CHECKSUM, os.SEEK_CUR)
        return True
    finally:
        stream.seek(at)


def _turned(size: Size, orientation: int) -> Size:
    return (size[1], size[0]) if orientation >= 5 else size  # noqa: PLR2004 -- 5 to 8 lie on their side


def _laid(box: Box, size: Size, orientation: int) -> Box:
    """The box of the stored image that becomes a box of the upright one, whose size is given."""
    left, top, right, bottom = box
    width, height = size
    if orientation in (2, 3, 6, 7):
        left, right = width - right, width - left
    if orientation in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    return (top, left, bottom, right) if orientation >= 5 else (left, top, right, bottom)  # noqa: PLR2004


def _scaled(file: ImageFile.ImageFile, scaling: Scaling) -> Image.Image:
    """Decode and scale in one go, the decoder doing as much of it as it can."""
    box, size = scaling
    across, down = size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1])
    stored = file.size
    needed = math.ceil(stored[0] * across * GAP), math.ceil(stored[1] * down * GAP)
    if (part := _drafted(file, needed)) is not None:
        wide, high = part[2] / stored[0], part[3] / stored[1]
        box = box[0] * wide, box[1] * high, min(box[2] * wide, part[2]), min(box[3] * high, part[3])
    file.load()
    image = colour.workable(file)
    if image.size == size and box == whole(size):
        return image
    return image.resize(size, Image.Resampling.LANCZOS, box, GAP)


def _drafted(image: ImageFile.ImageFile, needed: Size) -> Box | None:
    """Have a JPEG decoded small, but no smaller than needed; return which part of that is the image, None for other formats."""
    stored = image.size
    drafted = image.draft(None, needed)
    if drafted is None:
        return None
    small = -(-stored[0] * 3 // 8), -(-stored[1] * 3 // 8)
    if _THIRDS and image.decoderconfig == (2, 0) and small[0] >= needed[0] and small[1] >= needed[1]:
        # libjpeg-turbo rounds a third up to three eighths, and the size to whole pixels.
        image._size = small  # noqa: SLF001 -- what `draft` itself sets
        image.tile = [image.tile[0]._replace(extents=(0, 0, *small))]
        image.decoderconfig = (3, 0)
        return 0.0, 0.0, stored[0] * 3 / 8, stored[1] * 3 / 8
    return drafted[1]
