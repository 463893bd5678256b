"""Measurements: real servers, workers and senders, at the smallest sizes; what they give is looked at, not how fast it is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.lib.bench import __main__ as command
from scripts.lib.bench import counter as counting
from scripts.lib.bench import deep, measure, profile, rows
from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.figures import Hot
from scripts.lib.bench.measure import Place
from scripts.lib.bench.server import program
from scripts.lib.bench.sizes import QUICK, WHOLE, Sizes
from scripts.lib.bench.worker import ROOT, Side, Worker
from scripts.lib.depth import Depth

SMALL = Sizes(
    empty=300,
    burn=50,
    hash=20,
    single=30,
    bulk=1500,
    seconds=0.2,
    wait=20,
    wait_wide=50,
    stored=500,
    images=2,
    starts=1,
    looks=1,
    depth=Depth(400, 20, 20, 5),
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where measurements are made."""
    return Place(program(None)[0], tmp_path, lambda _: None)


def test_tasks_of_many_threads_and_processes_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a slot of its own: no count is lost."""
    counter = counting.Counter(tmp_path / "counter")
    monkeypatch.setenv(counting.VARIABLE, str(counter.path))
    code = "from scripts.lib.bench.counter import tick, stamp\nfor _ in range(500): tick()\nstamp(0.0)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    others = [subprocess.Popen([sys.executable, "-P", "-c", code], env=environment) for _ in range(2)]

    def work() -> None:
        for _ in range(500):
            counting.tick()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait() for other in others] == [0, 0]
    assert counter.total == 3000
    assert len(counter.late) == 2


@pytest.mark.parametrize("name", ["streamq", "async", "limit", "priorities", "due", "unique", "timeout"])
def test_a_side_empties_its_queue(place: Place, name: str) -> None:
    """Every task was run and settled, and cost something."""
    found = measure.drain(place, Side(name), "empty", 300)
    assert found["rate"] > 0
    assert found["server_us"] > 0


@pytest.mark.parametrize(
    ("name", "rounds"),
    [
        ("single", 2),
        ("bulk", 2),
        ("bytes", 2),
        *((name, 1) for name in ("latency", "rss", "processes", "waiting", "cpu", "server")),
    ],
)
def test_a_row_has_as_many_values_as_rounds(place: Place, name: str, rounds: int) -> None:
    """On both sides, all of them more than nothing; those that are dear in one round."""
    figures = rows.ROWS[name](place, SMALL, rounds)
    assert figures
    for figure in figures:
        assert len(figure.rounds) == rounds
        assert min(figure.rounds) > 0
        assert len(figure.beside_rounds) in (0, rounds)


def test_a_deep_queue_is_measured_beside_an_empty_one(place: Place) -> None:
    """Every figure, and every reader."""
    figures = deep.row(place, SMALL, 1)
    assert [figure.unit for figure in figures] == ["/s"] * 3 + ["ms"] * 7
    assert all(min(figure.rounds) > 0 for figure in figures)


def test_nothing_is_left_behind(place: Place) -> None:
    """Neither folders nor processes: each measurement takes its own away."""
    measure.singles(place, Side("streamq"), 5)
    assert list(place.folder.iterdir()) == []


def test_a_worker_that_cannot_work_is_an_error_with_what_it_said(place: Place) -> None:
    """Instead of a wait without end."""
    with (
        place.fresh() as (server, counter),
        Worker(Side("streamq", slots=0), server, counter) as worker,
        pytest.raises(BenchError, match="concurrency"),
    ):
        worker.reach(1)


def test_another_revision_is_run_where_a_side_names_one(place: Place, tmp_path: Path) -> None:
    """Its processes import that package, not the one at hand."""
    package = tmp_path / "revision"
    shutil.copytree(ROOT / "streamq", package / "streamq")
    with place.fresh() as (server, counter):
        environment = Side("streamq", package=package).environment(server, counter)
        command = [sys.executable, "-P", "-c", "import streamq, scripts.lib.bench as b; print(streamq.__file__, b.__file__)"]
        told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert told == [str(package / "streamq" / "__init__.py"), str(ROOT / "scripts" / "lib" / "bench" / "__init__.py")]


def test_ways_are_taken_in_turn_and_the_other_way_about(place: Place) -> None:
    """So that nobody is always the first."""
    seen: list[str] = []

    def way(name: str) -> Callable[[], dict[str, float]]:
        def measured() -> dict[str, float]:
            seen.append(name)
            return {"value": len(seen)}

        return measured

    found = place.in_turn("a row", 2, {"a": way("a"), "b": way("b")})
    assert seen == ["a", "b", "b", "a"]
    assert found == {"a": {"value": [1, 4]}, "b": {"value": [2, 3]}}


def test_stacks_become_shares_of_functions() -> None:
    """A function counts once a stack, and goes by its place in the package."""
    raw = (
        "run (/x/streamq/worker/a.py:1);run (/x/streamq/worker/a.py:1) 3\nrun (/x/streamq/worker/a.py:1);call (/y/json.py:2) 1\n"
    )
    lines = profile.functions(list(profile.parse(raw)))
    assert lines == [Hot("run (streamq/worker/a.py)", 0.75, 1.0), Hot("call (json.py)", 0.25, 0.25)]


def test_threads_that_a_number_tells_apart_are_one_line() -> None:
    """Their times are added; a thread without a name is `other`."""
    lines = profile.threads({1: 3e-6, 2: 1e-6, 3: 4e-6}, {1: "slot-0", 2: "slot-1"}, 2)
    assert [(line.what, line.own, line.total) for line in lines] == [("slot (2)", 0.5, 2.0), ("other", 0.5, 2.0)]


def test_a_profile_of_too_few_looks_is_refused() -> None:
    """With the size that would do."""
    profile.check([profile.Stack(("run",), profile.LEAST)], 1)
    with pytest.raises(BenchError, match="saw the worker 40 times while it ran 20,000 tasks") as raised:
        profile.check([profile.Stack(("run",), 30), profile.Stack(("call",), 10)], 20_000)
    assert raised.value.hint == "let it run more: --size profile=250000"


def test_a_small_run_takes_no_small_profile() -> None:
    """The smaller sizes are for what is counted, not for what is sampled."""
    assert QUICK.profile == WHOLE.profile


def refused(*arguments: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    """Run the command in this process, where it begins nothing; returns its exit status."""
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["scripts/bench", *arguments])
    try:
        with pytest.raises(SystemExit) as ended:
            command.main()
    finally:
        signal.signal(signal.SIGTERM, handler)
    return ended.value.code


def bench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    line = [sys.executable, "-P", "-m", "scripts.lib.bench", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_command_keeps_what_it_measured_and_shows_it_again(tmp_path: Path) -> None:
    """A row that is measured later joins those that are there."""
    for name in ("single", "bytes"):
        done = bench(name, "--rounds", "1", "--size", "single=30", "--size", "stored=500", "--json", "f.json", folder=tmp_path)
        assert done.returncode == 0, done.stderr
    assert [row["name"] for row in json.loads((tmp_path / "f.json").read_bytes())["rows"]] == ["single", "bytes"]
    shown = bench("--from", "f.json", "--chart", "c", folder=tmp_path)
    assert "single sends" in shown.stdout
    assert "memory of a waiting task" in shown.stdout
    assert (tmp_path / "c.png").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nosuch"], "no such row"),
        (["--size", "empty=x"], "give NAME=N"),
        (["--rounds", "0"], "at least 1"),
        (["--from", "nowhere.json"], "holds no results"),
        (["--from", "f", "sync"], "measures nothing"),
        (["single", "--server", "/bin/true"], "no Redis or Valkey"),
        (["--peers", "rq", "--peers-dir", "nowhere"], "there is no benchmark of other queues"),
        (["--peers-dir", "."], "say which queues"),
        (["--against", "HEAD", "depth"], "cannot be measured --against"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit status 2."""
    assert refused(*arguments, folder=tmp_path, monkeypatch=monkeypatch) == 2
    assert told in capsys.readouterr().err
