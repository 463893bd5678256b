"""The figures of a queue: what waits, runs and died, how fast it goes, who works. The only reader of lengths and counters.

Every count is read by one script at one instant, so that they add up: sent + revived = waiting + scheduled + running + retrying +
finished + dead_total + expired + cancelled + purged, entries that other programs XADDed included. Nothing is scanned; rates and
percentiles come from the counters that the scripts keep by minute, over the time that these really cover. `stats`, `monitor`,
`workers` and `queues` print what is read here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamq import fleet
from streamq.histogram import BUCKETS, percentiles
from streamq.keys import PRIORITIES, QUEUES, STREAMS, Keys, is_name
from streamq.server.probe import Facts
from streamq.transitions import Transitions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Success rate and percentiles look back over the minute under way and the four before it.
MINUTES: Final = 5
#: Throughput looks back over the minute under way and the one before it.
THROUGHPUT_MINUTES: Final = 2
#: A rate is never taken over less than this, in ms: a first group of endings would read as thousands a second.
SHORTEST: Final = 1000
_MINUTE: Final = 60_000


class Waiting(msgspec.Struct, frozen=True):
    """How many tasks wait, by priority."""

    high: int
    default: int
    low: int

    @property
    def total(self) -> int:
        """How many tasks wait."""
        return self.high + self.default + self.low


class Percentiles(msgspec.Struct, frozen=True):
    """Times in milliseconds; None where nothing ended."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a worker."""

    name: str
    consumer: str
    host: str
    pid: int
    alive: bool
    #: `alive`, `stopped`, `lost` (no heartbeat) or `dead`.
    state: fleet.State
    #: Tasks that were handed to it and are not settled.
    running: int
    concurrency: int
    rss_bytes: int
    started_ms: int
    #: Its last heartbeat.
    seen_ms: int
    finished: int
    failed: int
    #: It runs suspects, one by one, and nothing else.
    quarantine: bool
    lease_ms: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the tasks of a queue are, at one instant."""

    queue: str
    waiting: Waiting
    scheduled: int
    running: int
    #: Failed, put off or recovered, and not yet handed out again; what was handed back before it began waits.
    retrying: int
    #: Dead letters that lie there now, expired ones included.
    dead: int
    paused: bool


class Stats(Counts, frozen=True, kw_only=True):
    """All figures of a queue, at one instant."""

    sent_total: int
    finished_total: int
    #: Attempts that ended by error, timeout or crash.
    failed_total: int
    retried_total: int
    dead_total: int
    revived_total: int
    expired_total: int
    cancelled_total: int
    purged_total: int
    #: Tasks recovered from workers that were lost.
    reaped_total: int
    #: Calls of runs that had lost their lease, all refused.
    fenced_total: int
    #: Tasks finished a second, over the last one to two minutes or since the first ending in them.
    throughput_per_s: float
    #: Finished ÷ (finished + dead) of five minutes; None where nothing ended.
    success_rate: float | None
    #: From being due until the start.
    wait_ms: Percentiles
    run_ms: Percentiles
    workers: list[Worker]
    server: Facts
    #: The instant, by the server's clock.
    now_ms: int

    @property
    def workers_alive(self) -> list[Worker]:
        """The worker processes that live."""
        return [worker for worker in self.workers if worker.alive]


def read(transitions: Transitions, server: Facts) -> Stats:
    """The figures of a queue.

    Args:
        transitions: of the queue.
        server: what the server is (`streamq.server.probe`).

    Raises:
        ServerError: the server is away.
    """
    return parse(transitions.keys.queue, transitions.stats(MINUTES), server)


def counts(transitions: Transitions) -> Counts:
    """Where the tasks of a queue are.

    Raises:
        ServerError: the server is away.
    """
    return parse_counts(transitions.keys.queue, transitions.stats(0))


def queues(transitions: Transitions) -> list[Counts]:
    """Where the tasks of each queue of a server are, by name; the queue of the transitions only if it was ever used.

    Raises:
        ServerError: the server is away.
    """
    own, link = counts(transitions), transitions.link
    names = {name.decode(errors="replace") for name in link.call("SMEMBERS", QUEUES)} - {own.queue}
    others = sorted(filter(is_name, names))
    replies = link.batch([Transitions(link, Keys(name)).command("stats", [0]) for name in others])
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    found = [parse_counts(name, reply) for name, reply in zip(others, replies, strict=True)]
    if link.call("SISMEMBER", QUEUES, own.queue) or link.call("EXISTS", *map(transitions.keys.stream, STREAMS)):
        found.append(own)
    return sorted(found, key=lambda each: each.queue)


def parse(queue: str, reply: Sequence[Any], server: Facts) -> Stats:
    """The figures from what `stats.lua` returns."""
    now, streams, *_, minutes_flat, workers_flat, cards, seen, held, _paused, _unstarted = reply
    where = parse_counts(queue, reply)
    totals = {name: int(value) for name, value in fleet.pairs(reply[4]).items()}
    total = totals.get
    endings = sum(total(name, 0) for name in ("finished", "dead", "expired", "cancelled", "purged"))
    present = where.waiting.total + where.scheduled + where.running + where.retrying
    added = [row[2] for row in streams]
    # Redis before 7.0 does not count what was ever added to a stream; what is there or has ended was.
    arrived = sum(added) if min(added) >= 0 else present + endings
    minutes = _minutes(minutes_flat)
    finished, dead = (sum(minute.get(name, 0) for minute in minutes.values()) for name in ("finished", "dead"))
    same: dict[str, Any] = msgspec.structs.asdict(where) | {f"{name}_total": total(name, 0) for name in _TOTALS}
    return Stats(
        **same,
        sent_total=arrived - total("revived", 0),
        throughput_per_s=round(throughput(now, minutes), 3),
        success_rate=round(finished / (finished + dead), 5) if finished + dead else None,
        wait_ms=_percentiles("w", minutes.values()),
        run_ms=_percentiles("r", minutes.values()),
        workers=_workers(fleet.read(now, workers_flat, cards, seen), held),
        server=server,
        now_ms=now,
    )


_TOTALS = ("finished", "failed", "retried", "dead", "revived", "expired", "cancelled", "purged", "reaped", "fenced")


def parse_counts(queue: str, reply: Sequence[Any]) -> Counts:
    """Where the tasks are, from what `stats.lua` returns."""
    lengths, pending, _ = zip(*reply[1], strict=True)
    zsets: list[int] = reply[2]
    retry, again, suspects = zsets[0:3], zsets[3:6], zsets[9:13]
    back: list[int] = reply[11]
    unstarted = [retried + delayed for retried, delayed in zip(back[0:3], back[3:6], strict=True)]
    fresh = [max(0, lengths[i] - pending[i] - retry[i] - suspects[i]) for i in range(len(PRIORITIES))]
    return Counts(
        queue=queue,
        waiting=Waiting(*map(sum, zip(fresh, unstarted, strict=True))),
        # All of `later` that is neither running nor to be run again, an entry that a stranger has added there included.
        scheduled=max(0, lengths[3] - pending[3] - sum(again) - suspects[3]),
        running=sum(pending),
        retrying=sum(retry) + sum(again) + sum(suspects) - sum(unstarted),
        dead=reply[3],
        paused=bool(reply[10]),
    )


def throughput(now: int, minutes: Mapping[int, Mapping[str, int]]) -> float:
    """Tasks finished a second lately.

    The time begins with the minute before the one under way; where the queue was idle until then, with the first ending.

    Args:
        now: the server's time, ms.
        minutes: number of a minute -> its counters; `since` is when its first ending was, ms.
    """
    first = now // _MINUTE - THROUGHPUT_MINUTES + 1
    window = [minutes[minute] for minute in range(first, first + THROUGHPUT_MINUTES) if minute in minutes]
    if not window:
        return 0.0
    began = first * _MINUTE if first - 1 in minutes else window[0]["since"]
    return sum(minute.get("finished", 0) for minute in window) * 1000 / max(SHORTEST, now - began)


def _minutes(flat: Sequence[bytes]) -> dict[int, dict[str, int]]:
    minutes: dict[int, dict[str, int]] = {}
    for field, value in fleet.pairs(flat).items():
        minute, _, name = field.partition(":")
        minutes.setdefault(int(minute), {})[name] = int(value)
    return minutes


def _percentiles(kind: str, minutes: Iterable[Mapping[str, int]]) -> Percentiles:
    counts = [0] * BUCKETS
    for minute in minutes:
        for i in range(BUCKETS):
            counts[i] += minute.get(f"{kind}{i}", 0)
    found = percentiles(counts, (0.5, 0.95, 0.99))
    return Percentiles(*[round(value, 3) for value in found]) if found else Percentiles()


def _workers(members: Mapping[str, fleet.Member], held: Sequence[bytes]) -> list[Worker]:
    running: dict[str, int] = {}
    for consumer, many in zip(held[::2], held[1::2], strict=True):
        running[consumer.decode()] = running.get(consumer.decode(), 0) + int(many)
    workers = [
        Worker(
            name=member.name,
            consumer=consumer,
            host=member.card.host,
            pid=member.card.pid,
            alive=member.alive,
            state=member.state,
            running=running.get(consumer, 0),
            concurrency=member.card.concurrency,
            rss_bytes=member.card.rss_bytes,
            started_ms=member.card.started_ms,
            seen_ms=member.seen_ms,
            finished=member.card.finished,
            failed=member.card.failed,
            quarantine=member.card.quarantine,
            lease_ms=member.lease_ms,
        )
        for consumer, member in members.items()
    ]
    return sorted(workers, key=lambda worker: (worker.name, worker.quarantine, worker.started_ms, worker.consumer))
