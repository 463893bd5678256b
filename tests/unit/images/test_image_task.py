"""The task `image` from its arguments to the file, the result and the row."""

from __future__ import annotations

import hashlib
import inspect
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import psutil
import pytest
from PIL import Image

from streamq.config import Settings, load
from streamq.config.schema import Limits
from streamq.context import Context
from streamq.errors import InvalidTask, LeaseLost
from streamq.images.catalogue import Catalogue
from streamq.images.geometry import Gravity
from streamq.images.roots import SAMPLES
from streamq.images.tasks import PARAMETERS, build
from streamq.registry import TaskDefinition
from streamq.verdict import Discard, Snooze, decide
from tests.unit.images.pictures import encoded, photo


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one photograph."""
    (tmp_path / "photos").mkdir()
    shutil.copy(SAMPLES / "rocket.jpg", tmp_path / "photos/a.jpg")
    return tmp_path


@pytest.fixture
def settings(project: Path) -> Settings:
    """Defaults."""
    return load(cwd=project, environ={})


@pytest.fixture
def task(settings: Settings) -> TaskDefinition:
    """The task, as a worker has it."""
    definition = build(settings).get("image")
    assert definition is not None
    return definition


@pytest.fixture
def catalogue(settings: Settings) -> Iterator[Catalogue]:
    """The catalogue that the task writes to."""
    opened = Catalogue.of(settings)
    yield opened
    opened.close()


def context(number: int = 1, *, count: int = 1, delivery: int = 1, guard: Callable[[], object] = lambda: None) -> Context:
    """A run of a task."""
    return Context(
        id=f"d{number}-0", task="image", delivery=delivery, max_deliveries=5, worker="worker1", consumer="worker1-x",
        address=f"d{number}-0", count=count, sent_ms=0, fields={}, guard=guard, is_lost=lambda: False,
    )  # fmt: skip


def run(task: TaskDefinition, ctx: Context | None = None, **arguments: Any) -> dict[str, Any]:
    """Send the arguments, take them, carry the task out: the result as it is kept."""
    result = task.dump(task.call(task.decode(task.encode((), arguments)), ctx or context()))
    assert result is not None
    decoded: dict[str, Any] = msgspec.json.decode(result)
    return decoded


def files(project: Path) -> set[str]:
    """Every file of the project outside of the data directory."""
    found = {path.relative_to(project) for path in project.rglob("*") if path.is_file()}
    return {str(path) for path in found if path.parts[0] != ".streamq"}


def test_the_task_of_the_contract_is_carried_out(task: TaskDefinition, project: Path, catalogue: Catalogue) -> None:
    """As `XADD … args '{"source": "photos/a.jpg", "operation": "resize", "width": 1200, "height": 800}'` asks for it."""
    raw = b'{"source": "photos/a.jpg", "operation": "resize", "width": 300, "height": 200}'
    result = msgspec.to_builtins(task.call(task.decode(raw), context()))
    output = project / "processed/photos/a_resize_300x200.jpg"
    content = output.read_bytes()
    elapsed = result.pop("elapsed_ms")
    assert isinstance(elapsed, int)
    assert result == {
        "source": "photos/a.jpg",
        "output": "processed/photos/a_resize_300x200.jpg",
        "format": "jpeg",
        "width": 300,
        "height": 200,
        "bytes": len(content),
        "source_bytes": (project / "photos/a.jpg").stat().st_size,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    with Image.open(output) as image:
        assert (image.format, image.size, image.info["progressive"]) == ("JPEG", (300, 200), 1)
    (row,) = catalogue.rows()
    started, finished = row.pop("started_ms"), row.pop("finished_ms")
    assert 0 < started <= finished
    assert row == result | {"queue": "images", "id": "d1-0", "operation": "resize", "worker": "worker1", "attempts": 1}


def test_the_same_task_twice_leaves_the_same_bytes(task: TaskDefinition, project: Path, catalogue: Catalogue) -> None:
    """And one row, that of the later run."""
    arguments: dict[str, Any] = {"source": "photos/a.jpg", "output": "out/b.webp", "operation": "thumbnail"}
    first = run(task, **arguments)
    second = run(task, context(count=2, delivery=2), **arguments)
    assert first["sha256"] == second["sha256"] == hashlib.sha256((project / "out/b.webp").read_bytes()).hexdigest()
    assert [row["attempts"] for row in catalogue.rows()] == [2]
    assert files(project) == {"photos/a.jpg", "out/b.webp"}


def test_samples_are_read_from_the_package(task: TaskDefinition, project: Path) -> None:
    """Their results lie in the project."""
    result = run(task, source=str(SAMPLES / "chelsea.jpg"), operation="grayscale")
    assert result["output"] == "processed/chelsea_grayscale.jpg"
    assert files(project) == {"photos/a.jpg", "processed/chelsea_grayscale.jpg"}


def test_what_trying_again_would_not_mend_is_discarded_with_the_reason(task: TaskDefinition, project: Path) -> None:
    """After one try; nothing is written and the source is as it was."""
    (project / "broken.jpg").write_bytes((SAMPLES / "rocket.jpg").read_bytes()[:20_000])
    (project / "empty.jpg").touch()
    (project / "page.jpg").write_text("<!doctype html>")
    (project / "out.jpg").symlink_to("/etc/hostname")
    (project / "link.jpg").symlink_to("/etc/hostname")
    os.mkfifo(project / "pipe.jpg")
    before, photograph = files(project), (project / "photos/a.jpg").read_bytes()
    good: dict[str, Any] = {"source": "photos/a.jpg", "operation": "flip"}
    mistakes: dict[str, dict[str, Any]] = {
        "source broken.jpg is broken": {"source": "broken.jpg"},
        "source empty.jpg is empty": {"source": "empty.jpg"},
        "source page.jpg is no image": {"source": "page.jpg"},
        "source pipe.jpg is a pipe": {"source": "pipe.jpg"},
        "source photos is a folder": {"source": "photos"},
        "source link.jpg lies outside": {"source": "link.jpg"},
        "source /etc/passwd lies outside": {"source": "/etc/passwd"},
        "output ../x.jpg lies outside": {"output": "../x.jpg"},
        "output a.jpg is the source itself": {"output": "photos/a.jpg"},
        "output out.jpg is a symbolic link": {"output": "out.jpg"},
        "output x.webp does not fit format png": {"output": "x.webp", "format": "png"},
        "stands for no format": {"output": "x.exe"},
        "unknown operation 'explode'": {"operation": "explode"},
        "flip: it takes no `width`": {"width": 3},
        "crop: box [9000, 0, 9001, 1] lies outside of the image": {"operation": "crop", "box": [9000, 0, 9001, 1]},
        "resize would make": {"operation": "resize", "width": 60_000, "enlarge": True},
    }
    for reason, wrong in mistakes.items():
        with pytest.raises(Discard) as raised:
            run(task, **good | wrong)
        assert reason in raised.value.reason
        verdict = decide(raised.value, deliveries=1, limit=5, backoff=None, retry_on=task.retry_on)  # type: ignore[arg-type]
        assert verdict.kind == "bury"
    assert files(project) == before
    assert (project / "photos/a.jpg").read_bytes() == photograph


def test_what_may_pass_is_tried_again(task: TaskDefinition) -> None:
    """A file that is not there yet, a disk that fails."""
    with pytest.raises(FileNotFoundError, match=r"source photos/later\.jpg") as raised:
        run(task, source="photos/later.jpg", operation="flip")
    assert isinstance(raised.value, task.retry_on)
    assert issubclass(MemoryError, task.retry_on)
    assert not issubclass(ValueError, task.retry_on)


@pytest.mark.parametrize(
    "wrong",
    [
        {"widht": 3},
        {"width": "3"},
        {"width": 0},
        {"fit": "squeeze"},
        {"quality": 101},
        {"box": [1, 2, 3]},
        {"background": "#12"},
        {"source": 3},
    ],
)
def test_arguments_of_the_wrong_name_or_type_are_refused_before_they_are_sent(
    task: TaskDefinition, wrong: dict[str, Any]
) -> None:
    """The signature has every parameter of every operation."""
    with pytest.raises(InvalidTask):
        task.encode((), {"source": "a.jpg", "operation": "resize"} | wrong)


def test_a_word_that_a_parameter_does_not_take_is_answered_with_those_that_it_does(task: TaskDefinition) -> None:
    """The same for a sender and for a task that somebody has added by hand."""
    with pytest.raises(
        InvalidTask, match="task image: fit: invalid enum value 'squeeze', expected one of cover, contain, fill, ins"
    ):
        task.encode(("a.jpg",), {"operation": "resize", "fit": "squeeze"})
    with pytest.raises(InvalidTask, match=f"gravity: invalid enum value 'x', expected one of {', '.join(get_args(Gravity))}$"):
        task.decode(b'{"source": "a.jpg", "operation": "crop", "width": 9, "gravity": "x"}')


def test_the_signature_has_what_the_operations_take(task: TaskDefinition) -> None:
    """Neither more nor less."""
    assert set(inspect.signature(task.function).parameters) - {"ctx"} == PARAMETERS


@pytest.mark.parametrize("calls", [0, 1])
def test_a_run_that_lost_its_lease_writes_neither_file_nor_row(
    task: TaskDefinition, project: Path, catalogue: Catalogue, calls: int
) -> None:
    """It asks before the file gets its name, and before the row."""
    asked = iter(range(3))

    def guard() -> None:
        if next(asked) == calls:
            raise LeaseLost("lost")

    (project / "out.jpg").write_bytes(b"old")
    with pytest.raises(LeaseLost):
        run(task, context(guard=guard), source="photos/a.jpg", output="out.jpg", operation="flip")
    assert ((project / "out.jpg").read_bytes() == b"old") == (calls == 0)
    assert list(catalogue.rows()) == []
    assert files(project) == {"photos/a.jpg", "out.jpg"}


def test_a_catalogue_that_cannot_be_written_puts_tasks_off_without_doing_their_work_again(project: Path) -> None:
    """The first one notices, the next ones do not even begin while the pause lasts."""
    (project / "blocked").write_bytes(b"no database")
    settings = load(cwd=project, environ={}, overrides={"catalogue.url": f"sqlite:///{project}/blocked/catalogue.db"})
    task = build(settings).get("image")
    assert task is not None
    with pytest.raises(Snooze) as first:
        run(task, source="photos/a.jpg", output="one.jpg", operation="flip")
    assert "cannot be written" in first.value.reason
    with pytest.raises(Snooze) as second:
        run(task, source="photos/a.jpg", output="two.jpg", operation="flip")
    assert 0 < second.value.after <= 5
    assert files(project) == {"photos/a.jpg", "blocked", "one.jpg"}


def test_what_a_killed_run_left_is_swept_by_the_next_one(task: TaskDefinition, project: Path) -> None:
    """In the folder of its result."""
    code = "from streamq.images.writing import temporary_name as t; open(t(), 'w').close()"
    (project / "out").mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=project / "out", check=True)
    assert len(files(project)) == 2
    run(task, context(count=2), source="photos/a.jpg", output="out/b.jpg", operation="flip")
    assert files(project) == {"photos/a.jpg", "out/b.jpg"}


def test_a_full_disk_is_tried_again_and_leaves_nothing(task: TaskDefinition, project: Path) -> None:
    """The error names the output. A limit on the size of files stands for the disk."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, limit[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: 'output .*/small/b\.png'") as raised:
            run(task, source="photos/a.jpg", output="small/b.png", operation="flip")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert isinstance(raised.value, task.retry_on)
    assert files(project) == {"photos/a.jpg"}


