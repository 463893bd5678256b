"""The whole run: the ground is made, the parts are measured in order, and everything is removed, however the run ends."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streamq.app import App
from streamq.bench import ground, hints, latency, running, sending, tasks
from streamq.bench.claim import Claim, sweep
from streamq.bench.crew import Crew, Order
from streamq.bench.field import Field
from streamq.bench.figures import Machine, Part, Report, Setting
from streamq.errors import StreamqError, UsageError
from streamq.server.connect import Link
from streamq.server.probe import probe
from streamq.task import Task, bind
from streamq.transitions import Transitions
from streamq.worker.spawn import ASYNC_SLOTS, SYNC_SLOTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from streamq.config import Settings
    from streamq.queue import Queue

_log = logging.getLogger("streamq.bench")

#: The parts, in the order in which they are measured: sending before there is a worker.
PARTS: Final = ("send", "empty", "waiting", "images", "latency")


class Options(NamedTuple):
    """What is asked of one run."""

    parts: Sequence[str] = PARTS
    #: How long each figure is measured.
    seconds: float = 1.0
    processes: int = 1
    #: Slots of a process; None: as configured.
    concurrency: int | None = None


class Bench:
    """One run, inside a `with` block.

    Args:
        settings: the configuration in force.
        options: what is asked for.

    Raises:
        UsageError: there would be more slots than tasks may wait.
        ServerError: the server is away, has no room, or does not let what is written be removed.
    """

    def __init__(self, settings: Settings, options: Options) -> None:
        concurrency = options.concurrency or settings.worker.concurrency
        self._slots = (concurrency or SYNC_SLOTS, concurrency or ASYNC_SLOTS)
        slots = max(self._slots) * options.processes
        if slots > running.SLOTS_MOST:
            what = f"{options.processes} processes of {max(self._slots):,} slots are too many to measure"
            raise UsageError(what, hint=f"at most {running.SLOTS_MOST:,} slots together")
        self._began = time.monotonic()
        self._options = options
        self._folder = ground.make_folder()
        self.settings = ground.prepare(settings, self._folder, options.concurrency, slots)
        self.app = App(settings=self.settings)
        self._link = Link(self.queue.endpoint, name="streamq-bench")
        self._transitions = Transitions(self._link, self.queue.keys)
        self._claim = Claim(self.queue.endpoint, self.queue.keys)
        #: Queues that runs before this one had left on the server, and that it removed.
        self.swept: list[str] = []
        self._crew: Crew | None = None
        self._field: Field | None = None

    @property
    def queue(self) -> Queue:
        """The queue of the run."""
        return self.app.queue

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException as error:
            self._end(error)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(error)

    def _begin(self) -> None:
        machine, server = Machine.here(), probe(self._link)
        ground.check(self._link, self.queue.keys, server)
        self.swept = sweep(self._link)
        self._crew = Crew(Order(self.settings, self._options.processes, self._folder))
        self._crew.ready()
        self._claim.take()
        setting = Setting(
            queue=self.queue.name,
            parts=[part for part in PARTS if part in self._options.parts],
            seconds=self._options.seconds,
            processes=self._options.processes,
            sync_slots=self._slots[0],
            async_slots=self._slots[1],
        )
        trip = latency.round_trip(self._link, self._options.seconds)
        self.report = Report(machine=machine, server=server, settings=setting, round_trip_ms=trip)

    def _end(self, error: BaseException | None) -> None:
        """Remove everything, whatever comes; where the run has failed already, that stays its error."""
        ground.deafen()
        self._claim.release()
        try:
            if self._crew is not None:
                self._crew.stop()
                ground.clear(self._link, self.queue.keys)
        except StreamqError as wrong:
            if error is None:
                raise
            _log.warning("the keys %s* could not be removed: %s", self.queue.keys.prefix, wrong.what)
        finally:
            self.app.close()
            self._link.close()
            ground.remove_folder(self._folder)

    def measure(self, part: str) -> Part:
        """Measure one part, and note it in the report.

        Raises:
            StreamqError: it could not be measured.
        """
        self._claim.check()
        if part != "send":
            self._start_worker()
        figures: Part = getattr(self, f"_{part}")()
        setattr(self.report, part, figures)
        ground.clear_results(self._link, self.queue.keys)
        ground.expire(self._link, self.queue.keys)
        self._claim.check()
        return figures

    def finish(self) -> Report:
        """The report of all that was measured."""
        report = self.report
        report.failed = self._field.failed() if self._field is not None else 0
        report.hints = hints.of(report)
        report.elapsed_ms = round((time.monotonic() - self._began) * 1000)
        return report

    def _start_worker(self) -> None:
        if self._field is None:
            assert self._crew is not None  # noqa: S101 - the run has begun
            self._crew.work()
            self._field = Field(self.queue, self._transitions, self._crew, self._options.processes)
            self._field.ready()

    def _send(self) -> Part:
        return sending.measure(self.app, self._task("empty"), self._link, self._options.seconds)

    def _empty(self) -> Part:
        sync, asynchronous = self._task("empty"), self._task("empty_async")
        return running.empty(self._there, sync, asynchronous, self._options.processes, self._options.seconds)

    def _waiting(self) -> Part:
        sync, asynchronous = (self._options.processes * slots for slots in self._slots)
        pairs = (self._task("wait"), sync), (self._task("wait_async"), asynchronous)
        return running.waiting(self._there, *pairs, self._options.seconds)

    def _images(self) -> Part:
        from streamq.bench import pictures  # brings Pillow with it

        return pictures.measure(self.app, self._there, self._folder, self._options.processes, self._options.seconds)

    def _latency(self) -> Part:
        return latency.measure(self._task("started"), 2 * self._options.seconds)

    @property
    def _there(self) -> Field:
        assert self._field is not None  # noqa: S101 - the worker was started before
        return self._field

    def _task(self, name: str) -> Task[..., Any]:
        """A task of the run, as a program has it."""
        definition = tasks.app.registry.get(name)
        assert definition is not None  # noqa: S101 - a function of our own
        return bind(self.app, definition)
