"""The workers and producers under chaos: started, killed, halted, replaced.

Some workers run in a pid namespace of their own, as in a container: nobody can look their processes up, so that only the silence
of their heartbeats tells that they are dead. Some have a clock that is an hour wrong.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.chaos.kinds import GRACE, LEASE
from tests.chaos.records import Records

ROOT = Path(__file__).parents[2]
#: How a process of its own pid namespace is started; its processes end with it.
_CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def can(*command: str) -> bool:
    """Do what only some users of some systems may; say whether it was done."""
    try:
        return subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except FileNotFoundError:
        return False


@functools.cache
def has_containers() -> bool:
    """Whether processes can be started in a pid namespace of their own."""
    return can(*_CONTAINER, "true")


class Process:
    """A worker or a producer, in a session of its own.

    Args:
        name: unique in the round.
        command: its command line.
        folder: where it works.
        clock: how wrong its clock is, in seconds.
        proxied: whether it reaches the server through the proxy.
    """

    def __init__(self, name: str, command: list[str], folder: Path, *, clock: int = 0, proxied: bool = False) -> None:
        self.name = name
        self.proxied = proxied
        self.contained = command[0] == _CONTAINER[0]
        paths = [str(ROOT)]
        if clock:
            paths.insert(0, str(Path(__file__).with_name("clock")))
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "STREAMQ_CHAOS_CLOCK": str(clock)}
        with (folder / f"{name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def family(self) -> list[psutil.Process]:
        """All of its processes."""
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        return []

    def children(self) -> list[psutil.Process]:
        """The processes that run tasks."""
        return [each for each in self.family() if "streamq.worker.child" in _command(each)]

    def supervisor(self) -> psutil.Process | None:
        """The process that looks after them."""
        found = [each for each in self.family() if "consume" in _command(each) and "unshare" not in _command(each)[0]]
        return found[0] if found else None

    def signal_all(self, number: int) -> None:
        """Send all of its processes a signal, the one that looks after the others first."""
        for each in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(number)

    def ask_to_stop(self) -> None:
        """Ask it to stop."""
        target = self.supervisor()
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            (target or self.process).send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill all of its processes."""
        for each in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait()


class Fleet:
    """All workers and producers of a round.

    Args:
        folder: where they work, and the ledger lies.
        queue: name of the queue.
        records: where it tells of deaths.
        rng: where all chance comes from.
    """

    def __init__(self, folder: Path, queue: str, records: Records, rng: random.Random) -> None:
        self.folder = folder
        self.queue = queue
        self.workers: list[Process] = []
        self.producers: list[Process] = []
        #: Those that were asked to stop or were killed as well.
        self.everybody: list[Process] = []
        self._producers_started = 0
        self._records = records
        self._rng = rng
        self._started = 0
        self._first = 0

    def start_worker(self, url: str, *, proxied: bool, contained: bool, clock: int = 0) -> Process:
        """Start a worker."""
        self._started += 1
        name = f"w{self._started}"
        command = [sys.executable, "-m", "streamq", "consume", "--url", url, "--queue", self.queue, "--name", name]
        command += ["--tasks", "tests.chaos.tasks", "--lease", f"{LEASE:g}s", "--grace", f"{GRACE:g}s"]
        command += ["--processes", str(self._rng.choice((1, 1, 2))), "--concurrency", str(self._rng.choice((1, 4, 8)))]
        if contained:
            command = [*_CONTAINER, *command]
        worker = Process(name, command, self.folder, clock=clock, proxied=proxied)
        self.everybody.append(worker)
        self.workers.append(worker)
        return worker

    def start_producer(self, url: str, pace: float, *, proxied: bool) -> Process:
        """Start a producer."""
        self._producers_started += 1
        name = f"p{self._producers_started}"
        self._first += 1_000_000
        arguments = [url, self.queue, str(self._rng.getrandbits(32)), str(self._first), f"{pace:g}"]
        command = [sys.executable, "-m", "tests.chaos.producer", *arguments]
        producer = Process(name, command, self.folder, proxied=proxied)
        self.everybody.append(producer)
        self.producers.append(producer)
        return producer

    def kill(self, worker: Process) -> None:
        """Kill all processes of a worker at once; the fleet has it no more before, lest it be said to have ended by itself."""
        self.workers.remove(worker)
        worker.kill()
        self._records.death(worker.name)

    def kill_supervisor(self, worker: Process) -> None:
        """Kill the process that looks after the others: they end by themselves, and leave what they held."""
        supervisor = worker.supervisor()
        if supervisor is not None:
            self.workers.remove(worker)
            with contextlib.suppress(psutil.NoSuchProcess):
                supervisor.kill()
            worker.process.wait()
            self._records.death(worker.name)

    def kill_child(self, worker: Process) -> None:
        """Kill one of its processes that run tasks; another takes its place."""
        if children := worker.children():
            child = self._rng.choice(children)
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
            self._records.death(worker.name, None if worker.contained else child.pid)

    @contextlib.contextmanager
    def halted(self, worker: Process) -> Iterator[None]:
        """A worker stands still."""
        with self._records.silence([worker.name]):
            worker.signal_all(signal.SIGSTOP)
            try:
                yield
            finally:
                worker.signal_all(signal.SIGCONT)

    def retire(self, worker: Process, timeout: float) -> int | None:
        """Ask a worker to stop, and wait; returns its exit status, None if it does not end."""
        self.workers.remove(worker)
        worker.ask_to_stop()
        asked = time.monotonic()
        try:
            status = worker.process.wait(timeout)
            if time.monotonic() - asked >= GRACE:  # what it had finished meanwhile could not be settled: no server
                self._records.death(worker.name)
            return status
        except subprocess.TimeoutExpired:
            self.workers.append(worker)
            return None

    def close(self) -> None:
        """Kill everything that is left."""
        for each in self.everybody:
            if each.alive:
                each.signal_all(signal.SIGCONT)
                each.kill()


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() or [""]
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return [""]
