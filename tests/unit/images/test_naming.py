"""The names of results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamq.config.schema import Produce
from streamq.images import naming
from streamq.images.errors import BadOperation
from streamq.images.roots import Roots
from streamq.images.work import plan

DEFAULT = Produce().name


@pytest.mark.parametrize(
    ("source", "arguments", "expected"),
    [
        ("2026/may/a.jpg", {"operation": "resize", "width": 1200, "height": 800}, "2026/may/a_resize_1200x800.jpg"),
        ("a.jpg", {"operation": "resize", "width": 1200}, "a_resize_1200x.jpg"),
        ("a.jpg", {"operation": "thumbnail"}, "a_thumbnail_256x256.jpg"),
        ("a.jpeg", {"operation": "grayscale"}, "a_grayscale.jpeg"),
        ("a.JPG", {"operation": "flip"}, "a_flip.jpg"),
        ("a.jpg", {"format": "webp"}, "a_convert.webp"),
        ("noext", {"operation": "flip"}, "noext_flip.jpg"),
        ("b/{stem}.png", {"operation": "flip"}, "b/{stem}_flip.png"),
        (
            "a.png",
            {"steps": [{"operation": "crop", "width": 9, "height": 9}, {"operation": "flip"}]},
            "a_crop-flip_9x9.png",
        ),
    ],
)
def test_the_default_mirrors_the_source_and_tells_operation_and_size(
    source: str, arguments: dict[str, Any], expected: str
) -> None:
    """A field that is empty takes its separator along."""
    assert naming.output_name(DEFAULT, source, plan({"source": source} | arguments)) == expected


def test_the_hash_tells_different_work_apart() -> None:
    """Equal work on equal sources has equal digits."""
    names = {
        naming.output_name("{stem}-{hash8}.{ext}", "a.jpg", plan({"source": "a.jpg", "operation": "rotate", "angle": angle}))
        for angle in (10, 20, 10)
    }
    assert len(names) == 2


@pytest.mark.parametrize(
    "template", ["{date}.jpg", "{stem", "{stem!r}.jpg", "{stem:>9}", "{0}", "{}", "../{stem}", "/out/{stem}", "{dir}/"]
)
def test_a_template_that_names_no_file_below_the_folder_is_refused(template: str) -> None:
    """Before anything is sent."""
    with pytest.raises(BadOperation, match="name template"):
        naming.check(template)


def test_a_name_that_no_file_system_takes_is_refused() -> None:
    """At most 255 bytes."""
    source = "ä" * 130 + ".jpg"
    with pytest.raises(BadOperation, match="longer than 255 bytes"):
        naming.output_name(DEFAULT, source, plan({"source": source, "operation": "flip"}))


def test_sender_and_worker_make_the_same_path(tmp_path: Path) -> None:
    """It is relative to the first root, below the output folder."""
    roots = Roots([tmp_path], tmp_path)
    source = roots.source("in/a.jpg")
    path = naming.output_path(roots, "processed", DEFAULT, source, plan({"source": "in/a.jpg", "operation": "flip"}))
    assert path == "processed/in/a_flip.jpg"
    assert roots.target(path).path == tmp_path / path


def test_a_sender_loads_neither_pillow_nor_a_database() -> None:
    """`produce` checks and names with these modules, and starts as fast as Python lets it."""
    code = "import sys, streamq.images.naming; print([name for name in ('PIL', 'sqlite3', 'redis') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
