"""The figures of a queue in words: what `stats`, `monitor` and `workers` print of them for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamq.cli.render import Column, ago, span
from streamq.keys import PRIORITIES
from streamq.units import human_bytes

if TYPE_CHECKING:
    from streamq.server.probe import Facts
    from streamq.stats import Percentiles, Stats, Waiting, Worker

#: Colours of the states of a worker, by Rich's names.
WORKER_STYLES: Final = {"alive": "green", "stopped": "yellow", "lost": "red", "dead": "red", None: "magenta"}


def pairs(figures: Stats) -> list[tuple[str, str]]:
    """Names and values, a line each."""
    return [
        ("queue", figures.queue + (" (paused)" if figures.paused else "")),
        ("waiting", f"{number(figures.waiting.total)} ({priorities(figures.waiting)})"),
        ("scheduled", number(figures.scheduled)),
        ("running", number(figures.running)),
        ("retrying", number(figures.retrying)),
        ("dead", number(figures.dead)),
        ("throughput", f"{rate(figures.throughput_per_s)} of the last two minutes"),
        ("success", "-" if figures.success_rate is None else f"{percent(figures.success_rate)} of the last five minutes"),
        ("wait", times(figures.wait_ms)),
        ("run", times(figures.run_ms)),
        ("totals", ", ".join(f"{number(many)} {name}" for name, many in totals(figures))),
        ("workers", workers(figures.workers)),
        ("server", server(figures.server)),
    ]


def totals(figures: Stats) -> list[tuple[str, int]]:
    """What has happened since the queue began.

    Tasks first: sent and revived ones are those that are still there, finished, dead, expired, cancelled and purged ones. Then
    attempts.
    """
    # Every letter that came is still there, or was revived or discarded.
    discarded = figures.dead_total + figures.expired_total - figures.revived_total - figures.dead
    return [
        ("sent", figures.sent_total),
        ("revived", figures.revived_total),
        ("finished", figures.finished_total),
        ("dead", figures.dead_total),
        ("expired", figures.expired_total),
        ("cancelled", figures.cancelled_total),
        ("purged", figures.purged_total),
        ("discarded", max(0, discarded)),
        ("failed attempts", figures.failed_total),
        ("retried", figures.retried_total),
    ]


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most `width` characters, broken behind commas and nowhere else."""
    first, *parts = text.split(", ")
    lines = [first]
    for part in parts:
        lines[-1] += ","
        if len(lines[-1]) + 1 + len(part) < width:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    return "\n".join(lines)


def number(value: int) -> str:
    """A count: `12,345`."""
    return f"{value:,}"


def rate(per_second: float) -> str:
    """So many a second, with three digits that mean something."""
    shown = f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"  # noqa: PLR2004
    return f"{shown}/s"


def percent(share: float | None) -> str:
    """A share in per cent; never 100% where something failed."""
    if share is None:
        return "-"
    return "100%" if share == 1 else f"{min(share * 100, 99.99):.4g}%"


def priorities(waiting: Waiting) -> str:
    """How many wait, by priority."""
    return ", ".join(f"{number(getattr(waiting, name))} {name}" for name in PRIORITIES)


def times(measured: Percentiles) -> str:
    """Percentiles of a time."""
    if measured.p50 is None:
        return "-"
    return ", ".join(f"p{each} {span(getattr(measured, f'p{each}'))}" for each in (50, 95, 99))


def workers(found: list[Worker]) -> str:
    """How many processes of how many workers live."""
    alive = [worker for worker in found if worker.alive]
    names = len({worker.name for worker in alive})
    if not alive:
        return "none alive"
    processes = f"{len(alive)} process{'es' * (len(alive) != 1)}"
    return f"{names} alive ({processes})" + (f", {len(found) - len(alive)} lost" if len(found) > len(alive) else "")


def server(facts: Facts) -> str:
    """What the server is, and what it promises."""
    if not facts.connected:
        return f"away ({facts.url})"
    memory = "" if facts.used_memory_bytes is None else f", {human_bytes(facts.used_memory_bytes)}"
    bound = f" of {human_bytes(facts.max_memory_bytes)}" if facts.max_memory_bytes else ""
    embedded = ", embedded" if facts.embedded else ""
    return f"{facts.kind} {facts.version}{embedded}{memory}{bound}, {facts.eviction}, fsync {facts.durability}, {facts.url}"


def worker_columns(now: int) -> list[Column]:
    """What a list shows of a worker process.

    Args:
        now: the server's time, ms.
    """
    return [
        Column("worker", lambda worker: worker.name),
        Column("process", lambda worker: f"{worker.pid}" + (" quarantine" if worker.quarantine else "")),
        Column("host", lambda worker: worker.host, spare=4),
        Column("state", lambda worker: worker.state, style=lambda worker: WORKER_STYLES[worker.state]),
        Column("runs", lambda worker: f"{worker.running}/{worker.concurrency}", right=True),
        Column("finished", lambda worker: number(worker.finished), right=True),
        Column(
            "failed", lambda worker: number(worker.failed), right=True, style=lambda worker: "yellow" if worker.failed else ""
        ),
        Column("memory", lambda worker: human_bytes(worker.rss_bytes), right=True, spare=2),
        Column("started", lambda worker: ago(worker.started_ms or None, now), spare=3),
        Column("seen", lambda worker: ago(worker.seen_ms or None, now), spare=1),
    ]
