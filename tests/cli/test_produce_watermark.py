"""`produce` with a watermark: its file is looked at before anything is sent, and is named so that a worker finds it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.conftest import Program
from tests.cli.test_produce import waiting
from tests.seeds import Seed


def test_the_mark_is_told_as_a_source_is(streamq: Program, seed: Seed) -> None:
    """Relative to the first root, from wherever the command is run."""
    streamq.touch("photos/a.jpg", "logos/mark.png")
    (streamq.folder / "config.yaml").write_text("{}", encoding="utf-8")
    streamq.folder = streamq.folder / "photos"
    ended = streamq(
        *("produce", "a.jpg", "--operation", "watermark", "--mark", "../logos/mark.png"),
        *("--gravity", "north", "--opacity", "0.5", "--scale", "0.2", "--margin", "9"),
    )
    assert ended.status == 0, ended.err
    [args] = waiting(seed)
    assert args.pop("output").endswith("photos/a_watermark.jpg")
    assert args == {
        "source": "photos/a.jpg",
        "operation": "watermark",
        "mark": "logos/mark.png",
        "gravity": "north",
        "opacity": 0.5,
        "scale": 0.2,
        "margin": 9,
    }


@pytest.mark.parametrize("way", ["operation", "steps", "preset"])
@pytest.mark.parametrize(
    ("mark", "why"),
    [
        ("none.png", "No such file or directory"),
        ("folder", "is a folder"),
        ("../outside.png", "lies outside of the image roots"),
    ],
)
def test_a_mark_that_no_worker_could_read_is_wrong_usage(streamq: Program, seed: Seed, mark: str, why: str, way: str) -> None:
    """Exit status 2, and nothing is sent."""
    streamq.touch("a.jpg")
    (streamq.folder / "folder").mkdir()
    (streamq.folder.parent / "outside.png").touch()
    step: dict[str, Any] = {"operation": "watermark", "mark": mark}
    (streamq.folder / "config.yaml").write_text(json.dumps({"images": {"presets": {"card": step}}}), encoding="utf-8")
    asked = {
        "operation": ("--operation", "watermark", "--mark", mark),
        "steps": ("--steps", json.dumps([{"operation": "flip"}, step])),
        "preset": ("--preset", "card"),
    }
    ended = streamq("produce", "a.jpg", *asked[way])
    assert (ended.status, ended.out) == (2, "")
    assert "streamq: error: the watermark " in ended.err
    assert why in ended.err
    assert waiting(seed) == []
