"""The rows of the table: what each measures, what stands beside it, and its goal."""

from __future__ import annotations

import functools
from collections.abc import Callable

from scripts.lib.bench import deep, images, late, measure
from scripts.lib.bench.figures import Figure, Goal
from scripts.lib.bench.measure import Measured, Place
from scripts.lib.bench.sizes import Sizes
from scripts.lib.bench.worker import Side

STREAMQ, ASYNC, LIMIT = Side("streamq"), Side("async"), Side("limit")
#: Async slots of the wide row.
_WIDE = 1000

RowOf = Callable[[Place, Sizes, int], list[Figure]]
Way = Callable[[], Measured]


def _against(place: Place, what: str, rounds: int, own: Way, other: Way, beside: str = "limit") -> Callable[..., Figure]:
    """Measure two ways in turn; returns what makes a figure of one of the values that both gave."""
    found = place.in_turn(what, rounds, {"streamq": own, beside: other})

    def figure(words: str, unit: str, name: str, goal: Goal | None = None) -> Figure:
        lines = (found["streamq"][name], found[beside][name])
        return Figure(what=words, unit=unit, rounds=lines[0], beside=beside, beside_rounds=lines[1], goal=goal)

    return figure


def _alone(place: Place, what: str, rounds: int, way: Way) -> dict[str, list[float]]:
    return place.in_turn(what, rounds, {"streamq": way})["streamq"]


