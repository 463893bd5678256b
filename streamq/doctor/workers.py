"""Who works on a queue: whether anybody does, who was lost, which tasks hang, and which wait for a worker that knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamq import fleet, held, wire
from streamq.doctor.finding import finding, many, some
from streamq.units import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streamq.doctor.finding import Finding
    from streamq.stats import Stats, Worker
    from streamq.transitions import Transitions

#: A task that has been running for so long, in ms, may hang.
_LONG_MS: Final = 3_600_000
#: Workers recover what was lost within a lease; after so many of them they do not.
_LEASES: Final = 2
#: Of so many of the longest runs the row is read, beyond those that are read anyhow.
_ROWS: Final = 100
#: Of so many tasks that no worker knew the names are read.
_NAMES_MOST: Final = 200
_START: Final = "`streamq consume` starts a worker"


def examine(transitions: Transitions, figures: Stats, lease_ms: int, unknown: Sequence[bytes]) -> Iterator[Finding]:
    """Look at the workers of a queue.

    Args:
        transitions: of the queue.
        figures: of the queue.
        lease_ms: the longest lease of the fleet.
        unknown: addresses of parked tasks whose name no worker knew when it had them.

    Raises:
        ServerError: the server is away.
    """
    yield _workers(figures)
    yield _lost(figures, lease_ms)
    yield from _tasks(transitions, figures, lease_ms)
    yield _unknown(transitions, figures, unknown)


def _workers(figures: Stats) -> Finding:
    alive = figures.workers_alive
    if alive:
        names = sorted({worker.name for worker in alive})
        return finding(
            "workers", "ok", f"{many(len(names), 'worker')} alive, {many(len(alive), 'process', 'processes')}: {some(names)}"
        )
    here = figures.waiting.total + figures.running + figures.retrying
    if here:
        return finding("workers", "warning", f"no worker is alive, and {many(here, 'task waits', 'tasks wait')} for one", _START)
    later = f"; {figures.scheduled:,} scheduled" if figures.scheduled else ""
    return finding("workers", "ok", f"no worker is alive, and no task waits for one{later}")


def _lost(figures: Stats, lease_ms: int) -> Finding:
    """Workers that are registered and do not live, or do not move."""
    lost = [worker for worker in figures.workers if not worker.alive or worker.state == "stopped"]
    if not lost:
        return finding("lost-workers", "ok", "every worker that is registered lives")
    held = sum(worker.running for worker in lost)
    what = (
        f"{many(len(lost), 'worker process', 'worker processes')} lost: {some([_described(worker, figures) for worker in lost])}"
    )
    what += f"; {many(held, 'task')} in their hands" if held else ""
    late = any(figures.now_ms - worker.seen_ms > _LEASES * lease_ms for worker in lost)
    subjects = [worker.consumer for worker in lost]
    if not figures.workers_alive:
        return finding("lost-workers", "warning" if held else "note", what, f"{_START}, which recovers them", subjects)
    if late:
        return finding("lost-workers", "warning", what, "the living workers should have recovered them; see their logs", subjects)
    return finding("lost-workers", "note", what, "none needed: the living workers recover them", subjects)


def _described(worker: Worker, figures: Stats) -> str:
    """A lost worker in a few words."""
    quiet = duration(max(0, round((figures.now_ms - worker.seen_ms) / 1000)))
    return f"{worker.name} (process {worker.pid}, {worker.state}, last heard of {quiet} ago)"


def _tasks(transitions: Transitions, figures: Stats, lease_ms: int) -> Iterator[Finding]:
    """Tasks that are stuck, or run for very long."""
    scene = held.look(transitions, 1, lease_ms)
    rows = held.rows(transitions, scene, _ROWS)
    stuck = [row for row in rows if row.stuck]
    hanging = [row for row in stuck if not figures.workers_alive or row.idle_ms > _LEASES * lease_ms]
    if hanging:
        what = f"{many(len(stuck), 'task is', 'tasks are')} stuck: the lease has run out or the worker is dead"
        mend = "`streamq pending --claim` hands them on now" if figures.workers_alive else _START
        yield finding("stuck-tasks", "warning", what, mend, [row.address for row in hanging])
    else:
        soon = f"; {len(stuck):,} of lost workers will be recovered within moments" if stuck else ""
        pending = sum(number for *_, number in scene.held)
        yield finding("stuck-tasks", "ok", f"{many(pending, 'task')} in the hands of workers, none stuck{soon}")
    now = scene.queue.now_ms
    long = [row for row in rows if row.started_ms and not row.stuck and now - row.started_ms > _LONG_MS]
    if long:
        longest = max(now - (row.started_ms or now) for row in long)
        what = f"{many(len(long), 'task has', 'tasks have')} been running for over an hour, one for {duration(longest // 1000)}"
        mend = "`streamq pending` shows them; a `timeout` bounds a task, `streamq task cancel` ends one"
        yield finding("long-tasks", "note", what, mend, [row.address for row in long])
    else:
        yield finding("long-tasks", "ok", "no task has been running for over an hour")


def _unknown(transitions: Transitions, figures: Stats, addresses: Sequence[bytes]) -> Finding:
    """Tasks that wait for a worker that knows their name."""
    cards = transitions.fleet()
    known = {name for worker in figures.workers_alive for name in fleet.parse_card(cards.get(worker.consumer, b"")).tasks}
    keys, waiting = transitions.keys, [address.decode() for address in addresses[:_NAMES_MOST]]
    replies = held.ask(transitions, [["XRANGE", keys.stream(each[0]), each[1:], each[1:]] for each in waiting])
    named = {address: wire.name_of(reply[0][1]) for address, reply in zip(waiting, replies, strict=True) if reply}
    found = {address: name for address, name in named.items() if name not in known}
    if not found:
        return finding("unknown-tasks", "ok", "no task waits for a worker that knows its name")
    names = some(sorted(set(found.values())))
    what = f"{many(len(found), 'task waits', 'tasks wait')} for a worker that knows {names}"
    return finding("unknown-tasks", "warning", what, "start a worker with the module of these tasks (--tasks)", list(found))
