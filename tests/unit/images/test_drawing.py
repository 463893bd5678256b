"""What each operation does to the pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from streamq.config.schema import Limits
from streamq.images.formats import FORMATS
from streamq.images.pipeline import make
from streamq.images.work import plan
from tests.unit.images.pictures import difference, encoded, made, photo


@pytest.fixture(scope="module")
def data() -> bytes:
    """A photograph without losses."""
    return encoded(photo("chelsea"), "PNG")


@pytest.fixture(scope="module")
def cat() -> Image.Image:
    """The same, decoded: 451x300."""
    return photo("chelsea")


def test_turns_and_mirrors_lose_nothing(data: bytes, cat: Image.Image) -> None:
    """Quarter turns are clockwise."""
    assert difference(made(data, operation="rotate", angle=90), cat.transpose(Image.Transpose.ROTATE_270)) == 0
    assert difference(made(data, operation="rotate", angle=-90), cat.transpose(Image.Transpose.ROTATE_90)) == 0
    assert difference(made(data, operation="rotate", angle=180), cat.transpose(Image.Transpose.ROTATE_180)) == 0
    assert difference(made(data, operation="rotate", angle=360), cat) == 0
    assert difference(made(data, operation="flip"), ImageOps.mirror(cat)) == 0
    assert difference(made(data, operation="flip", direction="vertical"), ImageOps.flip(cat)) == 0
    assert difference(made(data, operation="flip", direction="both"), cat.transpose(Image.Transpose.ROTATE_180)) == 0


def test_a_free_angle_leaves_transparent_corners_or_the_background(data: bytes) -> None:
    """And in a JPEG, the background of the task."""
    turned = made(data, operation="rotate", angle=30)
    assert turned.mode == "RGBA"
    assert turned.width > 451
    assert turned.getpixel((0, 0)) == (0, 0, 0, 0)
    assert made(data, operation="rotate", angle=30, background="red").getpixel((0, 0)) == (255, 0, 0)
    assert made(data, operation="rotate", angle=30, format="bmp", background="blue").getpixel((0, 0)) == (0, 0, 255)
    assert made(data, operation="rotate", angle=30, format="bmp").getpixel((0, 0)) == (255, 255, 255)
    assert made(data, operation="rotate", angle=90, expand=False).size == (451, 300)


def test_crops_are_cut_where_they_should_be(data: bytes, cat: Image.Image) -> None:
    """By box and by gravity."""
    assert difference(made(data, operation="crop", box=[10, 20, 110, 90]), cat.crop((10, 20, 110, 90))) == 0
    assert (
        difference(made(data, operation="crop", width=100, height=50, gravity="southeast"), cat.crop((351, 250, 451, 300))) == 0
    )
    assert difference(made(data, operation="crop", width=101), cat.crop((175, 0, 276, 300))) == 0


def test_contain_and_pad_lay_the_picture_on_a_canvas(data: bytes, cat: Image.Image) -> None:
    """Transparent where no background is named; the picture itself is whole."""
    padded = made(data, operation="pad", width=551, height=300, background="#00ff00")
    assert difference(padded.crop((50, 0, 501, 300)), cat) == 0
    assert padded.getpixel((0, 0)) == (0, 255, 0)
    contained = made(data, operation="resize", width=300, height=300, fit="contain")
    assert contained.size == (300, 300)
    assert contained.getpixel((0, 0)) == (0, 0, 0, 0)
    assert contained.getpixel((150, 150))[3] == 255  # type: ignore[index]
    top = made(data, operation="resize", width=300, height=300, fit="contain", gravity="north", background="white")
    assert top.getpixel((150, 299)) == (255, 255, 255)


def test_half_transparent_colours_are_laid_under_the_picture(cat: Image.Image) -> None:
    """Also where the picture itself has holes."""
    holed = cat.convert("RGBA")
    holed.paste((0, 0, 0, 0), (0, 0, 20, 20))
    bordered = made(encoded(holed, "PNG"), operation="border", thickness=5, color="#ff0000")
    assert bordered.size == (461, 310)
    assert bordered.getpixel((10, 10)) == bordered.getpixel((0, 0)) == (255, 0, 0, 255)


def test_gray_stays_gray_and_gives_way_to_colour(cat: Image.Image) -> None:
    """A coloured border makes a gray picture a coloured one."""
    gray = encoded(cat.convert("L"), "PNG")
    assert made(gray, operation="border", color="black").mode == "L"
    assert made(gray, operation="border", color="red").getpixel((0, 0)) == (255, 0, 0)
    assert made(encoded(cat, "PNG"), operation="grayscale").mode == "L"
    assert made(encoded(cat.convert("RGBA"), "PNG"), operation="grayscale").mode == "LA"


def detail(image: Image.Image) -> float:
    """How much the edges of a picture vary."""
    return float(np.asarray(image.convert("L").filter(ImageFilter.FIND_EDGES)).std())


def test_filters_do_what_they_are_named_after(data: bytes, cat: Image.Image) -> None:
    """Blurring takes detail away, sharpening adds to it, a factor of one changes nothing."""
    assert detail(made(data, operation="blur", radius=3)) < detail(cat) / 2
    assert detail(made(data, operation="sharpen", amount=200)) > detail(cat) * 1.3
    assert difference(made(data, operation="adjust"), cat) == 0
    bright, flat = made(data, operation="adjust", brightness=1.3), made(data, operation="adjust", contrast=0.5)
    assert np.asarray(bright).mean() > np.asarray(cat).mean() * 1.2
    assert np.asarray(flat).std() < np.asarray(cat).std() * 0.6
    gray = made(data, operation="adjust", saturation=0)
    assert np.ptp(np.asarray(gray).astype(int), axis=2).max() <= 1
    clear = made(encoded(cat.convert("RGBA"), "PNG"), operation="adjust", brightness=0)
    assert clear.getpixel((5, 5)) == (0, 0, 0, 255)


def test_steps_run_in_order(data: bytes, cat: Image.Image) -> None:
    """A crop before a turn is another picture than after it."""
    crop, turn = {"operation": "crop", "box": [0, 0, 100, 50]}, {"operation": "rotate", "angle": 90}
    assert difference(made(data, steps=[crop, turn]), cat.crop((0, 0, 100, 50)).transpose(Image.Transpose.ROTATE_270)) == 0
    assert difference(made(data, steps=[turn, crop]), cat.transpose(Image.Transpose.ROTATE_270).crop((0, 0, 100, 50))) == 0


@pytest.mark.parametrize("target", ["jpeg", "webp", "avif"])
def test_quality_changes_the_size_of_a_file_and_about_what_it_looks_like(target: str, cat: Image.Image) -> None:
    """One number for all formats: at 80 they are all close to the original, at 20 all smaller and further away."""
    good, poor = (made(encoded(cat, "PNG"), operation="convert", format=target, quality=quality) for quality in (80, 20))
    assert difference(good, cat) < 6 < difference(poor, cat) + 2
    assert difference(good, cat) < difference(poor, cat)


@pytest.mark.parametrize("target", FORMATS)
def test_the_same_picture_gives_the_same_bytes(target: str, data: bytes) -> None:
    """So a repeated task leaves what the first one left."""
    one, other = (made(data, operation="thumbnail", format=target) for _ in range(2))
    assert one.tobytes() == other.tobytes()


def test_optimize_makes_files_smaller_or_leaves_them() -> None:
    """It takes its time."""
    data = encoded(photo("coffee"), "PNG")
    for target in ("png", "webp"):
        sizes = [
            len(make(io.BytesIO(data), len(data), plan({"source": "x", "operation": each, "format": target}), Limits(), "x").data)
            for each in ("convert", "optimize")
        ]
        assert sizes[1] <= sizes[0]
