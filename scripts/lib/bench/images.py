"""Thumbnails of 12-megapixel photographs: a worker beside a plain Pillow loop on the same files, with as many processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing.synchronize import Barrier
from pathlib import Path

from PIL import Image

from scripts.lib import photos
from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.worker import ROOT

WIDTH = 800


class Studio:
    """A folder with photographs, and the embedded server there, as users have it.

    Args:
        folder: where.
        tasks: how many thumbnails are made each time.
    """

    def __init__(self, folder: Path, tasks: int) -> None:
        self.folder = folder
        (folder / "photos").mkdir()
        files = photos.make(folder / "photos", (4000,))
        self._work = [files[i % len(files)] for i in range(tasks)]
        self._processes = os.cpu_count() or 1
        self._runs = 0

    def plain_loop(self) -> dict[str, float]:
        """Images a second of a loop over the files in each of several processes, from the moment that all are ready."""
        output = self._output("plain")
        output.mkdir()
        context = multiprocessing.get_context("spawn")
        ready = context.Barrier(self._processes + 1)
        numbered = list(enumerate(self._work))
        shares = [numbered[n :: self._processes] for n in range(self._processes)]
        running = [context.Process(target=_loop, args=(share, output, ready)) for share in shares]
        for process in running:
            process.start()
        ready.wait()
        begun = time.perf_counter()
        for process in running:
            process.join()
        seconds = time.perf_counter() - begun
        self._check(output)
        return {"rate": len(self._work) / seconds}

    def through_queue(self, backend: str | None = None) -> dict[str, float]:
        """Images a second of one worker, from the start of its first task to the end of its last."""
        output = self._output("queue")
        environment = {} if backend is None else {"STREAMQ_IMAGES__BACKEND": backend}
        file = output.with_suffix(".jsonl")
        file.write_text("".join(json.dumps(self._task(i, path, output.name)) + "\n" for i, path in enumerate(self._work)))
        sent = self._streamq("produce", "--file", str(file), "--json")
        ids = {json.loads(line)["id"] for line in sent.splitlines()}
        worker = ("consume", "--name", "bench", "--processes", str(self._processes), "--drain")
        self._streamq(*worker, environment=environment)
        listed = self._streamq("tasks", "--state", "finished", "--limit", "10000", "--json")
        ours = [row for row in map(json.loads, listed.splitlines()) if row["id"] in ids]
        if len(ours) != len(self._work):
            raise BenchError(f"{len(ours)} of {len(self._work)} thumbnails were finished")
        self._check(output)
        seconds = (max(row["ended_ms"] for row in ours) - min(row["started_ms"] for row in ours)) / 1000
        return {"rate": len(self._work) / seconds}

    def _output(self, kind: str) -> Path:
        self._runs += 1
        return self.folder / f"{kind}-{self._runs}"

    def _task(self, number: int, path: Path, output: str) -> dict[str, object]:
        size = {"width": WIDTH, "height": WIDTH}
        where = {"source": f"photos/{path.name}", "output": f"{output}/{number}.jpg"}
        return {"task": "image", "args": {**where, "operation": "thumbnail", **size}}

    def _check(self, output: Path) -> None:
        made = len(list(output.glob("*.jpg")))
        if made != len(self._work):
            raise BenchError(f"{made} of {len(self._work)} thumbnails are in {output}")
        shutil.rmtree(output)

    def _streamq(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        return streamq(self.folder, *arguments, environment=environment)


def _loop(share: list[tuple[int, Path]], output: Path, ready: Barrier) -> None:
    ready.wait()
    for number, path in share:
        with Image.open(path) as image:
            image.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS, reducing_gap=1.5)
            image.save(output / f"{number}.jpg", quality=80, progressive=True, optimize=True)


@contextmanager
def embedded(parent: Path) -> Iterator[Path]:
    """A folder in which commands find an embedded server of its own; both are gone afterwards."""
    folder = Path(tempfile.mkdtemp(dir=parent, prefix="embedded-"))
    try:
        yield folder
    finally:
        streamq(folder, "server", "stop")
        shutil.rmtree(folder)


def plain_environment(told: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of commands: no setting of whoever measures reaches them."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMQ_")}
    return inherited | {"PYTHONPATH": str(ROOT)} | dict(told or {})


def streamq(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a command in the folder; returns what it printed.

    Raises:
        BenchError: it failed.
    """
    command = [sys.executable, "-P", "-m", "streamq", *arguments]
    run = subprocess.run(command, cwd=folder, env=plain_environment(environment), capture_output=True, text=True, check=False)
    if run.returncode:
        raise BenchError(f"streamq {' '.join(arguments)} ended with {run.returncode}: {run.stderr[-800:]}")
    return run.stdout


def backends() -> tuple[str, ...]:
    """What the setting `images.backend` may be here, the default left out; none where its library is not installed."""
    return ("vips",) if find_spec("pyvips") else ()


def start_up(folder: Path, runs: int) -> dict[str, Callable[[], dict[str, float]]]:
    """Ways to start whole processes, the server running: each gives the median of so many, in ms."""
    streamq(folder, "server", "start")
    shutil.copy(next(photos.SAMPLES.glob("*.jpg")), folder / "a.jpg")
    commands = {
        "import redis": ["-c", "import redis"],
        "import streamq": ["-c", "import streamq"],
        "produce": ["-m", "streamq", "produce", "a.jpg"],
        "pending": ["-m", "streamq", "pending"],
    }

    def started(command: list[str]) -> dict[str, float]:
        times = []
        for _ in range(runs):
            begun = time.perf_counter()
            subprocess.run([sys.executable, *command], cwd=folder, env=plain_environment(), capture_output=True, check=True)
            times.append(time.perf_counter() - begun)
        return {"ms": statistics.median(times) * 1000}

    return {name: lambda command=command: started(command) for name, command in commands.items()}  # type: ignore[misc]
