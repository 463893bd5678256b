"""Watermarks: where they lie, how large they are, what shows through, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from streamq.config import Settings, load
from streamq.config.schema import Limits
from streamq.images import backends, pipeline, vips
from streamq.images.operations import Watermark
from streamq.images.roots import SAMPLES
from streamq.images.tasks import build
from streamq.images.work import plan
from streamq.verdict import Discard
from tests.unit.images.pictures import difference, encoded, photo
from tests.unit.images.test_image_task import run

RED, CLEAR = (255, 0, 0, 255), (0, 0, 0, 0)


def stamped(picture: Image.Image, mark: Image.Image, **arguments: Any) -> Image.Image:
    """A picture with a mark on it, as the pipeline makes it."""
    data = encoded(picture, "PNG")
    work = plan({"source": "a.png", "operation": "watermark", "mark": "mark.png"} | arguments)
    made = pipeline.make(io.BytesIO(data), len(data), work, Limits(), "source a.png", None, {"mark.png": mark})
    return Image.open(io.BytesIO(made.data))


def touched(before: Image.Image, after: Image.Image) -> tuple[int, int, int, int] | None:
    """The box in which two pictures differ."""
    return ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox()


@pytest.mark.parametrize(
    ("parameters", "box"),
    [
        ({}, (80, 90, 100, 100)),
        ({"gravity": "northwest"}, (0, 0, 20, 10)),
        ({"gravity": "center"}, (40, 45, 60, 55)),
        ({"margin": 5}, (75, 85, 95, 95)),
        ({"gravity": "north", "margin": 3}, (40, 3, 60, 13)),
        ({"scale": 0.5}, (50, 75, 100, 100)),
        ({"scale": 0.1, "gravity": "northwest"}, (0, 0, 10, 5)),
        ({"scale": 1, "margin": 10}, (10, 50, 90, 90)),
    ],
)
def test_a_mark_lies_where_it_should(parameters: dict[str, Any], box: tuple[int, int, int, int]) -> None:
    """In its own size or that share of the width; nothing else of the picture changes."""
    white = Image.new("RGB", (100, 100), "white")
    after = stamped(white, Image.new("RGBA", (20, 10), RED), **parameters)
    assert after.mode == "RGB"
    assert touched(white, after) == box
    assert after.getpixel((box[0], box[1])) == (255, 0, 0)


@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    mark=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    gravity=st.sampled_from(["center", "north", "southeast", "west", "northwest"]),
    scale=st.none() | st.floats(0.001, 1),
    margin=st.integers(0, 200),
)
def test_a_mark_never_hangs_over(
    size: tuple[int, int], mark: tuple[int, int], gravity: Any, scale: float | None, margin: int
) -> None:
    """Whatever is asked for, it has a pixel at least and lies inside of the picture."""
    made, (left, top) = Watermark(mark="x", gravity=gravity, scale=scale, margin=margin).laid(size, mark)
    assert min(*made) >= 1
    assert min(left, top) >= 0
    assert left + made[0] <= size[0]
    assert top + made[1] <= size[1]


def test_a_mark_that_is_too_large_is_made_smaller() -> None:
    """The ratio of its sides stays."""
    assert Watermark(mark="x").laid((100, 50), (400, 100)) == ((100, 25), (0, 25))


def test_what_is_transparent_in_a_mark_stays_so() -> None:
    """And its opacity thins the rest."""
    white = Image.new("RGB", (40, 40), "white")
    mark = Image.new("RGBA", (20, 10), CLEAR)
    mark.paste(RED, (0, 0, 10, 10))
    assert touched(white, stamped(white, mark, gravity="northwest")) == (0, 0, 10, 10)
    assert stamped(white, mark, gravity="northwest", opacity=0.4).getpixel((4, 4)) == (255, 153, 153)
    assert touched(white, stamped(white, mark, opacity=0)) is None


@pytest.mark.parametrize(
    ("mode", "mark", "made"),
    [
        ("L", "L", "L"), ("L", "RGBA", "RGB"), ("LA", "LA", "LA"), ("LA", "L", "LA"), ("LA", "RGB", "RGBA"),
        ("RGB", "L", "RGB"), ("RGBA", "LA", "RGBA"), ("RGBA", "RGB", "RGBA"),
    ],
)  # fmt: skip
def test_a_picture_keeps_its_mode_where_that_can_hold_the_mark(mode: str, mark: str, made: str) -> None:
    """A coloured mark makes a grey picture a coloured one; transparency is kept beside it."""
    picture = Image.new(mode, (30, 30), (100, 0) if mode == "LA" else (100, 100, 100, 0) if mode == "RGBA" else "gray")
    after = stamped(picture, Image.new(mark, (10, 10), "white"), gravity="northwest")
    assert after.mode == made
    assert after.convert("RGBA").getpixel((5, 5)) == (255, 255, 255, 255)
    if mode in ("LA", "RGBA"):
        assert after.getchannel("A").getpixel((20, 20)) == 0


def test_every_frame_of_an_animation_gets_it() -> None:
    """And the durations stay."""
    frames = [Image.new("RGB", (30, 30), colour) for colour in ("white", "black", "blue")]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=[50, 60, 70], lossless=True)
    work = plan({"source": "a.webp", "operation": "watermark", "mark": "m", "format": "png"})
    mark = {"m": Image.new("RGB", (10, 10), "red")}
    moving: Any = Image.open(io.BytesIO(pipeline.make(io.BytesIO(data), len(data), work, Limits(), "a", None, mark).data))
    assert moving.n_frames == 3
    for index in range(3):
        moving.seek(index)
        assert moving.convert("RGB").getpixel((25, 25)) == (255, 0, 0)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a photograph and a mark."""
    photo().resize((1600, 1200)).save(tmp_path / "a.jpg", quality=95)
    Image.new("RGBA", (64, 32), RED).save(tmp_path / "mark.png")
    return tmp_path


