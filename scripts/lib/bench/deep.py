"""A queue that holds a million waiting tasks and what goes with them, beside an empty one: the same figures on both."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from scripts.lib import depth
from scripts.lib.bench import late, measure
from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.figures import Figure, Goal
from scripts.lib.bench.measure import Measured, Place
from scripts.lib.bench.server import Server
from scripts.lib.bench.sizes import Sizes
from scripts.lib.bench.worker import Side

_ARGS = json.dumps({"kind": "empty", "sent": 0.0}).encode()
_READERS = {
    "stats": "`stats`",
    "pending": "`pending`",
    "waiting": "a page of waiting tasks",
    "scheduled": "a page of scheduled tasks",
    "retrying": "a page of tasks that wait for a retry",
    "dead": "a page of dead letters",
}
_DEEP, _EMPTY = "deep", "empty"


def row(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """The figures of this row."""
    if sizes.empty > sizes.depth.waiting:
        raise BenchError(f"{sizes.empty} tasks cannot be taken from a queue of {sizes.depth.waiting}")
    full = _template(place, "full", sizes.depth)
    aside = _template(place, "aside", sizes.depth, waiting_in="other")
    streamq = Side("streamq")
    told: list[Figure] = []

    def beside(what: str, words: str, deep: Callable[[], Measured], empty: Callable[[], Measured], goal: Goal) -> None:
        found = place.in_turn(what, rounds, {_DEEP: deep, _EMPTY: empty})
        lines = (found[_DEEP]["rate"], found[_EMPTY]["rate"])
        told.append(Figure(what=words, unit="/s", rounds=lines[0], beside="an empty queue", beside_rounds=lines[1], goal=goal))

    fast, soon = Goal(0.9), Goal(1.1, way="most")
    beside(
        "depth, sync",
        "deep: empty sync tasks",
        lambda: measure.drain(place, streamq, "empty", sizes.empty, template=full),
        lambda: measure.drain(place, streamq, "empty", sizes.empty),
        fast,
    )
    beside(
        "depth, single",
        "deep: single sends",
        lambda: measure.singles(place, streamq, sizes.single, template=full),
        lambda: measure.singles(place, streamq, sizes.single),
        fast,
    )
    beside(
        "depth, bulk",
        "deep: bulk sends",
        lambda: measure.bulk(place, streamq, sizes.bulk, template=full),
        lambda: measure.bulk(place, streamq, sizes.bulk),
        fast,
    )
    told += late.figures(
        place,
        "deep: latency",
        rounds,
        lambda: measure.latency(place, streamq, late.RATE, sizes.seconds, template=aside),
        lambda: measure.latency(place, streamq, late.RATE, sizes.seconds),
        "an empty queue",
        (soon, soon),
    )
    looked = place.in_turn("depth, readers", rounds, {_DEEP: lambda: _look(place, full, sizes.looks)})[_DEEP]
    limit = Goal(50, of="value", way="most")
    told += [Figure(what=f"deep: {words}", unit="ms", rounds=looked[name], goal=limit) for name, words in _READERS.items()]
    shutil.rmtree(full)
    shutil.rmtree(aside)
    return told


def _template(place: Place, name: str, wanted: depth.Depth, *, waiting_in: str | None = None) -> Path:
    """The folder of a server that holds the depth; the waiting tasks in another queue where one is named."""
    place.tell(f"depth: filling a queue with {wanted.waiting:,} tasks")
    folder = place.folder / name
    with Server(place.binary, place.folder) as server:
        task = {"task": "job", "args": _ARGS}
        at_rest = wanted._replace(waiting=0)
        first = wanted if waiting_in is None else at_rest
        depth.fill(server.url, "bench", **first._asdict(), **task)  # type: ignore[arg-type]
        if waiting_in is not None:
            depth.fill(server.url, waiting_in, waiting=wanted.waiting, **task)  # type: ignore[arg-type]
        server.compact()
        server.end()
        shutil.copytree(server.folder, folder)
    return folder


def _look(place: Place, template: Path, times: int) -> Measured:
    with place.fresh(template) as (server, counter):
        command = [sys.executable, "-P", "-m", "scripts.lib.bench.look", server.url, str(times)]
        environment = Side("streamq").environment(server, counter)
        done = subprocess.run(command, env=environment, cwd=place.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"reading a deep queue failed: {done.stderr[-800:]}")
        found: Measured = json.loads(done.stdout)
        return found
