"""Where the time of an empty task goes, asked of three: the kernel, py-spy and the server.

The kernel says how much processor time each thread of the worker's process has used, py-spy which function held the interpreter
(what waits or is in the kernel is not seen), and the server how long each command took.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from scripts.lib.bench import machine
from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.figures import Hot, Profile
from scripts.lib.bench.measure import Place, settled
from scripts.lib.bench.worker import Side, Worker, send

if TYPE_CHECKING:
    import psutil

#: Samples a second.
RATE = 250
#: Looks that found somebody at work, at least: with fewer the shares say nothing.
LEAST = 500
#: Lines of each table.
_LINES = 20


class Stack(NamedTuple):
    """A stack that was seen, outermost first, and how often."""

    frames: tuple[str, ...]
    times: int


def take(place: Place, server_name: str, number: int, side: str = "streamq") -> Profile:
    """Profile a worker that empties a queue.

    Raises:
        BenchError: py-spy is missing, may not look into the worker, or saw too little of it.
    """
    streamq = Side(side)
    with place.fresh() as (server, counter):
        place.tell(f"profile: sending {number:,} tasks")
        send(streamq, server, counter, "bulk", "empty", number)
        server.client.config_resetstat()
        with Worker(streamq, server, counter) as worker:
            _, first = worker.reach(1)
            place.tell("profile: watching the worker")
            [child] = [each for each in worker.children if "streamq.worker.child" in each.cmdline()]
            with _watch(child, place.folder) as samples:
                before = _used(child)
                ended, last = worker.reach(number)
                began = counter.began
                used = {thread: time - before.get(thread, 0.0) for thread, time in _used(child).items()}
                raw = samples.end()
                named = samples.names()
            settled(server, streamq.stream)
            commands = _commands(server.info("commandstats"), number)
    stacks = list(parse(raw))
    check(stacks, number)
    return Profile(
        at=machine.now(),
        commit=machine.commit(),
        server=server_name,
        machine=machine.machine(),
        tasks=number,
        rate=(last - 1) / (ended - began),
        threads=threads(used, named, last - first),
        functions=functions(stacks)[:_LINES],
        commands=commands,
    )


class _watch:  # noqa: N801 - a context, used as a function
    """py-spy beside a process, until it is told to end."""

    def __init__(self, process: psutil.Process, folder: Path) -> None:
        self._file = Path(tempfile.mkdtemp(dir=folder)) / "samples"
        program = shutil.which("py-spy", path=f"{Path(sys.executable).parent}") or shutil.which("py-spy")
        if program is None:
            raise BenchError("py-spy is missing", hint="pip install 'streamq[bench]'")
        what = ["--pid", str(process.pid), "--rate", str(RATE), "--gil", "--function", "--format", "raw"]
        command = [program, "record", *what, "--output", str(self._file)]
        self._dump = [program, "dump", "--json", "--pid", str(process.pid)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def names(self) -> dict[int, str]:
        """The names of the threads by their ids; asked when the watching has ended, since one at a time may look in."""
        told = subprocess.run(self._dump, capture_output=True, text=True, check=True).stdout
        return {each["os_thread_id"]: each["thread_name"] for each in json.loads(told)}

    def end(self) -> str:
        """End it; returns what it saw."""
        self._process.send_signal(signal.SIGINT)
        _, said = self._process.communicate(timeout=60)
        if not self._file.exists():
            hint = "it needs the right to look into other processes: run as root, or allow ptrace (kernel.yama.ptrace_scope)"
            raise BenchError(f"py-spy saw nothing: {said.strip()[-400:]}", hint=hint)
        return self._file.read_text(encoding="utf-8")


def parse(raw: str) -> Iterable[Stack]:
    """The stacks in py-spy's raw format: frames with semicolons, a space, how often."""
    for line in raw.splitlines():
        frames, _, times = line.rpartition(" ")
        yield Stack(tuple(frames.split(";")), int(times))


def check(stacks: list[Stack], tasks: int) -> None:
    """Refuse what is too little to tell shares from.

    Raises:
        BenchError: it is.
    """
    seen = sum(stack.times for stack in stacks)
    if seen < LEAST:
        more = -(-tasks * LEAST // max(1, seen))
        what = f"py-spy saw the worker {seen} times while it ran {tasks:,} tasks: too few for shares, which take {LEAST}"
        raise BenchError(what, hint=f"let it run more: --size profile={more}")


def _used(process: psutil.Process) -> dict[int, float]:
    """Processor time of each thread, in seconds."""
    return {thread.id: thread.user_time + thread.system_time for thread in process.threads()}


def threads(used: Mapping[int, float], names: Mapping[int, str], tasks: int) -> list[Hot]:
    """Processor time a task of the threads of each name; those that a number tells from their like are one line."""
    times: Tally[str] = Tally()
    many: Tally[str] = Tally()
    for thread, seconds in used.items():
        name = re.sub(r"[-_ ]?\d+$", "", names.get(thread, "other"))
        times[name] += seconds  # type: ignore[assignment]
        many[name] += 1
    every = sum(times.values()) or 1
    lines = ((f"{name} ({many[name]})" if many[name] > 1 else name, seconds) for name, seconds in times.most_common())
    return [Hot(name, seconds / every, seconds / tasks * 1e6) for name, seconds in lines]


def functions(stacks: list[Stack]) -> list[Hot]:
    """Share of each function, by its own time first; a function counts once a stack."""
    every = sum(stack.times for stack in stacks) or 1
    own: Tally[str] = Tally()
    total: Tally[str] = Tally()
    for stack in stacks:
        frames = [_short(frame) for frame in stack.frames]
        if not frames:
            continue
        own[frames[-1]] += stack.times
        for frame in set(frames):
            total[frame] += stack.times
    return [Hot(name, many / every, total[name] / every) for name, many in own.most_common()]


def _short(frame: str) -> str:
    """A frame with the file's name below its package."""
    name, _, file = frame.rpartition(" (")
    file = re.sub(r"(:\d+)?\)$", "", file)
    parts = file.split("/")
    for package in ("streamq", "scripts", "redis"):
        if package in parts[:-1]:
            parts = parts[len(parts) - 1 - parts[::-1].index(package) :]
            break
    else:
        parts = parts[-1:]
    return f"{name} ({'/'.join(parts)})"


def _commands(stats: dict[str, dict[str, float]], number: int) -> list[Hot]:
    """What the server spent on each command, the costliest first; a script's time includes that of what it calls."""
    lines = [
        Hot(
            name.removeprefix("cmdstat_"),
            own=each["usec_per_call"],
            total=each["usec"] / number,
            calls=each["calls"] / number,
        )
        for name, each in stats.items()
        if not name.startswith(("cmdstat_info", "cmdstat_config"))
    ]
    return sorted(lines, key=lambda line: -line.total)[:_LINES]
