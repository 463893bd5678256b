"""Measures streamq beside what it is compared with, in one run: absolute times drift with the machine, ratios much less.

start-up   whole processes, taken in turn: `streamq produce` of one task and `streamq pending` beside `python -c 'import redis'`
images     thumbnails of 12-megapixel photographs: a worker beside a plain Pillow loop on the same files, with as many processes
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import photos
from PIL import Image

WIDTH = 800


def main() -> None:
    """Runs what was asked for and prints it, with the machine and the settings."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", choices=["start-up", "images"], help="default: all")
    parser.add_argument("--runs", type=int, default=15, help="processes of each kind for start-up (default 15)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of images (default 3)")
    parser.add_argument("--tasks", type=int, default=200, help="images of a round (default 200)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, Pillow {Image.__version__}")
    folder = Path(tempfile.mkdtemp(prefix="streamq-bench-"))
    try:
        if not options.what or "start-up" in options.what:
            start_up(folder, options.runs)
        if not options.what or "images" in options.what:
            images(folder, options.rounds, options.tasks, options.processes)
    finally:
        streamq(folder, "server", "stop")
        shutil.rmtree(folder)


def start_up(folder: Path, runs: int) -> None:
    """Prints how long whole commands take, the server running."""
    streamq(folder, "server", "start")
    shutil.copy(next(photos.SAMPLES.glob("*.jpg")), folder / "a.jpg")
    commands: dict[str, list[str]] = {
        "import redis": ["-c", "import redis"],
        "streamq produce": ["-m", "streamq", "produce", "a.jpg"],
        "streamq pending": ["-m", "streamq", "pending"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, check=True)
            times[name].append(time.perf_counter() - begun)
    base = statistics.median(times["import redis"])
    print(f"start-up, median of {runs}:")
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"  {name:16} {median * 1000:6.0f} ms   {median / base:5.2f} x import redis")


def images(folder: Path, rounds: int, tasks: int, processes: int) -> None:
    """Prints images a second of a worker and of a plain loop, round by round in turn."""
    (folder / "photos").mkdir()
    files = photos.make(folder / "photos", (4000,))
    work = [files[i % len(files)] for i in range(tasks)]
    print(f"images: {tasks} thumbnails of 12 megapixels to {WIDTH} px, {processes} processes, {rounds} rounds in turn")
    ratios = []
    for number in range(rounds):
        plain = plain_loop(work, folder / f"plain-{number}", processes)
        queue = through_queue(folder, work, f"queue-{number}", processes)
        ratios.append(queue / plain)
        print(f"  plain loop {plain:6.1f}/s   streamq {queue:6.1f}/s   {queue / plain:5.2f} x")
    print(f"  median {statistics.median(ratios):.2f} x the plain loop")


def plain_loop(work: list[Path], output: Path, processes: int) -> float:
    """Images a second of a loop over the files in each of several processes, from the moment that all are ready."""
    output.mkdir()
    ready = multiprocessing.Barrier(processes + 1)
    shares = [[(i, path) for i, path in enumerate(work) if i % processes == n] for n in range(processes)]
    running = [multiprocessing.Process(target=_loop, args=(share, output, ready)) for share in shares]
    for process in running:
        process.start()
    ready.wait()
    begun = time.perf_counter()
    for process in running:
        process.join()
    return len(work) / (time.perf_counter() - begun)


def _loop(share: list[tuple[int, Path]], output: Path, ready: Callable[[], object]) -> None:
    ready.wait()  # type: ignore[attr-defined]
    for number, path in share:
        with Image.open(path) as image:
            image.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS, reducing_gap=1.5)
            image.save(output / f"{number}.jpg", quality=80, progressive=True, optimize=True)


def through_queue(folder: Path, work: list[Path], output: str, processes: int) -> float:
    """Images a second of one worker, from the start of its first task to the end of its last."""
    file = folder / f"{output}.jsonl"
    tasks = [
        {
            "task": "image",
            "args": {
                "source": f"photos/{path.name}",
                "output": f"{output}/{i}.jpg",
                "operation": "thumbnail",
                "width": WIDTH,
                "height": WIDTH,
            },
        }
        for i, path in enumerate(work)
    ]
    file.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    ids = {json.loads(line)["id"] for line in streamq(folder, "produce", "--file", str(file), "--json").splitlines()}
    streamq(folder, "consume", "--name", "bench", "--processes", str(processes), "--drain")
    rows = map(json.loads, streamq(folder, "tasks", "--state", "finished", "--limit", str(10 * len(ids)), "--json").splitlines())
    ours = [row for row in rows if row["id"] in ids]
    if len(ours) != len(work):
        raise SystemExit(f"{len(ours)} of {len(work)} finished")
    seconds = (max(row["ended_ms"] for row in ours) - min(row["started_ms"] for row in ours)) / 1000
    return len(work) / seconds


def streamq(folder: Path, *arguments: str) -> str:
    """Runs a command in the folder, with the embedded server there."""
    run = subprocess.run([sys.executable, "-m", "streamq", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"streamq {' '.join(arguments)} ended with {run.returncode}: {run.stderr}")
    return run.stdout


if __name__ == "__main__":
    main()
