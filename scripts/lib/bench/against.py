"""Has a change cost something? The same rows by the code at hand and by that of another revision, in turn."""

from __future__ import annotations

import dataclasses
import functools
import statistics
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

from scripts.lib.bench import late, measure
from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.figures import TIMES, Figure, Goal
from scripts.lib.bench.measure import Measured, Place
from scripts.lib.bench.sizes import Sizes
from scripts.lib.bench.worker import ROOT, Side

#: A row may cost so much more than before.
TOLERANCE = 0.1
DEFAULT = ("sync", "single", "bulk", "cpu")


def check_out(revision: str, into: Path) -> Path:
    """Put the package of a revision into a folder; returns the folder, for `Side.package`.

    Raises:
        BenchError: there is no such revision, or no git.
    """
    folder = into / "revision"
    folder.mkdir()
    try:
        packed = subprocess.run(["git", "archive", revision, "streamq"], cwd=ROOT, capture_output=True, check=True).stdout  # noqa: S607
    except FileNotFoundError:
        raise BenchError("git is not there, and --against needs it", hint="install git") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise BenchError(f"{revision} cannot be checked out: {said}", hint="`git log --oneline` lists revisions") from None
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def check(names: list[str]) -> None:
    """Say which rows cannot be compared.

    Raises:
        BenchError: one of these.
    """
    unknown = [name for name in names if name not in COMPARED]
    if unknown:
        raise BenchError(f"{', '.join(unknown)} cannot be measured --against", hint=f"these can: {', '.join(COMPARED)}")


def compare(place: Place, sizes: Sizes, rounds: int, names: list[str], package: Path) -> list[Figure]:
    """Measure rows by both; a goal is not to cost more than is tolerated."""
    told = []
    for name in names:
        words, unit, value, side = COMPARED[name]
        sides = {"now": side, "before": dataclasses.replace(side, package=package)}
        ways = {key: functools.partial(_measure, name, place, each, sizes) for key, each in sides.items()}
        found = place.in_turn(name, rounds, ways)
        more_is_better = unit == "/s"
        told.append(
            Figure(
                what=words,
                unit=unit,
                rounds=found["now"][value],
                beside="before",
                beside_rounds=found["before"][value],
                goal=Goal(1 - TOLERANCE) if more_is_better else Goal(1 + TOLERANCE, way="most"),
            )
        )
    return told


#: Rows that can be compared: what they are, their unit, the value, the side.
COMPARED: dict[str, tuple[str, str, str, Side]] = {
    "sync": ("empty sync tasks", "/s", "rate", Side("streamq")),
    "async": ("empty async tasks", "/s", "rate", Side("async")),
    "single": ("single sends", "/s", "rate", Side("streamq")),
    "bulk": ("bulk sends", "/s", "rate", Side("streamq")),
    "cpu": ("tasks of 1000 SHA-256", "/s", "rate", Side("streamq")),
    "latency": ("latency at 100/s, p50", "ms", "p50", Side("streamq")),
    "bytes": ("memory of a waiting task", "bytes", "bytes", Side("streamq")),
    "server": ("server's processor time a task, take and settle", "µs", "server_us", Side("streamq")),
    "worker": ("processor time of the worker, an empty task", "µs", "worker_us", Side("streamq")),
}


def _measure(name: str, place: Place, side: Side, sizes: Sizes) -> Measured:
    if name == "single":
        return measure.singles(place, side, sizes.single)
    if name == "bulk":
        return measure.bulk(place, side, sizes.bulk)
    if name == "latency":
        return {"p50": late.percentile(measure.latency(place, side, late.RATE, sizes.seconds)["late"], 50)}
    if name == "bytes":
        return measure.stored(place, side, sizes.stored)
    kind, number = ("hash", sizes.hash) if name == "cpu" else ("empty", sizes.empty)
    return measure.drain(place, side, kind, number)


def costs_more(figures: list[Figure]) -> list[str]:
    """What costs more than is tolerated, in words."""
    return [
        f"{figure.what}: {statistics.median(figure.ratios):.3g} {TIMES} before" for figure in figures if figure.reached is False
    ]
