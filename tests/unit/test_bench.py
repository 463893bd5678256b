"""What `bench` makes of what it has measured: rates, percentiles, and what to look at when a figure is low."""

from __future__ import annotations

import msgspec
import pytest

from streamq.bench import hints
from streamq.bench.field import Sample, fitting, rate
from streamq.bench.figures import Latency, Machine, Rate, Report, Setting, Times, Waited, Waiting
from streamq.bench.ground import TASKS_MOST
from streamq.bench.running import waited
from streamq.server.probe import Facts

FAST = Times(0.05, 0.1)


def facts(durability: str = "everysec") -> Facts:
    """A server."""
    return Facts("valkey", "9.1.2", "unix:///s", True, 1, 0, "noeviction", durability, connected=True)


def report(**changes: object) -> Report:
    """A run in whose way nothing stood, but for the changes."""
    machine = Machine(cores=4, system="Linux x86_64", python="3.11.7", streamq="0.1.0", redis_py="7.1.0", load=0.5)
    setting = Setting(queue="bench-1", parts=["send"], seconds=1, processes=4, sync_slots=4, async_slots=100)
    return msgspec.structs.replace(Report(machine=machine, server=facts(), settings=setting, round_trip_ms=FAST), **changes)


def waiting(share: float) -> Waiting:
    """Tasks of which the sync ones had so much of their slots' time."""
    whole = Waited(slots=4, tasks=40, per_s=40, ideal_per_s=40, share=1)
    return Waiting(wait_ms=100, sync=msgspec.structs.replace(whole, share=share), async_=whole)


def test_nothing_in_the_way_is_no_hint() -> None:
    """Of a run alone on its machine, beside its server."""
    fine = report(waiting=waiting(0.99), latency=Latency(tasks=200, sent_per_s=100, start_ms=Times(0.4, 3.0)))
    assert hints.of(fine) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"machine": msgspec.structs.replace(report().machine, load=2.1)}, "the machine was busy before the run (load 2.1 on 4 "),
        ({"settings": msgspec.structs.replace(report().settings, processes=5)}, "5 processes share 4 cores"),
        ({"round_trip_ms": Times(2.0, 9.0)}, "the server is 2ms away: a thread that sends singly sends at most 500 a second"),
        ({"server": facts("always")}, "the server writes each send to the disk before it answers"),
        ({"server": facts("none")}, "the server has no append-only file"),
        ({"failed": 3}, "3 attempts failed or lost their process"),
        ({"waiting": waiting(0.8)}, "sync slots were kept waiting for 20% of the time"),
        ({"latency": Latency(tasks=200, sent_per_s=100, start_ms=Times(0.4, 6.0))}, "some tasks started late (p99 6ms)"),
    ],
)
def test_what_stands_in_the_way_is_told(changes: dict[str, object], said: str) -> None:
    """One sentence for each thing, and for nothing else."""
    [hint] = hints.of(report(**changes))
    assert hint.startswith(said)


def test_a_percentile_is_the_least_time_that_so_many_do_not_exceed() -> None:
    """In ms, of any number of times, in any order."""
    assert Times.of([0.002]) == Times(2.0, 2.0)
    assert Times.of([i / 1000 for i in range(100, 0, -1)]) == Times(50.0, 99.0)
    assert Times.of([0.001, 0.004, 0.003]) == Times(3.0, 4.0)


def test_the_rate_is_told_with_its_slowest_and_fastest_part() -> None:
    """Steady ones agree; one look more or less makes no difference; two looks are one part."""
    steady = [Sample(i / 10, 50 * i) for i in range(8)]
    assert rate(steady) == Rate(500, 500, 500)
    assert rate(steady[:2]) == Rate(500, 500, 500)
    slower = [Sample(0, 0), Sample(1, 100), Sample(2, 150), Sample(4, 150)]
    assert rate(slower) == Rate(37.5, 0, 100)


def test_slots_are_held_against_what_waiting_leaves_them() -> None:
    """For as long as there are more tasks than slots: who starts last is not in it."""
    ideal = [0, 0, 100, 100, 200, 200]
    assert waited(ideal, 2) == Waited(slots=2, tasks=6, per_s=20, ideal_per_s=20, share=1)
    assert waited([0, 0, 100, 100, 200, 300], 2).share == 1
    assert waited([0, 0, 200, 200, 400, 400], 2) == Waited(slots=2, tasks=6, per_s=10, ideal_per_s=20, share=0.5)


def test_never_more_tasks_wait_than_was_said() -> None:
    """Nor so few that there is nothing to measure."""
    assert (fitting(10), fitting(1234.4), fitting(1e9)) == (100, 1234, TASKS_MOST)
