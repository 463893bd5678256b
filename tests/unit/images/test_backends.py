"""Which backend is chosen, and what is said where it is not there: before any task is taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from streamq.config import load
from streamq.errors import ConfigError
from streamq.images import backends, vips
from streamq.images.roots import SAMPLES
from streamq.images.tasks import build
from tests.unit.images.pictures import difference
from tests.unit.images.test_image_task import context, run
from tests.unit.images.test_vips import Noting


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose configuration chooses libvips."""
    (tmp_path / "config.yaml").write_text("images:\n  backend: vips\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """An environment in which the binding is installed and libvips is not."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/pyvips.py").write_text("raise OSError('cannot load library')\n", encoding="utf-8")
    return os.environ | {"PYTHONPATH": str(tmp_path / "broken")}


def streamq(project: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project."""
    command = [sys.executable, "-m", "streamq", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_pillow_is_the_backend_and_loads_no_other(tmp_path: Path) -> None:
    """A worker that does not ask for libvips does not pay for it."""
    assert backends.scaler(load(cwd=tmp_path, environ={})) is None
    code = (
        "import sys; from streamq.config import load; from streamq.images.tasks import build; build(load()); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not {"pyvips", "sqlite3", "psycopg"} & set(done.stdout.split())


def test_libvips_scales_where_it_is_chosen(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole task, by its settings: the same names, and pictures that look the same."""
    with Image.open(SAMPLES / "rocket.jpg") as photo:
        photo.resize((1600, 1200)).save(project / "a.jpg", quality=95)
    noting = Noting()
    monkeypatch.setattr(vips, "scaled", noting)
    results, pictures = [], []
    for backend in ("pillow", "vips"):
        task = build(load(cwd=project, environ={"STREAMQ_IMAGES__BACKEND": backend})).get("image")
        assert task is not None
        results.append(run(task, context(), source="a.jpg", operation="thumbnail", width=300))
        with Image.open(project / results[-1]["output"]) as picture:
            pictures.append(picture.convert("RGB"))
    assert noting.did == [True]
    assert [(each["output"], each["width"], each["height"]) for each in results] == [
        ("processed/a_thumbnail_300x.jpg", 300, 225)
    ] * 2
    assert 0 < difference(*pictures) < 4


def test_a_binding_that_is_not_installed_is_missed_before_anything_is_loaded(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the line that chose it, and what to install."""
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    for refuse in (backends.check, backends.scaler, build):
        with pytest.raises(ConfigError) as raised:
            refuse(load(cwd=project, environ={}))
        assert str(raised.value).startswith("config.yaml:2: images.backend: expected pillow")
        assert "pyvips is not installed" in str(raised.value)
        assert raised.value.hint == "pip install 'streamq[vips]'"


def test_a_library_that_cannot_be_loaded_is_refused(project: Path, broken: dict[str, str]) -> None:
    """By the check of the configuration, by a worker, which takes nothing, and by `bench`, which sends nothing."""
    for arguments in (("config", "check"), ("consume", "--drain", "--processes", "1"), ("bench", "send", "--seconds", "50ms")):
        done = streamq(project, broken, *arguments)
        assert done.returncode == 2
        fault, hint = [line for line in done.stderr.splitlines() if line.startswith(("streamq: error", "hint"))]
        assert fault.startswith("streamq: error: config.yaml:2: images.backend: expected pillow")
        assert fault.endswith("libvips cannot be loaded: cannot load library")
        assert hint == "hint: pip install 'streamq[vips]'"
    streamq(project, broken, "server", "stop")
    assert streamq(project, dict(os.environ), "config", "check").returncode == 0


def test_the_doctor_says_whether_libvips_is_there(project: Path, broken: dict[str, str]) -> None:
    """A machine that only sends needs none: it is no fault."""
    levels = {}
    for name, environment in (("broken", broken), ("whole", dict(os.environ))):
        told = json.loads(streamq(project, environment, "doctor", "--json").stdout)
        (levels[name],) = [each["level"] for each in told["findings"] if each["id"] == "image-backend"]
        assert told["ok"]
    assert levels == {"broken": "warning", "whole": "ok"}
    (project / "config.yaml").unlink()
    told = json.loads(streamq(project, dict(os.environ), "doctor", "--json").stdout)
    assert not [each for each in told["findings"] if each["id"] == "image-backend"]
    streamq(project, dict(os.environ), "server", "stop")