def sync(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """Empty tasks, one process of ten threads."""
    return _empty(place, sizes, rounds, "sync", STREAMQ, Goal(0.75))


def async_(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """Empty async tasks, one process."""
    return _empty(place, sizes, rounds, "async", ASYNC, Goal(0.6))


def _empty(place: Place, sizes: Sizes, rounds: int, kind: str, side: Side, goal: Goal) -> list[Figure]:
    own, other = (_draining(place, each, "empty", sizes.empty) for each in (side, LIMIT))
    figure = _against(place, kind, rounds, own, other)
    return [
        figure(f"empty {kind} tasks, one process", "/s", "rate", goal),
        figure(f"processor time of the worker, an empty {kind} task", "µs", "worker_us"),
    ]


def processes(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """Two processes beside one."""
    told = []
    for kind, number, words, bound in (
        ("empty", sizes.empty, "empty tasks, two processes", 1.0),
        ("burn", sizes.burn, "tasks of 100 µs processor time, two processes", 1.6),
    ):
        two, one = (_draining(place, Side("streamq", processes=many), kind, number) for many in (2, 1))
        figure = _against(place, f"processes, {kind}", rounds, two, one, beside="one process")
        told.append(figure(words, "/s", "rate", Goal(bound)))
    return told


def single(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """One call each."""
    own, other = (_making(measure.singles, place, side, sizes.single) for side in (STREAMQ, LIMIT))
    return [_against(place, "single", rounds, own, other, "xadd")("single sends", "/s", "rate", Goal(1.0))]


def bulk(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """A thousand a call."""
    own, other = (_making(measure.bulk, place, side, sizes.bulk) for side in (STREAMQ, LIMIT))
    return [_against(place, "bulk", rounds, own, other, "pipeline")("bulk sends", "/s", "rate", Goal(1.5))]


def latency(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """From sending to starting, at 100 a second."""
    own, other = (functools.partial(measure.latency, place, side, late.RATE, sizes.seconds) for side in (STREAMQ, LIMIT))
    return late.figures(place, "latency", rounds, own, other, "limit", (Goal(1.2, way="most"), Goal(1.5, way="most")))


def waiting(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """Tasks that wait for 100 ms."""
    narrow = _alone(place, "waiting", rounds, _draining(place, STREAMQ, "wait", sizes.wait))
    wide_side = Side("async", slots=_WIDE)
    wide = _alone(place, "waiting, async", rounds, _draining(place, wide_side, "wait", sizes.wait_wide))
    name = "first_to_last"
    return [
        Figure(what="tasks of 100 ms, 10 threads", unit="/s", rounds=narrow[name], goal=Goal(99, of="value")),
        Figure(what="tasks of 100 ms, 1,000 async slots", unit="/s", rounds=wide[name], goal=Goal(9500, of="value")),
    ]


def cpu(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """Tasks that compute."""
    own, other = (_draining(place, side, "hash", sizes.hash) for side in (STREAMQ, LIMIT))
    return [_against(place, "cpu", rounds, own, other)("tasks of 1000 SHA-256, one process", "/s", "rate", Goal(1.0))]


def stored(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """Memory of the server for waiting tasks."""
    own, other = (_making(measure.stored, place, side, sizes.stored) for side in (STREAMQ, LIMIT))
    figure = _against(place, "bytes", rounds, own, other)
    return [figure("memory of a waiting task", "bytes", "bytes", Goal(80, of="value", way="most"))]


def rss(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """Resident memory of a worker under load."""
    found = _alone(place, "rss", rounds, lambda: measure.drain(place, STREAMQ, "empty", sizes.empty, watch_memory=True))
    goal = Goal(40, of="value", way="most")
    return [
        Figure(what="resident memory of a worker process under load", unit="MiB", rounds=found["child_mib"], goal=goal),
        Figure(what="resident memory of its supervisor", unit="MiB", rounds=found["first_mib"]),
    ]


def server(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """Processor time of the server."""
    own, other = (_draining(place, side, "empty", sizes.empty) for side in (STREAMQ, LIMIT))
    drained = _against(place, "server, take and settle", rounds, own, other)
    own, other = (_making(measure.bulk, place, side, sizes.bulk) for side in (STREAMQ, LIMIT))
    added = _against(place, "server, add", rounds, own, other, "pipeline")
    name = "server_us"
    return [
        drained("server's processor time a task, take and settle", "µs", name, Goal(6, of="value", way="most")),
        added("server's processor time a task, add in bulk", "µs", name, Goal(2.5, of="value", way="most")),
    ]


def features(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """What features cost where they are used, beside tasks that use none."""
    used = {
        "priorities": "tasks spread over three priorities",
        "due": "every other task was sent with a delay",
        "unique": "every task has a unique key",
        "timeout": "every task has a timeout",
    }
    ways = {name: _draining(place, Side(name), "empty", sizes.empty) for name in ("streamq", *used)}
    found = place.in_turn("features", rounds, ways)
    plain = found["streamq"]["rate"]
    return [
        Figure(what=words, unit="/s", rounds=found[name]["rate"], beside="without", beside_rounds=plain)
        for name, words in used.items()
    ]


def pictures(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """Thumbnails on all cores."""
    with images.embedded(place.folder) as folder:
        studio = images.Studio(folder, sizes.images)
        figure = _against(place, "images", rounds, studio.through_queue, studio.plain_loop, "plain Pillow loop")
        told = [figure("12-megapixel JPEG to 800 px, all cores", "/s", "rate", Goal(0.97))]
        if not (backends := images.backends()):
            place.tell("images: pyvips is not installed here, so the libvips backend is not measured")
        for backend in backends:
            fast = functools.partial(studio.through_queue, backend)
            figure = _against(place, f"images, {backend}", rounds, fast, studio.through_queue, "Pillow")
            told.append(figure(f"the same with the {backend} backend", "/s", "rate", Goal(2.0)))
    return told


def start_up(place: Place, sizes: Sizes, rounds: int) -> list[Figure]:
    """Whole processes."""
    with images.embedded(place.folder) as folder:
        found = place.in_turn("start-up", rounds, images.start_up(folder, sizes.starts))
    base, goal = found.pop("import redis")["ms"], Goal(1.5, way="most")
    words = {"import streamq": "`import streamq`", "produce": "`streamq produce` of one image", "pending": "`streamq pending`"}
    return [
        Figure(
            what=f"{words[name]}, whole process",
            unit="ms",
            rounds=times["ms"],
            beside="import redis",
            beside_rounds=base,
            goal=None if name == "pending" else goal,
        )
        for name, times in found.items()
    ]


def _draining(place: Place, side: Side, kind: str, number: int) -> Way:
    return lambda: measure.drain(place, side, kind, number)


def _making(what: Callable[[Place, Side, int], Measured], place: Place, side: Side, number: int) -> Way:
    return lambda: what(place, side, number)


ROWS: dict[str, RowOf] = {
    "sync": sync,
    "async": async_,
    "processes": processes,
    "single": single,
    "bulk": bulk,
    "latency": latency,
    "waiting": waiting,
    "cpu": cpu,
    "bytes": stored,
    "rss": rss,
    "server": server,
    "depth": deep.row,
    "features": features,
    "images": pictures,
    "start-up": start_up,
}
