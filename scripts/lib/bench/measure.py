"""The measurements: each on a server that was started for it alone, with workers and senders that are processes of their own."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from scripts.lib.bench.bodies import WAIT
from scripts.lib.bench.counter import Counter
from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.send import TRICKLE_WARM
from scripts.lib.bench.server import Server
from scripts.lib.bench.worker import LONGEST, Side, Worker, send

K = TypeVar("K")
V = TypeVar("V")
Measured = dict[str, float]

_WARM = 50


class Place:
    """Where measurements are made.

    Args:
        binary: of the server.
        folder: a throwaway folder.
        tell: called with a line of progress.
    """

    def __init__(self, binary: Path, folder: Path, tell: Callable[[str], None]) -> None:
        self.binary = binary
        self.folder = folder
        self.tell = tell

    @contextmanager
    def fresh(self, template: Path | None = None) -> Iterator[tuple[Server, Counter]]:
        """A server of its own, and a counter in a folder that is gone afterwards."""
        folder = Path(tempfile.mkdtemp(dir=self.folder, prefix="run-"))
        try:
            with Server(self.binary, self.folder, template) as server:
                yield server, Counter(folder / "counter")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def in_turn(self, what: str, rounds: int, ways: Mapping[K, Callable[[], Mapping[str, V]]]) -> dict[K, dict[str, list[V]]]:
        """Measure in turn, round by round; every other round the other way about, so that nobody is always the first.

        Returns:
            Of each way the figures by name, one a round.
        """
        found: dict[K, dict[str, list[V]]] = {key: {} for key in ways}
        for number in range(rounds):
            for key in ways if number % 2 == 0 else reversed(list(ways)):
                self.tell(f"{what}: round {number + 1} of {rounds}, {key}")
                for name, value in ways[key]().items():
                    found[key].setdefault(name, []).append(value)
        return found


def drain(
    place: Place,
    side: Side,
    kind: str,
    number: int,
    *,
    template: Path | None = None,
    watch_memory: bool = False,
) -> Measured:
    """Empty a full queue by one worker, from the first counted task to the last.

    Args:
        place: where.
        side: whose worker.
        kind: the tasks' body.
        number: how many tasks; all that the queue holds, unless there is a template.
        template: what the server begins with, instead of tasks that are sent.
        watch_memory: whether to look at what the worker keeps resident, which takes a little time.

    Returns:
        `rate` (tasks a second), `first_to_last` (the same from the start of the first task, of those that wait), `server_us`
        (the server's processor time a task, all that the worker asks), `worker_us`, and where memory is watched `child_mib` and
        `first_mib`.
    """
    with place.fresh(template) as (server, counter):
        if template is None:
            send(side, server, counter, "bulk", kind, number)
        before = server.cpu
        with Worker(side, server, counter) as worker:
            _, first = worker.reach(1)
            worker_cpu = worker.cpu()
            ended, last = worker.reach(number, watch_memory=watch_memory)
            worker_cpu = worker.cpu() - worker_cpu
            if template is None:
                settled(server, side.stream)
            used = server.cpu - before
        seconds = ended - counter.began
        found = {
            "rate": (last - 1) / seconds,
            "first_to_last": last / (seconds + WAIT),
            "server_us": used / last * 1e6,
            "worker_us": worker_cpu / max(1, last - first) * 1e6,
        }
        return found | ({"child_mib": worker.child_mib, "first_mib": worker.first_mib} if watch_memory else {})


def settled(server: Server, stream: str) -> None:
    """Wait until the last tasks are settled, too."""
    deadline = time.monotonic() + LONGEST
    while server.client.xlen(stream):
        if time.monotonic() > deadline:
            raise BenchError(f"tasks that ran are not settled: {server.client.xlen(stream)} left in {stream}")
        time.sleep(0.01)


def singles(place: Place, side: Side, number: int, *, template: Path | None = None) -> Measured:
    """Send tasks one by one: `rate` a second."""
    with place.fresh(template) as (server, counter):
        return {"rate": send(side, server, counter, "single", "empty", number)}


def bulk(place: Place, side: Side, number: int, *, template: Path | None = None) -> Measured:
    """Send tasks a thousand a call: `rate` a second, `server_us`: the server's processor time a task."""
    with place.fresh(template) as (server, counter):
        before = server.cpu
        rate = send(side, server, counter, "bulk", "empty", number)
        return {"rate": rate, "server_us": (server.cpu - before) / number * 1e6}


def stored(place: Place, side: Side, number: int) -> Measured:
    """Memory of the server: `bytes` a waiting task."""
    with place.fresh() as (server, counter):
        before = server.memory
        send(side, server, counter, "bulk", "empty", number)
        return {"bytes": (server.memory - before) / number}


def latency(place: Place, side: Side, rate: float, seconds: float, *, template: Path | None = None) -> dict[str, list[float]]:
    """From sending a task until it starts, the worker idle and the sender another process, both warm: `late`, each in ms."""
    with place.fresh(template) as (server, counter), Worker(side, server, counter) as worker:
        send(side, server, counter, "bulk", "empty", _WARM)
        worker.reach(_WARM)
        send(side, server, counter, "trickle", rate, seconds)
        worker.reach(_WARM + TRICKLE_WARM + round(rate * seconds))
        return {"late": [1000 * late for late in counter.late]}
