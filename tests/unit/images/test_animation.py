"""Animations keep moving where the target can, and stand still where it cannot."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image, ImageDraw

from streamq.config.schema import Limits
from streamq.images.errors import BadImage
from tests.unit.images.pictures import difference, encoded, made, photo

DURATIONS = [100, 250, 400]
#: Format -> how it writes that an animation plays three times.
THRICE = {"GIF": 2, "WEBP": 3, "PNG": 3}


def frames(*, clear: bool) -> list[Image.Image]:
    """Three pictures that differ; a hole wanders through the clear ones."""
    pictures = []
    for number in range(3):
        picture = photo("coffee").resize((150, 100)).rotate(number * 120)
        if clear:
            picture = picture.convert("RGBA")
            ImageDraw.Draw(picture).rectangle((number * 50, 0, number * 50 + 30, 60), fill=(0, 0, 0, 0))
        pictures.append(picture)
    return pictures


def moving(kind: str, *, clear: bool = False, **options: Any) -> bytes:
    """An animation of three frames."""
    first, *rest = frames(clear=clear)
    options = {"duration": DURATIONS} | ({"quality": 95} if kind in ("WEBP", "AVIF") else {}) | options
    return encoded(first, kind, save_all=True, append_images=rest, **options)


def unrolled(image: Image.Image) -> tuple[list[Image.Image], list[int]]:
    """The frames of a result, composed, and their durations."""
    pictures, durations = [], []
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        image.load()
        pictures.append(image.convert("RGBA"))
        durations.append(round(image.info.get("duration") or 0))
    return pictures, durations


@pytest.mark.parametrize("clear", [False, True], ids=["opaque", "clear"])
@pytest.mark.parametrize("source", ["GIF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("target", ["gif", "webp", "png", "avif"])
def test_an_animation_stays_one(source: str, target: str, *, clear: bool) -> None:
    """Every frame is changed, and shown as long as before; holes stay holes and nothing shines through them."""
    disposal = {"disposal": 2} if source == "GIF" else {}
    result = made(moving(source, clear=clear, **disposal), operation="thumbnail", width=75, format=target, quality=95)
    pictures, durations = unrolled(result)
    assert durations == DURATIONS
    for picture, original in zip(pictures, frames(clear=clear), strict=True):
        small = original.convert("RGBA").resize((75, 50), Image.Resampling.LANCZOS)
        alpha = picture.getchannel("A")
        assert difference(alpha.convert("L"), small.getchannel("A").convert("L")) < 25
        white, expected = Image.new("RGBA", (75, 50), "white"), Image.new("RGBA", (75, 50), "white")
        assert difference(Image.alpha_composite(white, picture), Image.alpha_composite(expected, small)) < 25


@pytest.mark.parametrize("source", THRICE)
@pytest.mark.parametrize("target", THRICE)
def test_it_plays_as_often_as_before(source: str, target: str) -> None:
    """A GIF counts repetitions, the others count how often it is shown; 0 is for ever in all of them."""
    result = made(moving(source, loop=THRICE[source]), operation="flip", format=target.lower())
    assert result.info["loop"] == THRICE[target]
    assert made(moving(source, loop=0), operation="flip", format=target.lower()).info["loop"] == 0


def test_a_gif_that_plays_once_does_not_go_on_for_ever() -> None:
    """It says nothing about it; other formats have to say so."""
    assert "loop" not in made(moving("GIF"), operation="flip", format="gif").info
    assert made(moving("GIF"), operation="flip", format="webp").info["loop"] == 1


@pytest.mark.parametrize("target", ["jpeg", "tiff", "bmp", "ppm"])
def test_a_format_without_animation_gets_the_first_frame(target: str) -> None:
    """As it is shown."""
    result = made(moving("PNG"), operation="thumbnail", width=150, format=target)
    assert getattr(result, "n_frames", 1) == 1
    assert difference(result, frames(clear=False)[0]) < 12


def test_one_frame_is_no_animation() -> None:
    """Neither is a picture with a second one beside it that is not shown."""
    still = encoded(photo("coffee"), "GIF")
    assert getattr(made(still, operation="flip", format="gif"), "n_frames", 1) == 1
    with_default = moving("PNG", default_image=True, duration=DURATIONS[1:])
    pictures, durations = unrolled(made(with_default, operation="convert", format="webp", quality=95))
    assert durations == DURATIONS[1:]
    assert difference(pictures[0], frames(clear=False)[1]) < 12


def test_frames_have_limits() -> None:
    """In number, and in pixels together."""
    with pytest.raises(BadImage, match=r"more frames than images\.limits\.frames \(2\)"):
        made(moving("GIF"), Limits(frames=2), operation="flip", format="gif")
    assert made(moving("GIF"), Limits(frames=3), operation="flip", format="gif").n_frames == 3  # type: ignore[attr-defined]
    with pytest.raises(BadImage, match="more pixels together"):
        made(moving("GIF"), Limits(pixels=30_000), operation="flip", format="gif")
    made(moving("GIF"), Limits(pixels=30_000), operation="thumbnail", width=75, format="gif")
    made(moving("GIF"), Limits(frames=1, pixels=30_000), operation="flip", format="jpeg")


def test_a_broken_frame_is_a_broken_file() -> None:
    """Though the first one is whole."""
    data = moving("GIF")
    with pytest.raises(BadImage, match="source x is broken"):
        made(data[: int(len(data) * 0.8)], operation="flip", format="gif")
