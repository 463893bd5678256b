"""A folder with tasks, a queue, and real workers on it: what the tests of the worker and of the scenarios work with.

A worker is `python -m streamq consume` in a session of its own, so that a test can kill its whole process group. All of its
processes work in the workshop's folder: whatever is left there when its workers have ended is an orphan, and fails the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil

from streamq import App
from streamq.config import load
from streamq.errors import ServerUnreachable
from streamq.fleet import Card
from streamq.keys import Keys
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.server.probe import away
from streamq.stats import Stats, read
from streamq.transitions import Transitions
from tests.commands import Done, run
from tests.conftest import wait_until

JOBS = Path(__file__).with_name("jobs.py")
#: Longest that a test waits for something that takes a moment, in seconds.
HANG = 60.0


class Line(NamedTuple):
    """A line of the ledger."""

    event: str
    n: int
    pid: int
    #: By the machine's monotonic clock.
    at: float
    delivery: int
    #: Hand-outs, hand-backs included.
    hand_out: int
    worker: str


class WorkerProcess:
    """A worker that a test has started.

    Args:
        command: its command line.
        folder: where it works.
        log: where it writes what it has to say.
    """

    def __init__(self, command: list[str], folder: Path, log: Path) -> None:
        self._log = log
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def log(self) -> str:
        """What it has said, its tasks' output included."""
        return self._log.read_text(errors="replace")

    @property
    def children(self) -> list[psutil.Process]:
        """Its processes that run tasks, or will."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child for child in psutil.Process(self.pid).children() if _is_child(child)]
        return []

    def signal(self, number: int) -> None:
        """Send the supervisor a signal."""
        self.process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Send all of its processes a signal, as a terminal does."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """Kill all of its processes at once."""
        with contextlib.suppress(ProcessLookupError):
            self.signal_group(signal.SIGKILL)
        self.process.wait()

    def ended(self, timeout: float = HANG) -> int:
        """Wait until it has ended; return its exit status."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker has not ended after {timeout:g} s; it said:\n{self.log}") from None

    def stop(self) -> int:
        """Ask it to stop, wait, and return its exit status."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def said(self, text: str) -> None:
        """Wait until it has said something."""
        wait_until(lambda: text in self.log or self._fail_if_ended(text), f"the worker says {text!r}", HANG)

    def _fail_if_ended(self, text: str) -> bool:
        if self.process.poll() is not None and text not in self.log:
            raise AssertionError(f"the worker has ended and never said {text!r}; it said:\n{self.log}")
        return False


class Workshop:
    """A folder, a queue, and workers.

    Args:
        folder: a new folder; `jobs.py` is written there.
        data: the data directory of the embedded server to use.
        queue: the queue's name.
    """

    def __init__(self, folder: Path, data: Path, queue: str) -> None:
        self.folder = folder
        self.data = data
        self.queue = queue
        self.workers: list[WorkerProcess] = []
        self._ledger = folder / "ledger"
        self._lines: list[Line] = []
        self._read_to = 0
        shutil.copy(JOBS, folder / "jobs.py")
        self.configure()

    # Before a worker starts

    def configure(self, **sections: Mapping[str, Any]) -> None:
        """Write the configuration; retries come soon where a test says nothing else."""
        worker = {"backoff": {"base": 0.01, "cap": 0.05}} | dict(sections.pop("worker", {}))
        (self.folder / "config.yaml").write_text(json.dumps({"worker": worker, **sections}))  # JSON is YAML
        overrides = {"server.data": str(self.data), "queue.name": self.queue}
        self.settings = load(str(self.folder / "config.yaml"), overrides)
        self.keys = Keys(self.queue)
        self.app = App(settings=self.settings)
        self.endpoint = Endpoint.of(self.settings, start="never")  # whoever only looks does not revive a server
        self.link = Link(self.endpoint)
        self.run = Transitions(self.link, self.keys)

    def module(self, name: str, text: str) -> None:
        """Write another module."""
        (self.folder / f"{name}.py").write_text(text)

    def start(self, name: str = "w1", *options: str, processes: int = 1, slots: int = 1, tasks: str = "jobs") -> WorkerProcess:
        """Start a worker."""
        command = [sys.executable, "-m", "streamq", "consume", "--name", name, "--tasks", tasks]
        command += ["--queue", self.queue, "--processes", str(processes), "--concurrency", str(slots), *options]
        if "--url" not in options:
            command += ["--data", str(self.data)]
        worker = WorkerProcess(command, self.folder, self.folder / f"{name}.log")
        self.workers.append(worker)
        return worker

    # Tasks

    def send(self, task: str, *args: Mapping[str, Any], **options: Any) -> list[str]:
        """Send a task with each of these arguments; returns the ids."""
        return [job.id for job in self.app.send_many(task, args, **options)]

    def send_numbered(
        self, task: str, numbers: Iterable[int], options: Mapping[str, Any] | None = None, **args: Any
    ) -> list[str]:
        """Send a task for each number `n`."""
        return self.send(task, *({"n": n, **args} for n in numbers), **(options or {}))

    def open(self, n: int | None = None) -> None:
        """Let a task that lasts end; None: all of them."""
        (self.folder / f"open-{'all' if n is None else n}").touch()

    def close(self) -> None:
        """Let the tasks that begin from now on last again."""
        (self.folder / "open-all").unlink()

    # What happened

    @property
    def ledger(self) -> list[Line]:
        """All that the tasks have written so far."""
        if self._ledger.exists():
            with self._ledger.open("rb") as file:
                file.seek(self._read_to)
                whole, end, _ = file.read().rpartition(b"\n")
            self._read_to += len(whole) + len(end)
            self._lines += [_line(text) for text in whole.split(b"\n") if text]
        return self._lines

    def lines(self, event: str, n: int | None = None) -> list[Line]:
        """The lines of an event, of one task or of all."""
        return [line for line in self.ledger if line.event == event and n in (None, line.n)]

    def count(self, event: str) -> Counter[int]:
        """How often an event happened to each task."""
        return Counter(line.n for line in self.lines(event))

    def happened(self, event: str, n: int, times: int = 1) -> Line:
        """Wait until an event has happened to a task so many times; returns the last of its lines."""
        wait_until(lambda: len(self.lines(event, n)) >= times, lambda: f"{event} of task {n}, {times} times\n{self.logs}", HANG)
        return self.lines(event, n)[times - 1]

    def is_settled(self) -> bool:
        """Whether no task waits, runs or is parked; not while the server is away."""
        try:
            now = self.stats
        except ServerUnreachable:
            return False
        return not (now.waiting.total or now.running or now.retrying or now.scheduled)

    def settled(self, timeout: float = HANG) -> Stats:
        """Wait until every task has ended; returns the figures, having checked that they add up."""
        wait_until(self.is_settled, lambda: f"every task has ended\n{self.logs}", timeout)
        return self.checked()

    def checked(self) -> Stats:
        """The figures, having checked that they add up."""
        now = self.stats
        present = now.waiting.total + now.scheduled + now.running + now.retrying
        ended = now.finished_total + now.dead_total + now.expired_total + now.cancelled_total + now.purged_total
        assert now.sent_total + now.revived_total == present + ended, now
        return now

    @property
    def stats(self) -> Stats:
        """The figures of the queue."""
        return read(self.run, away(self.endpoint))

    def locate(self, task_id: str) -> dict[str, Any]:
        """What `task show` tells of a task."""
        done = self.streamq("task", "show", "--json", task_id)
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown

    @property
    def dead(self) -> dict[str, dict[str, Any]]:
        """The dead letters by id; numbers and attempts decoded, the task's own fields under `fields`."""
        letters = {}
        for _, flat in self.link.call("XRANGE", self.keys["dead"], "-", "+"):
            texts = [value.decode(errors="surrogateescape") for value in flat]
            letter: dict[str, Any] = dict(zip(texts[:16:2], texts[1:16:2], strict=True))
            letter["deliveries"] = int(letter["deliveries"])
            letter["attempts"] = [json.loads(attempt) for attempt in letter["attempts"].splitlines()]
            letter["fields"] = dict(zip(texts[16::2], texts[17::2], strict=True))
            letters[letter["id"]] = letter
        return letters

    @property
    def fleet(self) -> dict[str, Card]:
        """The cards of all consumers."""
        return {name: msgspec.json.decode(card, type=Card) for name, card in self.run.fleet().items()}

    @property
    def logs(self) -> str:
        """What all workers have said."""
        return "\n".join(f"--- {path.stem}\n{path.read_text(errors='replace')}" for path in sorted(self.folder.glob("*.log")))

    def streamq(self, *arguments: str) -> Done:
        """Run another command."""
        return run([*arguments, "--queue", self.queue, "--data", str(self.data)], self.folder, os.environ, limit=HANG)

    # The end

    @property
    def left(self) -> list[psutil.Process]:
        """Processes that work in this folder."""
        return [each for each in psutil.process_iter(["cwd", "status"]) if _works_in(each, self.folder)]

    def clear(self) -> None:
        """End all workers; whatever runs on then has been orphaned."""
        for worker in self.workers:
            if worker.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.signal_group(signal.SIGCONT)
                worker.kill()
        self.app.close()
        self.link.close()
        try:
            wait_until(lambda: not self.left, "no process of the workers is left", 10)
        finally:
            for process in self.left:
                process.kill()


def seconds_since(moment: float) -> float:
    """How long ago something was, by the machine's monotonic clock."""
    return time.monotonic() - moment


def _line(text: bytes) -> Line:
    entry = json.loads(text)
    run = (entry.get("delivery", 0), entry.get("count", 0), entry.get("worker", ""))
    return Line(entry["event"], entry["n"], entry["pid"], entry["at"], *run)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    info = process.info
    return bool(info["cwd"] == str(folder) and info["status"] != psutil.STATUS_ZOMBIE)


def _is_child(process: psutil.Process) -> bool:
    try:
        return "streamq.worker.child" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
