"""`streamq bench`: what this installation does in a second, measured here and now."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

import click

from streamq.cli.options import DURATION
from streamq.cli.render import note
from streamq.errors import UsageError
from streamq.units import duration, human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq.bench.figures import Report
    from streamq.cli.state import State

#: Part -> what is said while it is measured; `streamq.bench.course` knows the same parts.
PARTS: Final = {
    "send": "sending",
    "empty": "running empty tasks",
    "waiting": "running tasks that wait",
    "images": "making thumbnails",
    "latency": "sending now and then",
}
#: How long each figure may be measured, in seconds.
_LEAST, _MOST = 0.05, 60.0
#: How often a second the terminal is drawn on: seldom, since this takes from what is measured.
_REFRESH: Final = 4


def _seconds(_ctx: click.Context, _param: click.Parameter, value: float) -> float:
    if not _LEAST <= value <= _MOST:
        raise UsageError(f"--seconds: from {duration(_LEAST)} to {duration(_MOST)}, not {duration(value)}")
    return value


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)), metavar="[PART]...")
@click.option(
    "--seconds", type=DURATION, default="1s", show_default=True, callback=_seconds, help="How long each figure is measured."
)
@click.option("--processes", type=click.IntRange(1, 64), help="Processes of the worker.  [default: as consume]")
@click.option("--concurrency", type=click.IntRange(1, 10_000), help="Slots of a process.  [default: as consume]")
@click.pass_obj
def bench(state: State, parts: tuple[str, ...], seconds: float, processes: int | None, concurrency: int | None) -> None:
    """Measure this installation: the server in force, from this machine, with a worker as `consume` starts it.

    PART is send, empty, waiting, images or latency; without any, all are measured, in about 20 seconds.

    A queue of its own is made and removed again, however the run ends; no other queue is touched. What else this machine and the
    server do meanwhile is in the figures.
    """
    from streamq.bench.course import Bench, Options
    from streamq.bench.ground import MEMORY, TASKS_MOST, interruptible
    from streamq.images import backends

    backends.scaler(state.settings)  # a libvips that cannot be loaded would end the worker in the middle
    state.link().connect()
    worker = state.settings.worker
    options = Options(
        parts=parts or tuple(PARTS),
        seconds=seconds,
        processes=processes or worker.processes or os.cpu_count() or 1,
        concurrency=concurrency,
    )
    with interruptible(), Bench(state.settings, options) as run:
        if run.swept:
            note(f"removed what runs that are gone had left: {', '.join(run.swept)}")
        note(
            f"queue {run.queue.name}, made for this: at most {TASKS_MOST:,} tasks at a time, {human_bytes(MEMORY)}, "
            "and 150 bytes of an append-only file for each that passes; it is removed at the end"
        )
        report = run.report
        if not state.json:
            _show(state, "head", report)
        for part in report.settings.parts:
            with _status(PARTS[part]):
                run.measure(part)
            if not state.json:
                _show(state, part, report)
        run.finish()
    if state.json:
        state.out.write(report)
    else:
        _show(state, "hints", report)


def _show(state: State, what: str, report: Report) -> None:
    from streamq.cli import bench_view

    bench_view.show(state.out, what, report)
    state.out.flush()


@contextlib.contextmanager
def _status(what: str) -> Iterator[None]:
    """Say what is done for as long as it lasts, where somebody looks at a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what, refresh_per_second=_REFRESH):
        yield