@pytest.fixture
def settings(project: Path) -> Settings:
    """Defaults."""
    return load(cwd=project, environ={})


STEPS: list[dict[str, Any]] = [{"operation": "resize", "width": 400}, {"operation": "watermark", "mark": "mark.png", "margin": 8}]


def carried_out(settings: Settings, **arguments: Any) -> dict[str, Any]:
    """The task `image` as a worker has it."""
    task = build(settings).get("image")
    assert task is not None
    return run(task, **{"source": "a.jpg", "steps": STEPS} | arguments)


def test_the_task_lays_a_file_below_the_roots_on_its_picture(settings: Settings, project: Path) -> None:
    """With its parameters in steps or beside the operation."""
    carried_out(settings, output="out/a.png")
    with Image.open(project / "out/a.png") as made:
        assert made.size == (400, 300)
        assert made.getpixel((380, 280)) == (255, 0, 0)
        assert made.getpixel((395, 295)) != (255, 0, 0)
    flat = {"operation": "watermark", "mark": "mark.png", "gravity": "north", "opacity": 1, "scale": 0.1, "margin": 0}
    carried_out(settings, output="out/b.png", steps=None, **flat)
    with Image.open(project / "out/b.png") as made:
        assert made.getpixel((800, 40)) == (255, 0, 0)


def test_both_backends_lay_it_on(settings: Settings, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libvips scales the picture before, Pillow draws the mark."""
    carried_out(settings, output="out/pillow.png")
    monkeypatch.setattr(backends, "scaler", lambda _: vips.scaled)
    carried_out(settings, output="out/vips.png")
    with Image.open(project / "out/pillow.png") as one, Image.open(project / "out/vips.png") as other:
        assert difference(one, other) < 2
        assert other.getpixel((380, 280)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("mark", "what"),
    [
        ("../outside.png", "watermark ../outside.png lies outside of the image roots"),
        ("folder", "watermark folder is a folder, no ordinary file"),
        ("broken.png", "watermark broken.png is no image"),
        ("huge.png", "watermark huge.png has 3000x3000 pixels, more than images.limits.pixels"),
        ("link.png", "lies outside of the image roots"),
    ],
)
def test_a_mark_is_read_as_carefully_as_a_source(settings: Settings, project: Path, mark: str, what: str) -> None:
    """Trying again would not help, so it is tried once."""
    (project / "folder").mkdir()
    (project / "broken.png").write_bytes(b"no image")
    Image.new("1", (3000, 3000)).save(project / "huge.png")
    (project / "link.png").symlink_to("/etc/hostname")
    images = msgspec.structs.replace(settings.images, limits=msgspec.structs.replace(settings.images.limits, pixels=5_000_000))
    with pytest.raises(Discard) as raised:
        carried_out(msgspec.structs.replace(settings, images=images), steps=[{"operation": "watermark", "mark": mark}])
    assert what in str(raised.value)


def test_a_mark_that_is_missing_may_come(settings: Settings) -> None:
    """As a source that is: the task is tried again."""
    with pytest.raises(FileNotFoundError, match=r"watermark none\.png"):
        carried_out(settings, steps=[{"operation": "watermark", "mark": "none.png"}])


def test_a_sample_may_be_a_mark(settings: Settings, project: Path) -> None:
    """The samples of the package are a root, always."""
    mark = str(next(iter(sorted(SAMPLES.glob("*.jpg")))))
    assert carried_out(settings, output="out/s.png", steps=[{"operation": "watermark", "mark": mark, "scale": 0.5}])
    assert (project / "out/s.png").exists()
