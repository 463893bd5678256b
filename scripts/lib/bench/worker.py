"""Processes that work and send while something is measured: real ones, each a side of a comparison."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from scripts.lib.bench.counter import VARIABLE, Counter
from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.server import Server

ROOT = Path(__file__).resolve().parents[3]
#: Longest that one measurement may take, in seconds.
LONGEST = 300.0
_POLL = 0.005
_SAMPLE = 0.05


@dataclass(frozen=True)
class Side:
    """Whom a figure is of.

    Args:
        name: `streamq`, `async` (streamq with async tasks), a feature of streamq that `send.py` knows, or `limit`.
        processes: of its worker.
        slots: of each process.
        package: a folder with another `streamq` than the one at hand.
    """

    name: str
    processes: int = 1
    slots: int = 10
    package: Path | None = None

    def environment(self, server: Server, counter: Counter) -> dict[str, str]:
        """What its processes are told; settings of whoever measures do not reach them."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMQ_")}
        path = os.pathsep.join(str(each) for each in (self.package, ROOT) if each is not None)
        told = {"PYTHONPATH": path, "BENCH_URL": server.url, VARIABLE: str(counter.path), "STREAMQ_QUEUE__MAX_SIZE": "10000000"}
        return inherited | told

    @property
    def stream(self) -> str:
        """The key of the stream whose tasks are measured."""
        return "bench" if self.name == "limit" else "streamq:{bench}:default"

    def worker(self, server: Server) -> list[str]:
        """The command that starts its worker."""
        if self.name == "limit":
            return [sys.executable, "-P", "-m", "scripts.lib.bench.limit"]
        tasks = "scripts.lib.bench.async_tasks" if self.name == "async" else "scripts.lib.bench.tasks"
        where = ["--url", server.url, "--queue", "bench", "--tasks", tasks, "--name", "bench"]
        how = ["--processes", str(self.processes), "--concurrency", str(self.slots)]
        return [sys.executable, "-P", "-m", "streamq", "consume", *where, *how]

    def sender(self, *arguments: object) -> list[str]:
        """The command that sends tasks."""
        return [sys.executable, "-P", "-m", "scripts.lib.bench.send", self.name, *map(str, arguments)]


def send(side: Side, server: Server, counter: Counter, *arguments: object) -> float:
    """Send tasks from a process of its own; returns how many a second, 0 where that was given.

    Raises:
        BenchError: it failed.
    """
    environment = side.environment(server, counter)
    command = side.sender(*arguments)
    done = subprocess.run(
        command, cwd=counter.path.parent, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST
    )
    if done.returncode:
        raise BenchError(f"{' '.join(command[4:])} ended with {done.returncode}: {done.stderr[-800:]}")
    return float(json.loads(done.stdout)["rate"]) if done.stdout else 0.0


class Worker:
    """A running worker; killed with all its processes when its block ends.

    Args:
        side: whose.
        server: where it takes from.
        counter: where its tasks are counted.
    """

    def __init__(self, side: Side, server: Server, counter: Counter) -> None:
        self._counter = counter
        self._log = counter.path.with_suffix(".log")
        #: Most that it was seen to keep resident, in MiB: the largest child, and the process that was started.
        self.child_mib = self.first_mib = 0.0
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                side.worker(server),
                cwd=counter.path.parent,
                env=side.environment(server, counter),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def children(self) -> list[psutil.Process]:
        """Its processes that run tasks: its children, or itself where it has none."""
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            return own.children() or [own]
        return []

    def cpu(self) -> float:
        """Processor time that its children have used, in seconds."""
        used = 0.0
        for child in self.children:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                used += times.user + times.system
        return used

    def reach(self, number: int, *, watch_memory: bool = False) -> tuple[float, int]:
        """Wait until so many tasks have been counted; returns when, by `time.monotonic()`, and how many.

        Raises:
            BenchError: it has ended, or it takes too long.
        """
        deadline = sampled = time.monotonic()
        deadline += LONGEST
        while (done := self._counter.total) < number:
            now = time.monotonic()
            if self.process.poll() is not None or now > deadline:
                how = "too slow" if self.process.returncode is None else f"ended with {self.process.returncode}"
                raise BenchError(f"the worker is {how}: {done} of {number} tasks; it said: {self._said()}")
            if watch_memory and done and now - sampled > _SAMPLE:
                sampled = now
                self._sample()
            time.sleep(_POLL)
        if watch_memory:
            self._sample()
        return time.monotonic(), done

    def _sample(self) -> None:
        mib = 1 << 20
        with contextlib.suppress(psutil.NoSuchProcess):
            self.first_mib = max(self.first_mib, psutil.Process(self.process.pid).memory_info().rss / mib)
            self.child_mib = max(self.child_mib, *(child.memory_info().rss / mib for child in self.children))

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-800:] or "nothing"
