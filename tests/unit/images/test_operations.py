"""The parameters of operations, and the sizes that they leave."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.images.errors import BadOperation
from streamq.images.geometry import Gravity, scaling
from streamq.images.operations import OPERATIONS, parse, rgba
from streamq.images.work import plan

NO_CORNER = f"expected one of {', '.join(get_args(Gravity))}, not 'corner'"


@pytest.mark.parametrize(
    ("size", "parameters", "expected"),
    [
        ((4000, 3000), {"width": 1200, "height": 800}, (1200, 800)),
        ((4000, 3000), {"width": 1200}, (1200, 900)),
        ((4000, 3000), {"height": 300}, (400, 300)),
        ((4000, 3000), {"width": 400, "height": 400, "fit": "inside"}, (400, 300)),
        ((4000, 3000), {"width": 400, "height": 400, "fit": "outside"}, (533, 400)),
        ((4000, 3000), {"width": 400, "height": 400, "fit": "fill"}, (400, 400)),
        ((4000, 3000), {"width": 400, "height": 400, "fit": "contain"}, (400, 400)),
        ((100, 100), {"width": 200, "height": 50}, (100, 25)),
        ((100, 100), {"width": 200, "height": 50, "enlarge": True}, (200, 50)),
        ((100, 50), {"width": 1000}, (100, 50)),
        ((100, 50), {"width": 1000, "enlarge": True}, (1000, 500)),
        ((100, 50), {"width": 1000, "height": 20, "fit": "fill"}, (100, 20)),
        ((10000, 1), {"width": 10}, (10, 1)),
    ],
)
def test_resize_leaves_the_size_that_fit_says(
    size: tuple[int, int], parameters: dict[str, Any], expected: tuple[int, int]
) -> None:
    """Without enlarge no pixel is blown up; a cover keeps the wanted ratio then."""
    assert parse("resize", parameters).after(size) == expected


@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    width=st.none() | st.integers(1, 5000),
    height=st.none() | st.integers(1, 5000),
    fit=st.sampled_from(["cover", "contain", "fill", "inside", "outside"]),
    gravity=st.sampled_from(["center", "north", "southeast", "west"]),
    enlarge=st.booleans(),
)
def test_a_scaling_stays_inside_of_the_image(
    size: tuple[int, int], width: int | None, height: int | None, fit: Any, gravity: Any, *, enlarge: bool
) -> None:
    """Whatever is asked for, the box lies in the image and the result has at least one pixel."""
    if width is None and height is None:
        return
    (left, top, right, bottom), result = scaling(size, width, height, fit, gravity, enlarge=enlarge)
    assert 0 <= left < right <= size[0] + 1e-6
    assert 0 <= top < bottom <= size[1] + 1e-6
    assert min(result) >= 1
    if not enlarge:
        assert result[0] <= size[0]
        assert result[1] <= size[1]


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("thumbnail", {}, (256, 192)),
        ("thumbnail", {"width": 100, "height": 30}, (40, 30)),
        ("crop", {"width": 300}, (300, 600)),
        ("crop", {"width": 9000, "height": 100}, (800, 100)),
        ("crop", {"box": [700, 500, 900, 900]}, (100, 100)),
        ("rotate", {"angle": 90}, (600, 800)),
        ("rotate", {"angle": -270}, (600, 800)),
        ("rotate", {"angle": 45, "expand": False}, (800, 600)),
        ("flip", {}, (800, 600)),
        ("pad", {"width": 1000}, (1000, 600)),
        ("border", {"thickness": 5}, (810, 610)),
        ("watermark", {"mark": "a.png"}, (800, 600)),
    ],
)
def test_each_operation_tells_the_size_it_leaves(name: str, parameters: dict[str, Any], expected: tuple[int, int]) -> None:
    """The size is known before the work is done."""
    assert parse(name, parameters).after((800, 600)) == expected


@pytest.mark.parametrize(
    ("name", "parameters", "reason"),
    [
        ("resise", {}, "unknown operation 'resise'"),
        ("resize", {}, "resize needs a width, a height, or both"),
        ("resize", {"width": 0}, "resize: width: expected `int` >= 1"),
        ("resize", {"width": "12"}, "resize: width: expected `int | null`, got `str`"),
        (
            "resize",
            {"width": 1, "fit": "squeeze"},
            "resize: fit: expected one of cover, contain, fill, inside, outside, not 'squeeze'",
        ),
        ("resize", {"width": 1, "angle": 3}, "resize: it takes no `angle`"),
        ("resize", {"width": 1, "background": "mauve"}, "resize: background: 'mauve' is no colour"),
        ("rotate", {}, "rotate: it needs `angle`"),
        ("crop", {}, "crop needs either a box or a width and a height"),
        ("crop", {"box": [1, 1, 5, 5], "width": 4}, "crop needs either a box or a width and a height"),
        ("crop", {"box": [5, 5, 5, 9]}, "crop: box [5, 5, 5, 9] is empty"),
        ("border", {"thickness": -1}, "border: thickness: expected `int` >= 1"),
        ("blur", {"radius": 1e9}, "blur: radius: expected `float` <= 250.0"),
        ("watermark", {}, "watermark: it needs `mark`"),
        ("watermark", {"mark": ""}, "watermark: mark: expected `str` of length >= 1"),
        ("watermark", {"mark": "a.png", "opacity": 1.5}, "watermark: opacity: expected `float` <= 1.0"),
        ("watermark", {"mark": "a.png", "scale": 0}, "watermark: scale: expected `float` > 0.0"),
        ("watermark", {"mark": "a.png", "margin": -1}, "watermark: margin: expected `int` >= 0"),
        ("watermark", {"mark": "a.png", "gravity": "corner"}, f"watermark: gravity: {NO_CORNER}"),
        ("crop", {"width": 9, "gravity": "corner"}, f"crop: gravity: {NO_CORNER}"),
        ("pad", {"width": 9, "gravity": "corner"}, f"pad: gravity: {NO_CORNER}"),
        ("flip", {"direction": ["both"]}, "flip: direction: expected one of horizontal, vertical, both, not ['both']"),
        ("flip", {"direction": None}, "flip: direction: expected one of horizontal, vertical, both, not None"),
        ("border", {"color": "mauve"}, "border: color: 'mauve' is no colour"),
        ("border", {"color": 5}, "border: color: 5 is no colour"),
        ("strip", {"width": 3}, "strip: it takes no `width`"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(name: str, parameters: dict[str, Any], reason: str) -> None:
    """The error names operation and parameter."""
    with pytest.raises(BadOperation) as raised:
        parse(name, parameters)
    assert reason in raised.value.what


def test_a_crop_outside_of_the_image_is_refused() -> None:
    """Its box is only known to be wrong when the image is known."""
    with pytest.raises(BadOperation, match="lies outside of the image of 100x100"):
        parse("crop", {"box": [100, 0, 200, 50]}).after((100, 100))


@pytest.mark.parametrize(
    ("colour", "expected"),
    [("#fc0", (255, 204, 0, 255)), ("#FFCC00", (255, 204, 0, 255)), ("#ffcc0080", (255, 204, 0, 128)), ("white", (255,) * 4)],
)
def test_colours_are_written_as_in_css(colour: str, expected: tuple[int, ...]) -> None:
    """Three, six or eight digits, or a name."""
    assert rgba(colour) == expected


@pytest.mark.parametrize("colour", ["#ff", "ffcc00", "#ggg", ""])
def test_what_is_no_colour_is_refused(colour: str) -> None:
    """With an example of one."""
    with pytest.raises(BadOperation, match="no colour"):
        rgba(colour)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "no operation is named"),
        ({"operation": "flip", "steps": [{"operation": "flip"}]}, "steps and operation cannot stand together"),
        ({"steps": [{"operation": "flip"}], "width": 3}, "steps and width cannot stand together"),
        ({"steps": []}, "steps is a list of operations"),
        ({"steps": [{"operation": "flip"}, {"operation": "flop"}]}, "step 2: unknown operation 'flop'"),
        ({"steps": [{"operation": "flip"}] * 33}, "at most 32 steps"),
        ({"operation": "flip", "format": "pdf"}, "unknown format 'pdf'"),
        ({"operation": "flip", "format": 5}, "unknown format 5"),
        ({"operation": "flip", "output": 5}, "output is a path, not 5"),
        ({"operation": ["flip"]}, "unknown operation ['flip']"),
        ({"operation": "border", "background": 5}, "background: 5 is no colour"),
        (
            {"steps": [{"operation": "flip"}, {"operation": "pad", "width": 1, "gravity": "corner"}]},
            f"step 2: pad: gravity: {NO_CORNER}",
        ),
        ({"operation": "flip", "output": "a.svg"}, "stands for no format"),
        ({"operation": "flip", "output": "a.png", "format": "webp"}, "output a.png does not fit format webp"),
        ({"operation": "flip", "quality": 0}, "quality is a whole number from 1 to 100"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(arguments: dict[str, Any], reason: str) -> None:
    """So a sender can refuse them before they are sent."""
    with pytest.raises(BadOperation) as raised:
        plan({"source": "a.jpg"} | arguments)
    assert reason in raised.value.what


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"source": "a.PNG"}, "png"),
        ({"source": "a"}, "jpeg"),
        ({"source": "a.png", "format": "JPG"}, "jpeg"),
        ({"source": "a.png", "output": "b.tif"}, "tiff"),
        ({"source": "a.png", "output": "b.jpg", "format": "jpeg"}, "jpeg"),
    ],
)
def test_the_format_is_the_named_one_else_the_outputs_else_the_sources(arguments: dict[str, Any], expected: str) -> None:
    """The content of the source does not matter: a sender knows the format too."""
    assert plan({"operation": "flip"} | arguments).format.name == expected


def test_a_format_alone_is_a_conversion() -> None:
    """`{"source": …, "format": "webp"}` is all that a conversion needs."""
    assert plan({"source": "a.jpg", "format": "webp"}).names == ("convert",)


def test_every_operation_of_the_contract_is_there() -> None:
    """Names are fixed."""
    promised = {"resize", "thumbnail", "crop", "rotate", "flip", "grayscale", "convert"}
    cheap = {"blur", "sharpen", "optimize", "strip", "pad", "border", "adjust", "watermark"}
    assert set(OPERATIONS) == promised | cheap
