"""What to look at when a figure is low: what the run itself shows to stand in the way, and nothing that it does not show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamq.units import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq.bench.figures import Report

#: From this on, in ms, a round trip decides how fast single tasks are sent and started.
_FAR_MS: Final = 0.5
#: Slots that wait for less than this share of the time are kept waiting themselves.
_IDLE: Final = 0.95
#: A machine with more than this share of its cores busy before the run is not measured alone.
_BUSY: Final = 0.5
#: A p99 of so many times the p50, and of so many ms, is somebody else's doing.
_UNEVEN, _LATE_MS = 10, 5.0


def of(report: Report) -> list[str]:
    """A sentence for each thing that makes figures of this run lower, or higher, than they would be without it."""
    return [*_machine(report), *_server(report), *_worker(report)]


def _machine(report: Report) -> Iterator[str]:
    machine = report.machine
    if machine.load is not None and machine.load > _BUSY * machine.cores:
        yield (
            f"the machine was busy before the run (load {machine.load:g} on {machine.cores} core{'s' * (machine.cores > 1)}): "
            "measure again when nothing else runs"
        )
    if report.settings.processes > machine.cores:
        yield f"{report.settings.processes} processes share {machine.cores} cores: more processes than cores gain nothing"


def _server(report: Report) -> Iterator[str]:
    trip = report.round_trip_ms.p50
    if trip >= _FAR_MS:
        yield (
            f"the server is {duration(trip / 1000)} away: a thread that sends singly sends at most {1000 / trip:,.0f} a second; "
            "send in bulk (enqueue_many), from more threads, or from nearer"
        )
    if report.server.durability == "always":
        yield "the server writes each send to the disk before it answers (appendfsync always): its disk sets the pace"
    elif report.server.durability == "none":
        yield "the server has no append-only file: a crash of it loses tasks, and with one the figures are somewhat lower"


def _worker(report: Report) -> Iterator[str]:
    if report.failed:
        yield f"{report.failed} attempts failed or lost their process meanwhile: the figures tell nothing, see why first"
    if report.waiting is not None:
        for kind, each in (("sync", report.waiting.sync), ("async", report.waiting.async_)):
            if each.share < _IDLE:
                yield (
                    f"{kind} slots were kept waiting for {1 - each.share:.0%} of the time: "
                    "the processors or the server were busy with something else"
                )
    if report.latency is not None:
        times = report.latency.start_ms
        if times.p99 > max(_LATE_MS, _UNEVEN * times.p50):
            yield f"some tasks started late (p99 {duration(times.p99 / 1000)}): the processors were busy with something else"
