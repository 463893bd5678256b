"""The main job, as anybody can see it: photographs go through a queue, a worker is killed, every result is accounted for.

Uses nothing but the commands that a user has. Photographs of up to 12 megapixels are made from the five samples; two workers of
several processes work on them; one of them, all its processes, gets SIGKILL in the middle. At the end the results on disk, the
catalogue and the queue's own figures are held against the list of what was sent: the exit status is 0 only when all agree.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import photos
from PIL import Image
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS: tuple[dict[str, Any], ...] = (
    {"operation": "resize", "width": 1200, "height": 1200, "fit": "inside"},
    {"operation": "thumbnail", "width": 400, "height": 400},
    {"operation": "thumbnail", "width": 320, "height": 320, "format": "webp"},
    {"operation": "crop", "width": 600, "height": 600},
    {"steps": [{"operation": "thumbnail", "width": 800, "height": 800}, {"operation": "rotate", "angle": 90}]},
    {"steps": [{"operation": "thumbnail", "width": 640, "height": 640}, {"operation": "grayscale"}]},
)
#: Stands in a folder that a demonstration has made, and may therefore remove.
MARKER = ".streamq-demo"
console = Console()


class View(NamedTuple):
    """What is shown at one instant."""

    finished: int
    running: int
    waiting: int
    retrying: int
    dead: int
    workers: list[dict[str, Any]]


class Demo:
    """One run of the demonstration.

    Args:
        folder: where photographs, results and the server's data go; made anew.
        tasks: how many tasks to send.
        processes: of each worker.
    """

    def __init__(self, folder: Path, tasks: int, processes: int) -> None:
        self.folder = folder
        self.tasks = tasks
        self.processes = processes
        self.photos = folder / "photos"
        self.results = folder / "processed"
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = dict(os.environ, STREAMQ_DATA=str(folder / "data"), STREAMQ_CONFIG=str(folder / "config.yaml"))

    def run(self) -> bool:
        """Runs it all; says whether every task is accounted for."""
        self.prepare()
        sent = self.send()
        begun = time.monotonic()
        for name in ("worker1", "worker2"):
            self.start_worker(name)
        held = self.watch(len(sent))
        seconds = time.monotonic() - begun
        return self.account(sent, held, seconds)

    def prepare(self) -> None:
        """An empty folder with photographs of several sizes."""
        if self.folder.exists() and any(self.folder.iterdir()):
            if not (self.folder / MARKER).exists():
                raise SystemExit(f"{self.folder} was not made by the demonstration: it is left as it is; name another --folder")
            self.streamq("server", "stop")
            shutil.rmtree(self.folder)
        self.photos.mkdir(parents=True)
        (self.folder / MARKER).write_text("This folder is made anew by each demonstration.\n")
        (self.folder / "config.yaml").write_text("images:\n  roots: [.]\nproduce:\n  output: processed\n")
        with console.status("making photographs from the samples"):
            made = photos.make(self.photos)
        size = sum(path.stat().st_size for path in made) / 2**20
        console.print(f"{len(made)} photographs, {size:.0f} MiB, up to 12 megapixels, in {shown(self.photos)}")

    def send(self) -> dict[str, dict[str, Any]]:
        """Sends the tasks in one call; returns what was accepted, by id."""
        files = sorted(self.photos.iterdir())
        lines = []
        for number in range(self.tasks):
            photo = files[number % len(files)]
            args = dict(OPERATIONS[number // len(files) % len(OPERATIONS)])
            suffix = args.get("format", "jpg")
            args |= {"source": f"photos/{photo.name}", "output": f"processed/{number:04}-{photo.stem}.{suffix}"}
            lines.append(json.dumps({"task": "image", "args": args}))
        file = self.folder / "tasks.jsonl"
        file.write_text("\n".join(lines) + "\n")
        answers = self.streamq("produce", "--file", str(file), "--json")
        sent = {answer["id"]: answer["args"] for answer in map(json.loads, answers.splitlines())}
        console.print(f"{len(sent)} tasks sent (streamq produce --file {shown(file)})")
        return sent

    def start_worker(self, name: str) -> None:
        """Starts a worker in a process group of its own, its log beside the results."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self.workers[name] = subprocess.Popen(
                [sys.executable, "-m", "streamq", "consume", "--name", name, "--processes", str(self.processes)],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def watch(self, total: int) -> set[str]:
        """Shows the progress until nothing is left to do, and kills worker1 on the way; returns what it held then."""
        held: set[str] = set()
        killed = ""
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            while True:
                view = self.look()
                live.update(picture(view, total, killed))
                if not killed and view.finished * 3 >= total:
                    held = self.kill("worker1")
                    killed = f"worker1 was killed (SIGKILL) after {view.finished} tasks; it held {len(held)}"
                    console.print(f"[red]{killed}[/]")
                if view.finished + view.dead >= total and not view.running + view.waiting + view.retrying:
                    return held
                if self.workers["worker2"].poll() is not None:
                    raise SystemExit(f"worker2 ended: {(self.folder / 'worker2.log').read_text()[-2000:]}")

    def kill(self, name: str) -> set[str]:
        """Ends a worker with all its processes at once, while it has tasks; returns the ids of those that it left unfinished.

        It is stopped first, so that what it holds can be read before another worker has taken it over.
        """
        worker = self.workers.pop(name)
        held: set[str] = set()
        while not held and worker.poll() is None:
            os.killpg(worker.pid, signal.SIGSTOP)
            rows = map(json.loads, self.streamq("pending", "--json", "--limit", "1000").splitlines())
            held = {row["id"] for row in rows if row.get("worker") == name and row["state"] != "retrying"}
            if not held:
                os.killpg(worker.pid, signal.SIGCONT)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        return held

    def look(self) -> View:
        """The figures of the queue."""
        stats = json.loads(self.streamq("stats", "--json"))
        waiting = sum(stats["waiting"].values())
        return View(stats["finished_total"], stats["running"], waiting, stats["retrying"], stats["dead"], stats["workers"])

    def account(self, sent: dict[str, dict[str, Any]], held: set[str], seconds: float) -> bool:
        """Holds what is there against what was sent, and prints the summary."""
        self.workers["worker2"].terminate()
        stopped = self.workers.pop("worker2").wait()
        stats = json.loads(self.streamq("stats", "--json"))
        rows = {
            row["id"]: row
            for row in map(json.loads, self.streamq("tasks", "--state", "finished", "--limit", "100000", "--json").splitlines())
        }
        pending = self.streamq("pending", "--json").split()
        results = {task: rows[task]["result"] for task in sent if task in rows}
        missing = [task for task in sent if task not in results or not is_whole(self.folder, results[task])]
        repeated = Counter(rows[task]["deliveries"] > 1 for task in results)[True]
        recovered = len(held & results.keys())
        balance = {
            "every result is on disk, whole, and in the catalogue once": not missing and len(rows) == len(sent),
            "nothing is dead, pending or waiting": not (
                stats["dead"] or pending or any(stats["waiting"].values()) or stats["retrying"]
            ),
            "sent = finished": stats["sent_total"] == stats["finished_total"] == len(sent),
            "all that the killed worker held was finished by the other": 0 < len(held) == recovered,
            "the worker stopped in order": stopped == 0,
        }
        table = Table(show_header=False, box=None, padding=(0, 2))
        for name, value in (
            ("tasks sent", len(sent)),
            ("finished", stats["finished_total"]),
            ("run more than once", repeated),
            ("recovered from the killed worker", f"{recovered} of {len(held)}"),
            ("dead", stats["dead"]),
            (
                "images a second",
                f"{len(results) / seconds:.1f}  ({len(results)} in {seconds:.1f} s, the loss of a worker included)",
            ),
            ("results", shown(self.results)),
        ):
            table.add_row(name, f"[bold]{value}[/]")
        for fact, holds in balance.items():
            table.add_row("[green]✓[/]" if holds else "[red]✗[/]", fact)
        console.print(Panel(table, title="photographs through a queue", expand=False))
        for task in missing:
            console.print(f"[red]unaccounted: {task} {sent[task]}[/]")
        return all(balance.values())

    def streamq(self, *arguments: str) -> str:
        """Runs a command of streamq and returns what it printed; one that fails ends the demonstration."""
        run = subprocess.run(
            [sys.executable, "-m", "streamq", *arguments],
            cwd=self.folder if self.folder.exists() else ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise SystemExit(f"streamq {' '.join(arguments)} ended with {run.returncode}:\n{run.stderr}")
        return run.stdout

    def close(self) -> None:
        """Leaves no process behind: neither workers nor the server."""
        for worker in self.workers.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        if (self.folder / MARKER).exists():
            self.streamq("server", "stop")


def is_whole(folder: Path, result: dict[str, Any]) -> bool:
    """Whether a result is on disk as the catalogue says, and is a picture."""
    path = folder / result["output"]
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != result["sha256"]:
        return False
    with Image.open(path) as image:
        image.load()
        return (image.width, image.height) == (result["width"], result["height"])


def picture(view: View, total: int, killed: str) -> Panel:
    """The progress as it is drawn."""
    table = Table.grid(padding=(0, 2))
    table.add_row("finished", ProgressBar(total=total, completed=view.finished, width=40), f"{view.finished}/{total}")
    table.add_row("", f"waiting {view.waiting}  running {view.running}  retrying {view.retrying}  dead {view.dead}", "")
    for name, busy in sorted(busy_by_worker(view.workers)):
        table.add_row(name, busy, "")
    return Panel(table, title="photographs through a queue", subtitle=killed or None, expand=False)


def busy_by_worker(processes: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """A line for each worker: how many processes, how many of its slots are busy, whether it lives."""
    for name in {process["name"] for process in processes}:
        own = [process for process in processes if process["name"] == name]
        alive = all(process["alive"] for process in own)
        state = f"{len(own)} processes, {sum(process['running'] for process in own)} running"
        yield name, f"[green]{state}[/]" if alive else f"[red]dead, {state} when it died[/]"


def shown(path: Path) -> str:
    """A path as short as it can be written here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def main() -> None:
    """Runs the demonstration."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=240, help="how many tasks (default 240)")
    parser.add_argument("--processes", type=int, default=2, help="processes of each of the two workers (default 2)")
    parser.add_argument("--folder", type=Path, default=ROOT / ".demo", help="made anew at each run (default .demo)")
    options = parser.parse_args()
    demo = Demo(options.folder.resolve(), options.tasks, options.processes)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        whole = demo.run()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        demo.close()
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
