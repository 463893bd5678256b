"""The figures of a run, as `--json` prints them. Rates are tasks a second, times milliseconds, sizes bytes, shares 0 to 1."""

from __future__ import annotations

import os
import platform
import statistics
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from streamq.server.probe import Facts

if TYPE_CHECKING:
    from collections.abc import Sequence


class Rate(msgspec.Struct, frozen=True):
    """Tasks a second."""

    #: The median of several rounds, or over the whole of one time.
    per_s: float
    #: Of the rounds, or of the parts of that time.
    lowest: float
    highest: float

    @classmethod
    def of(cls, rates: Sequence[float]) -> Rate:
        """The rate of what was measured in several rounds."""
        return cls(round(statistics.median(rates), 1), round(min(rates), 1), round(max(rates), 1))


class Times(msgspec.Struct, frozen=True):
    """Percentiles of a time, in ms."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Times:
        """The percentiles of times in seconds: the smallest ones that these shares of all do not exceed."""
        ordered = sorted(seconds)

        def at(share: int) -> float:
            return round(ordered[-(-len(ordered) * share // 100) - 1] * 1000, 4)

        return cls(at(50), at(99))


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where the run took place."""

    cores: int
    system: str
    python: str
    streamq: str
    redis_py: str
    #: Processes that wanted to run in the minute before; None: the system does not tell.
    load: float | None

    @classmethod
    def here(cls) -> Machine:
        """This machine."""
        return cls(
            cores=os.cpu_count() or 1,
            system=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
            streamq=version("streamq"),
            redis_py=version("redis"),
            load=round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        )


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    #: The queue that was made for the run, and is gone.
    queue: str
    parts: list[str]
    seconds: float
    processes: int
    #: Slots of each process, by the kind of the handler.
    sync_slots: int
    async_slots: int


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """Sending from one thread, and redis-py on the same entries in turn with it."""

    single: Rate
    #: redis-py's `xadd`.
    xadd: Rate
    single_ratio: float
    bulk: Rate
    #: redis-py's pipeline of XADD.
    pipeline: Rate
    bulk_ratio: float


class Empty(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that do nothing, from a queue that is full of them."""

    sync: Rate
    async_: Rate = msgspec.field(name="async")


class Waited(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that wait in slots of one kind."""

    slots: int
    tasks: int
    per_s: float
    #: With every slot waiting all of the time.
    ideal_per_s: float
    share: float


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that only wait."""

    wait_ms: int
    sync: Waited
    async_: Waited = msgspec.field(name="async")


class Images(msgspec.Struct, frozen=True, kw_only=True):
    """Thumbnails of photographs."""

    tasks: int
    per_s: float
    width: int
    height: int
    source_bytes: int
    thumbnail: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """From before a task is sent until it is started, in another process, while hardly anything is to do."""

    tasks: int
    sent_per_s: float
    start_ms: Times


Part = Sending | Empty | Waiting | Images | Latency


class Report(msgspec.Struct, kw_only=True):
    """All of it; what was not asked for is None."""

    machine: Machine
    server: Facts
    settings: Setting
    #: Of the smallest command.
    round_trip_ms: Times
    send: Sending | None = None
    empty: Empty | None = None
    waiting: Waiting | None = None
    images: Images | None = None
    latency: Latency | None = None
    #: Attempts that failed, or whose process died, while it was measured; none should.
    failed: int = 0
    hints: list[str] = []
    elapsed_ms: int = 0
