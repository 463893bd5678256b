"""Other queues beside streamq: which are asked for, what is read of their benchmark, and what they are."""

from __future__ import annotations

import json
import sys
import venv
from pathlib import Path

import pytest

from scripts.lib.bench import installed, peers
from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.peers import Benchmark

#: A benchmark of queues that measures nothing: it writes down what it was asked for.
SCRIPT = """
import argparse, json, pathlib, sys
parser = argparse.ArgumentParser()
for name in ("peers", "home", "server", "adapter", "adapter-python", "json", "tasks"):
    parser.add_argument(f"--{name}")
asked = parser.parse_args()
names = [name for name in asked.peers.split(",") if name]
rows = {name: {"noop": 10.0 * i, "p50": 1.0, "seen": int(asked.tasks)} for i, name in enumerate(names)}
rows[pathlib.Path(asked.adapter).stem] = {"noop": 5.0, "p99": None, "io": None}
pathlib.Path(asked.json).write_text(json.dumps(rows))
sys.exit(asked.server == "broken")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A benchmark of two queues."""
    made = tmp_path / "peers"
    (made / "adapters").mkdir(parents=True)
    (made / "bench.py").write_text(SCRIPT)
    for name in ("rq_.py", "bullmq.mjs", "README.md"):
        (made / "adapters" / name).touch()
    return made


def find(folder: Path | None, names: str) -> Benchmark:
    """The benchmark, asked for some queues."""
    return peers.find(folder, names, Path("/home"), ["--tasks", "7"])


@pytest.mark.parametrize(
    ("names", "asked"),
    [("rq", ["rq"]), ("bullmq, rq,rq", ["bullmq", "rq"]), ("rq,streamq", ["rq"]), ("streamq,", []), ("", [])],
)
def test_streamq_comes_by_itself(folder: Path, names: str, asked: list[str]) -> None:
    """Whether it was named or not; nobody is measured twice."""
    assert find(folder, names).names == asked


def test_a_queue_that_the_benchmark_does_not_know_is_an_error(folder: Path) -> None:
    """It says which there are."""
    with pytest.raises(BenchError, match="no such queue: celery, arq") as raised:
        find(folder, "rq,celery,arq")
    assert raised.value.hint.endswith("has bullmq, rq")


def test_without_a_folder_it_is_looked_for_beside_the_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where most have it."""
    assert Path(peers.__file__).parents[4] / "shared" / "peers" == peers.BESIDE
    monkeypatch.setattr(peers, "BESIDE", folder)
    assert find(None, "rq").script == folder / "bench.py"


@pytest.mark.parametrize("folder", [None, Path("/nowhere")])
def test_a_benchmark_of_other_queues_that_is_not_there_is_an_error_with_a_hint(
    folder: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says which option names it."""
    monkeypatch.setattr(peers, "BESIDE", Path("/nowhere"))
    with pytest.raises(BenchError) as raised:
        find(folder, "rq")
    assert "--peers-dir" in raised.value.hint


def test_the_queues_are_told_the_fastest_first(folder: Path, tmp_path: Path) -> None:
    """Ours goes by its name, with its version; one that is not installed where it was looked for says so."""
    told = peers.run(find(folder, "rq,bullmq"), Path("server"), tmp_path)
    assert [peer.name for peer in told] == ["bullmq", "streamq", "rq"]
    assert told[1].version.startswith("streamq ")
    assert told[1].version.endswith(f"Python {sys.version.split()[0]}")
    assert told[1].figures == {"noop": 5}
    assert told[2].version == "unknown"
    assert told[2].way == "one at a time in one process, keeps no results"


def test_a_benchmark_that_fails_is_an_error(folder: Path, tmp_path: Path) -> None:
    """With its exit status."""
    with pytest.raises(BenchError, match="ended with 1"):
        peers.run(find(folder, "rq"), Path("broken"), tmp_path)


@pytest.mark.parametrize(("seen", "told"), [(999, {"p50", "seen"}), (1000, {"p50", "p99", "seen"})])
def test_a_99th_percentile_of_too_few_tasks_is_left_out(tmp_path: Path, seen: int, told: set[str]) -> None:
    """And so is what could not be measured."""
    file = tmp_path / "peers.json"
    file.write_text(json.dumps({"rq": {"noop": None, "p50": 1.5, "p99": 3.0, "seen": seen}}))
    assert peers.read(file)["rq"].keys() == told


def test_the_version_is_that_of_the_environment(tmp_path: Path) -> None:
    """Of a virtual environment by its Python, of node by the package's own file."""
    venv.create(tmp_path / "rq", with_pip=False)
    [packages] = (tmp_path / "rq" / "lib").glob("python3*/site-packages")
    (packages / "rq-9.8.7.dist-info").mkdir()
    (packages / "rq-9.8.7.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: rq\nVersion: 9.8.7\n")
    assert installed.version("rq", tmp_path) == f"rq 9.8.7, Python {sys.version.split()[0]}"
    assert installed.version("saq", tmp_path) == "unknown"
