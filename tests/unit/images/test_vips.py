"""libvips in Pillow's place: the same pictures, limits and errors, whatever is asked for; and who makes what."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, BinaryIO

import numpy as np
import pytest
import pyvips  # type: ignore[import-untyped]
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngImageFile

from streamq.config.schema import Limits
from streamq.images import vips
from streamq.images.errors import BadImage
from streamq.images.formats import FORMATS
from streamq.images.geometry import Scaling, whole
from streamq.images.pipeline import make
from streamq.images.work import plan
from tests.unit.images.pictures import STORED, difference, encoded, lying, made, photo
from tests.unit.images.test_decoding import in_mode, profile, wide_gamut

THREE: list[tuple[str, dict[str, Any]]] = [("JPEG", {"quality": 92}), ("PNG", {"compress_level": 1}), ("WEBP", {"quality": 92})]


class Noting:
    """Scales by libvips, and notes of each picture whether it did."""

    def __init__(self) -> None:
        self.did: list[bool] = []
        self._scaled = vips.scaled

    def __call__(self, image: Image.Image, stream: BinaryIO, size: int, scaling: Scaling) -> Image.Image | None:
        """What libvips makes, or None."""
        result = self._scaled(image, stream, size, scaling)
        self.did.append(result is not None)
        return result


@cache
def large(name: str = "astronaut") -> Image.Image:
    """A photograph with more pixels than the package's own; nobody changes it."""
    return photo(name).resize((1501, 1003), Image.Resampling.LANCZOS)


@cache
def large_as(kind: str, **options: Any) -> bytes:
    """Its file in a format, made once."""
    return encoded(large(), kind, **options)


def both(data: bytes, *, by_vips: bool = True, **arguments: Any) -> tuple[Image.Image, Image.Image]:
    """What Pillow makes, and what is made where libvips is asked first."""
    noting = Noting()
    results = made(data, **arguments), made(data, scaler=noting, **arguments)
    assert noting.did == [by_vips]
    return results