def limited(project: Path, limits: Limits) -> Settings:
    """Settings with these limits, and without fsync."""
    settings = load(cwd=project, environ={})
    return msgspec.structs.replace(settings, images=msgspec.structs.replace(settings.images, limits=limits, fsync=False))


def test_limits_and_fsync_come_from_the_settings(project: Path) -> None:
    """A larger limit than Pillow's own is in force as well."""
    task = build(limited(project, Limits(pixels=400_000_000))).get("image")
    assert task is not None
    large = Image.new("L", (14_000, 14_000))
    (project / "large.png").write_bytes(encoded(large, "PNG", compress_level=1))
    assert run(task, source="large.png", operation="thumbnail", width=64, height=64)["width"] == 64
    strict = build(limited(project, Limits(pixels=1000))).get("image")
    assert strict is not None
    with pytest.raises(Discard, match=r"more than images\.limits\.pixels"):
        run(strict, source="photos/a.jpg", operation="flip")


def test_many_images_leave_the_memory_where_it_was(task: TaskDefinition, project: Path) -> None:
    """Large ones and broken ones, of several formats, on one process."""
    photo().resize((1000, 1000)).save(project / "large.png")
    (project / "broken.png").write_bytes((project / "large.png").read_bytes()[:-5000])

    def batch(rounds: int) -> int:
        for _ in range(rounds):
            for target in ("jpeg", "webp", "png"):
                run(task, source="large.png", operation="thumbnail", output=f"out.{target}")
                with pytest.raises(Discard):
                    run(task, source="broken.png", operation="thumbnail", output=f"out.{target}")
        return psutil.Process().memory_info().rss

    before = batch(4)
    assert batch(8) - before < 12_000_000
