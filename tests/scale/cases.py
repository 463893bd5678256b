"""Every call that a queue can be asked for, each ready to be made and measured: the scripts one by one, then what people ask for.

A case prepares what it needs, by calls of its own, and yields the call; what it leaves in somebody's hands is settled behind it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from streamq import browse, dead, listing, pending, stats
from streamq.config import Settings
from streamq.doctor.examine import examine
from streamq.keys import GROUP
from streamq.replies import Handed, Held
from streamq.server.probe import probe
from streamq.transitions import SETTLE_MOST, Park, ParkKind
from tests.lua.bench import Bench

Call = Callable[[], object]
#: What prepares a call, for a consumer of its own.
Case = Callable[[Bench, str], Call]

ATTEMPT = b'{"delivery":1,"worker":"w","started_ms":1764000000000,"ended_ms":1764000000001,"error":"OSError: out of reach"}'
HOUR = 3_600_000
#: Far beyond what any queue holds here.
BOUND = 100_000_000
VIEW = pending.Wanted(6, 30_000, HOUR)


@contextmanager
def ready(bench: Bench, case: Case) -> Iterator[Call]:
    """The call of a case, for a consumer that holds nothing but what the case needs; what it leaves behind is finished."""
    consumer = f"w-{secrets.token_hex(4)}"
    yield case(bench, consumer)
    for name in holders(bench):
        settle(bench, name, bench.run.renew(name))
        bench.run.reap(name, "gone")
    for name in bench.run.fleet():
        bench.run.reap(name, "gone")
    while task := bench.run.quarantine(consumer)[0]:
        settle(bench, consumer, [task])
    while due := bench.client.zcount(bench.keys["retry:default"], "-inf", bench.clock()):
        settle(bench, consumer, bench.run.take(consumer, due, due, "d").tasks)
    bench.run.reap(consumer, "gone")


def holders(bench: Bench) -> list[str]:
    """Who holds tasks."""
    return [each["name"].decode() for each in bench.client.xpending(bench.keys["default"], GROUP)["consumers"]]


def settle(bench: Bench, consumer: str, tasks: list[Handed] | list[Held]) -> None:
    """Finish tasks."""
    for start in range(0, len(tasks), SETTLE_MOST):
        finish(bench, consumer, tasks[start : start + SETTLE_MOST])()


def finish(bench: Bench, consumer: str, tasks: list[Handed] | list[Held]) -> Call:
    """The call that finishes a group of tasks."""
    lines = "\n".join(f"{each.address}\tfinished\t1\t2\t1\tnoop" for each in tasks)
    fences = [(each.address, each.count) for each in tasks]
    return lambda: bench.run.settle(consumer, "w", 60_000, lines, f"w1 {len(tasks)} r2 {len(tasks)}", fences)


def taken(bench: Bench, consumer: str, many: int) -> list[Handed]:
    """So many new tasks in a consumer's hands, sent for it where none waits."""
    bench.send(*"d" * many)
    tasks: list[Handed] = []
    while len(tasks) < many:
        tasks += bench.run.take(consumer, min(500, many - len(tasks)), 0, "d").tasks
    return tasks


def parked(bench: Bench, consumer: str, many: int, delay_ms: int = HOUR, kind: ParkKind = "retry") -> list[Handed]:
    """So many tasks that failed."""
    tasks = taken(bench, consumer, many)
    bench.run.park(consumer, [Park(each.address, each.count, delay_ms, kind, ATTEMPT) for each in tasks])
    return tasks


def buried(bench: Bench, consumer: str) -> str:
    """The id of a dead letter."""
    [task] = taken(bench, consumer, 1)
    bench.bury(consumer, task)
    return task.address


# Sending and handing out


def add(many: int) -> Case:
    """Tasks sent to a queue with a bound."""

    def case(bench: Bench, consumer: str) -> Call:
        return lambda: bench.send(*"d" * many, bound=BOUND)

    return case


def add_scheduled(bench: Bench, consumer: str) -> Call:
    """A task sent with a delay and a key."""
    return lambda: bench.send(f"d;+{HOUR};;u", key=consumer)