@pytest.mark.parametrize(("kind", "options"), THREE, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("width", [30, 200, 500, 900, 1400])
def test_a_thumbnail_looks_as_pillow_makes_it(kind: str, options: dict[str, Any], width: int) -> None:
    """Of every size: decoded whole, at a half, a quarter and an eighth, none of which are whole pixels here."""
    one, other = both(large_as(kind, **options), operation="thumbnail", width=width)
    assert one.size == other.size
    assert one.mode == other.mode
    assert difference(one, other) < 5


@pytest.mark.parametrize("target", FORMATS)
def test_every_format_is_written_from_it(target: str) -> None:
    """By Pillow, as ever."""
    one, other = both(large_as("JPEG"), operation="thumbnail", width=300, format=target, quality=95)
    assert one.format == other.format
    assert difference(one, other) < 6


@pytest.mark.parametrize(("kind", "options"), THREE, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("orientation", STORED)
def test_a_cut_is_where_pillow_makes_it(kind: str, options: dict[str, Any], orientation: int) -> None:
    """However the camera was held."""
    data = lying(large("rocket"), orientation, kind, **options)
    for gravity in ("northeast", "southwest", "center"):
        one, other = both(data, operation="resize", width=150, height=350, gravity=gravity)
        assert one.size == other.size == (150, 350)
        assert difference(one, other) < 5, gravity


@pytest.mark.parametrize("fit", ["cover", "contain", "fill", "inside", "outside"])
def test_every_fit_is_pillows(fit: str) -> None:
    """Stretched, cut, and on a canvas; further steps follow."""
    steps = [{"operation": "resize", "width": 300, "height": 400, "fit": fit}, {"operation": "flip"}]
    one, other = both(large_as("JPEG", quality=95), steps=steps)
    assert one.size == other.size
    assert difference(one, other) < 4


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "L"), ("PNG", "LA"), ("PNG", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGB"), ("WEBP", "RGBA")]
)
def test_gray_and_transparent_pictures_are_pillows(kind: str, mode: str) -> None:
    """Transparent pixels lend their colour to nobody."""
    options = {"lossless": True} if kind == "WEBP" else {}
    one, other = both(encoded(in_mode(mode), kind, **options), operation="thumbnail", width=150)
    assert one.mode == other.mode == mode
    white = Image.new("RGBA", one.size, "white")
    assert difference(Image.alpha_composite(white, one.convert("RGBA")), Image.alpha_composite(white, other.convert("RGBA"))) < 4
    if mode == "RGBA":
        assert difference(one.getchannel("A").convert("L"), other.getchannel("A").convert("L")) < 4
        disc = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
        ImageDraw.Draw(disc).ellipse((20, 20, 380, 380), fill="white")
        seen = np.asarray(both(encoded(disc, kind, **options), operation="thumbnail", width=50)[1])
        assert seen[seen[..., 3] > 8][:, :3].min() > 235


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_wide_gamut_picture_keeps_its_colours(kind: str) -> None:
    """The profile is applied to what libvips gives, and goes no further."""
    data = encoded(large(), kind, icc_profile=wide_gamut(), **({"compress_level": 1} if kind == "PNG" else {"quality": 95}))
    one, other = both(data, operation="thumbnail", width=200)
    assert difference(one, other) < 5
    assert difference(other, made(large_as(kind), operation="thumbnail", width=200)) > 5
    assert "icc_profile" not in other.info


def test_a_profile_of_gray_is_applied() -> None:
    """As Pillow does it."""
    gray = encoded(large().convert("L"), "PNG", icc_profile=profile("GRAY"), compress_level=1)
    assert difference(*both(gray, operation="thumbnail", width=200)) < 4


@pytest.mark.parametrize("target", ["jpeg", "png", "webp"])
def test_nothing_that_a_file_says_of_itself_is_passed_on(target: str) -> None:
    """No EXIF data, no place, no comment."""
    data = lying(large(), 6, "JPEG", comment=b"secret", xmp=b"<x:xmpmeta/>")
    _, result = both(data, operation="thumbnail", width=200, format=target)
    assert not result.getexif()
    assert not {"comment", "exif", "xmp", "XML:com.adobe.xmp"} & result.info.keys()


def test_a_jpeg_is_progressive() -> None:
    """As from Pillow: it is Pillow that writes it."""
    _, result = both(large_as("PNG"), operation="thumbnail", width=200, format="jpeg")
    assert result.info["progressive"]


def animation() -> bytes:
    """A WebP of two frames."""
    return encoded(photo(), "WEBP", save_all=True, append_images=[photo("coffee").resize(photo().size)])


LEFT: dict[str, Callable[[], bytes]] = {
    "palette": lambda: encoded(in_mode("P"), "PNG"),
    "bits": lambda: encoded(in_mode("I;16"), "PNG"),
    "cmyk": lambda: encoded(in_mode("CMYK"), "JPEG"),
    "transparent colour": lambda: encoded(photo(), "PNG", transparency=(0, 0, 0)),
    "gif": lambda: encoded(photo(), "GIF"),
    "tiff": lambda: encoded(photo(), "TIFF"),
    "bmp": lambda: encoded(photo(), "BMP"),
    "ppm": lambda: encoded(photo(), "PPM"),
    "avif": lambda: encoded(photo(), "AVIF"),
    "animation": animation,
}


@pytest.mark.parametrize("what", LEFT)
def test_what_libvips_would_read_otherwise_is_left_to_pillow(what: str) -> None:
    """To the byte."""
    one, other = both(LEFT[what](), by_vips=False, operation="thumbnail", width=100, format="jpeg")
    assert one.tobytes() == other.tobytes()


def test_an_enlargement_and_a_large_file_are_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one direction too."""
    data = encoded(photo(), "JPEG")
    both(data, by_vips=False, operation="resize", width=100, height=600, fit="fill", enlarge=True)
    monkeypatch.setattr(vips, "READ_MOST", len(data) - 1)
    both(data, by_vips=False, operation="thumbnail", width=100)


def test_other_operations_first_are_pillows() -> None:
    """It is not even asked."""
    noting = Noting()
    steps = [{"operation": "crop", "width": 300, "height": 300}, {"operation": "thumbnail", "width": 100}]
    made(encoded(photo(), "JPEG"), scaler=noting, steps=steps)
    made(encoded(photo(), "JPEG"), scaler=noting, operation="convert", format="webp")
    assert noting.did == []


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("gravity", ["north", "south"])
def test_a_truncated_file_is_refused_in_pillows_words(kind: str, part: float, gravity: str) -> None:
    """Even where the part that is wanted is there."""
    data = large_as(kind)[: int(len(large_as(kind)) * part)]
    said = []
    for scaler in (None, vips.scaled):
        with pytest.raises(BadImage) as raised:
            made(data, scaler=scaler, operation="resize", width=200, height=20, gravity=gravity)
        said.append(raised.value.what)
    assert said[0] == said[1]


def test_a_picture_beyond_a_limit_is_refused_in_pillows_words() -> None:
    """Before libvips sees it."""
    noting = Noting()
    for limits in (Limits(pixels=1000), Limits(source_bytes=1000), Limits(dimension=10)):
        said = []
        for scaler in (None, noting):
            with pytest.raises(Exception, match=r"images\.limits") as raised:
                made(encoded(photo(), "JPEG"), limits, scaler, operation="thumbnail", width=100)
            said.append(str(raised.value))
        assert said[0] == said[1]
    assert noting.did == []


@pytest.mark.parametrize(
    "data",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
        encoded(Image.new("RGB", (9, 9)), "GIF"),
        encoded(Image.new("RGB", (9, 9)), "TIFF"),
        b"P6 1 1 255\n\0\0\0",
    ],
    ids=["svg", "gif", "tiff", "ppm"],
)
def test_libvips_itself_reads_the_three_formats_only(data: bytes) -> None:
    """Whoever asks it, in a process where it is the backend."""
    with pytest.raises(pyvips.Error):
        pyvips.Image.new_from_buffer(data, "").avg()
    assert pyvips.Image.new_from_buffer(encoded(photo(), "PNG"), "").width == photo().width


def test_one_image_takes_one_thread_and_nothing_is_kept() -> None:
    """There are as many slots as cores; what one task read is no other task's."""
    made(large_as("JPEG"), scaler=vips.scaled, operation="thumbnail", width=100)
    assert pyvips.concurrency_get() == 1
    assert pyvips.cache_get_max() == 0
    assert pyvips.cache_get_size() == 0


def test_many_threads_get_the_same_pixels() -> None:
    """Every time, and on every machine with the same libraries."""
    data = large_as("JPEG")
    with ThreadPoolExecutor(8) as threads:
        results = list(
            threads.map(lambda _: made(data, scaler=vips.scaled, operation="thumbnail", width=300).tobytes(), range(24))
        )
    assert len(set(results)) == 1


def test_a_stream_stays_where_it_was() -> None:
    """Pillow reads on where it had stopped."""
    data = large_as("PNG")
    stream = io.BytesIO(data)
    with Image.open(stream) as image:
        at = stream.tell()
        assert vips.scaled(image, stream, len(data), Scaling(whole(image.size), (10, 10))) is not None
        assert stream.tell() == at
        image.load()


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_png_is_decoded_once_wherever_its_orientation_stands(
    behind: bool,  # noqa: FBT001
    orientation: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the pixels or behind them; only the latter makes Pillow look there."""
    data = lying(large(), orientation, "PNG", compress_level=1)
    if behind:
        at = data.index(b"eXIf") - 4
        piece = data[at : at + 12 + int.from_bytes(data[at : at + 4], "big")]
        data = data.replace(piece, b"").removesuffix(data[-12:]) + piece + data[-12:]
    loaded, load = [], PngImageFile.load_end

    def noted(image: PngImageFile) -> None:
        loaded.append(image)
        load(image)

    monkeypatch.setattr(PngImageFile, "load_end", noted)
    noting = Noting()
    work = plan({"source": "x.ppm", "operation": "thumbnail", "width": 200})
    result = make(io.BytesIO(data), len(data), work, Limits(), "x", noting)
    assert result.size == (200, 134)
    assert noting.did == [True]
    assert len(loaded) == behind