def take_new(many: int) -> Case:
    """Tasks that nobody has had yet."""

    def case(bench: Bench, consumer: str) -> Call:
        bench.send(*"d" * many)
        return lambda: bench.run.take(consumer, many, many // 4, "hdl")

    return case


def take_due(many: int) -> Case:
    """Tasks that wait for a retry no longer."""

    def case(bench: Bench, consumer: str) -> Call:
        parked(bench, consumer, many, delay_ms=0)
        return lambda: bench.run.take(consumer, many, many, "hdl")

    return case


def take_nothing(bench: Bench, consumer: str) -> Call:
    """A priority of which nothing waits: when the next task is due is asked for."""
    return lambda: bench.run.take(consumer, 10, 5, "h")


def quarantine(bench: Bench, consumer: str) -> Call:
    """A suspect that is due."""
    parked(bench, consumer, 1, delay_ms=0, kind="alone")
    return lambda: bench.run.quarantine(consumer)


def admit(bench: Bench, consumer: str) -> Call:
    """What a blocked read brought."""
    tasks = taken(bench, consumer, 100)
    return lambda: bench.run.admit(consumer, [each.address for each in tasks])


# Ending


def settle_group(many: int) -> Case:
    """A group of tasks that finished."""
    return lambda bench, consumer: finish(bench, consumer, taken(bench, consumer, many))


def park(many: int) -> Case:
    """Tasks that failed."""

    def case(bench: Bench, consumer: str) -> Call:
        tasks = [Park(each.address, each.count, HOUR, "retry", ATTEMPT) for each in taken(bench, consumer, many)]
        return lambda: bench.run.park(consumer, tasks)

    return case


def bury(bench: Bench, consumer: str) -> Call:
    """A task that is given up."""
    [task] = taken(bench, consumer, 1)
    return lambda: bench.bury(consumer, task)


# Leases and recovery


def renew(many: int) -> Case:
    """The lease of all that a consumer holds."""

    def case(bench: Bench, consumer: str) -> Call:
        taken(bench, consumer, many)
        return lambda: bench.run.renew(consumer)

    return case


def beat(bench: Bench, consumer: str) -> Call:
    """The heartbeat of a supervisor with four children."""
    names = [f"{consumer}{number}" for number in range(4)]
    return lambda: bench.run.beat(30_000, "run", 15_000, [(name, b"{}", "") for name in names])


def reap(many: int) -> Case:
    """What a dead consumer held."""

    def case(bench: Bench, consumer: str) -> Call:
        taken(bench, consumer, many)
        return lambda: bench.run.reap(consumer, "killed", started=[])

    return case


def sweep(bench: Bench, consumer: str) -> Call:
    """A sweep that finds nothing."""
    bench.client.hdel(bench.keys["control"], "sweep")
    return lambda: bench.run.sweep(30_000, 15_000)


def sweep_lost(bench: Bench, consumer: str) -> Call:
    """A sweep that finds ten consumers of two hundred tasks each whose heartbeat expired."""
    bench.run.beat(30_000, "run", 600_000, [(consumer, b"{}", "")])
    lost = [f"{consumer}{number}" for number in range(10)]
    for name in lost:
        taken(bench, name, 200)
    bench.client.zadd(bench.keys["workers"], dict.fromkeys(lost, 1))
    bench.client.hset(bench.keys["control"], "hold", 0)
    bench.client.hdel(bench.keys["control"], "sweep")
    return lambda: bench.run.sweep(30_000, 15_000)


def sweep_idle(bench: Bench, consumer: str) -> Call:
    """A sweep that finds a thousand tasks of which no lease was renewed."""
    bench.run.beat(30_000, "run", 600_000, [(consumer, b"{}", "")])
    for task in taken(bench, consumer, 1000):
        bench.idle(consumer, task, HOUR)
    bench.client.hset(bench.keys["control"], "hold", 0)
    bench.client.hdel(bench.keys["control"], "sweep")
    return lambda: bench.run.sweep(30_000, 15_000)


def claim(bench: Bench, consumer: str) -> Call:
    """Stuck tasks that are handed on by a person."""
    runs = [(each.address, consumer, each.count) for each in taken(bench, consumer, 100)]
    return lambda: bench.run.claim("by hand", runs)


# By order of a person


def cancel_waiting(bench: Bench, consumer: str) -> Call:
    """A task that waits."""
    [task_id] = bench.send("d")
    return lambda: bench.run.cancel(task_id, "ana")


def cancel_parked(bench: Bench, consumer: str) -> Call:
    """A task that waits for its retry."""
    [task] = parked(bench, consumer, 1)
    return lambda: bench.run.cancel(task.address, "ana")


def hasten(bench: Bench, consumer: str) -> Call:
    """A task that waits for its retry and is to start now."""
    [task] = parked(bench, consumer, 1)
    return lambda: bench.run.hasten(task.address)


def revive(bench: Bench, consumer: str) -> Call:
    """A dead letter that is put back."""
    task_id = buried(bench, consumer)
    return lambda: bench.run.revive(task_id)


def discard(bench: Bench, consumer: str) -> Call:
    """A dead letter that is thrown away."""
    task_id = buried(bench, consumer)
    return lambda: bench.run.discard(task_id)


def purge_waiting(bench: Bench, consumer: str) -> Call:
    """A batch of a purge: tasks that wait."""
    first, *_ = bench.send(*"d" * 500)
    bench.pass_time(1)
    return lambda: bench.run.purge("d", first[1:], bench.run.now_ms(), "ana")


def purge_parked(bench: Bench, consumer: str) -> Call:
    """A batch of a purge: tasks that wait for their retry, as far as they stand one behind another."""
    first, *_ = parked(bench, consumer, 500)
    bench.pass_time(1)
    return lambda: bench.run.purge("d", first.address[1:], bench.run.now_ms(), "ana")


# Reading


def locate_waiting(bench: Bench, consumer: str) -> Call:
    """A task that waits, by its id."""
    [task_id] = bench.send("d")
    return lambda: browse.find(bench.run, [task_id], max_deliveries=6)


def locate_parked(bench: Bench, consumer: str) -> Call:
    """A task that waits for its retry, by its id."""
    [task] = parked(bench, consumer, 1)
    return lambda: browse.find(bench.run, [task.address], max_deliveries=6)


def locate_unknown(bench: Bench, consumer: str) -> Call:
    """An id that nobody knows."""
    return lambda: browse.find(bench.run, ["d1-1"], max_deliveries=6)


def read_stats(bench: Bench, consumer: str) -> Call:
    """All figures."""
    return lambda: stats.read(bench.run, probe(bench.link))


def read_counts(bench: Bench, consumer: str) -> Call:
    """Where the tasks are."""
    return lambda: stats.counts(bench.run)


def queues(bench: Bench, consumer: str) -> Call:
    """Where the tasks of all queues are."""
    return lambda: stats.queues(bench.run)


def remains(bench: Bench, consumer: str) -> Call:
    """What keeps a queue from being drained."""
    return bench.run.remains


def pending_held(bench: Bench, consumer: str) -> Call:
    """What is pending, a thousand tasks being held."""
    taken(bench, consumer, 1000)
    return lambda: pending.read(bench.run, VIEW)


def pending_named(bench: Bench, consumer: str) -> Call:
    """What is pending of one name."""
    taken(bench, consumer, 1000)
    return lambda: pending.read(bench.run, VIEW._replace(task="none"))


def page_of(*states: browse.State) -> Case:
    """The first hundred tasks of a state."""

    def case(bench: Bench, consumer: str) -> Call:
        taken(bench, consumer, 300)
        parked(bench, consumer, 150)
        bench.send(*"d" * 300)
        bench.send(*[f"d;+{HOUR};;"] * 300)
        return lambda: list(islice(listing.Tasks(bench.run, listing.Wanted(states)), 100))

    return case


def dead_letters(bench: Bench, consumer: str) -> Call:
    """The newest fifty dead letters."""
    for _ in range(100):
        buried(bench, consumer)
    return lambda: list(islice(dead.letters(bench.run, dead.Wanted()), 50))


def doctor(bench: Bench, consumer: str) -> Call:
    """The whole examination."""
    return lambda: examine(bench.link, bench.run, Settings(project=bench.server.folder))


CASES: dict[str, Case] = {
    "add 1": add(1),
    "add 300": add(300),
    "add scheduled": add_scheduled,
    "take 1 new": take_new(1),
    "take 100 new": take_new(100),
    "take 1 due": take_due(1),
    "take 100 due": take_due(100),
    "take nothing": take_nothing,
    "quarantine": quarantine,
    "admit 100": admit,
    "settle 1": settle_group(1),
    "settle 100": settle_group(100),
    "park 1": park(1),
    "park 200": park(200),
    "bury": bury,
    "renew 1": renew(1),
    "renew 100": renew(100),
    "renew 1000": renew(1000),
    "beat 4": beat,
    "reap 200": reap(200),
    "sweep, nothing lost": sweep,
    "sweep, heartbeats lost": sweep_lost,
    "sweep, leases lost": sweep_idle,
    "claim 100": claim,
    "cancel, waiting": cancel_waiting,
    "cancel, parked": cancel_parked,
    "hasten": hasten,
    "revive": revive,
    "discard": discard,
    "purge, waiting": purge_waiting,
    "purge, parked": purge_parked,
    "task show, waiting": locate_waiting,
    "task show, parked": locate_parked,
    "task show, unknown": locate_unknown,
    "stats": read_stats,
    "counts": read_counts,
    "queues": queues,
    "remains": remains,
    "pending": pending_held,
    "pending --task": pending_named,
    "tasks --state waiting": page_of("waiting"),
    "tasks --state scheduled": page_of("scheduled"),
    "tasks --state retrying": page_of("retrying"),
    "tasks --state running": page_of("running"),
    "tasks": page_of(*listing.STATES),
    "dead list": dead_letters,
    "doctor": doctor,
}
