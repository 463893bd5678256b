"""The tasks that were handed out and not settled, stuck ones first, and those that wait for a retry: what hangs, and why.

What is looked at is bounded (`held.py`), and so is what is described: at most `FIELDS_MOST` tasks, which is as far as a filter
by name can see. A task that ends while this is read is left out. `pending` prints the view and hands stuck tasks on with `claim`.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from streamq import browse, fleet, held, outlook, walk, wire
from streamq.keys import worker_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from streamq.config.schema import Worker
    from streamq.held import Row, Scene
    from streamq.replies import Due
    from streamq.transitions import Transitions

State = Literal["running", "stuck", "retrying"]

#: How many tasks a view holds where nobody says.
LIMIT: Final = 50
#: Most tasks whose fields one view reads; a filter by name can see no further.
FIELDS_MOST: Final = 1000
#: Tasks whose fields travel in one packet.
_PAGE: Final = 100


class Wanted(NamedTuple):
    """What a view is to hold, and what holds where neither task nor worker says otherwise."""

    max_deliveries: int
    lease_ms: int
    #: How long a task waits that no worker knows.
    unknown_ms: int
    limit: int = LIMIT
    #: Only tasks whose lease has run out or whose worker is dead.
    stuck: bool = False
    #: Only tasks of whose worker nothing has been heard for this long.
    idle_ms: int = 0
    #: Only tasks of this name.
    task: str | None = None


def wanted_by(settings: Worker) -> Wanted:
    """What a view holds by the configuration's limits."""
    return Wanted(settings.max_deliveries, round(settings.lease * 1000), round(settings.unknown * 1000))


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """One task that was handed out and not settled, or waits for a retry. Times are ms, by the server's clock."""

    id: str
    task: str | None
    args: Any
    #: Who holds it; None: nobody does.
    worker: str | None = None
    consumer: str | None = None
    #: Whether its worker lives; None: nobody holds it, or its holder is no worker of streamq.
    alive: bool | None = None
    #: As its worker told with its last heartbeat; None: not told yet.
    started_ms: int | None = None
    running_ms: int | None = None
    #: Since it was handed out or its lease renewed.
    idle_ms: int | None = None
    #: Until another worker may take it; 0: it has run out.
    lease_left_ms: int | None = None
    #: Hand-outs that count against the limit.
    deliveries: int
    max_deliveries: int
    state: State
    #: When it will be handed out again, where it waits for that.
    due_ms: int | None = None
    priority: str | None
    worker_state: fleet.State | None = None
    #: How many workers died with it.
    crashes: int
    #: Of its last attempt.
    error: str | None
    #: What will happen next.
    next: str
    #: Where it stands, and how often it was handed out in all: with the consumer, the fence of its run.
    address: str
    count: int = 0


class View(NamedTuple):
    """What is pending."""

    tasks: list[Pending]
    now_ms: int
    #: How many tasks are handed out, and how many wait to be handed out again.
    pending: int
    retrying: int
    #: How many stuck ones were found; where rows were left out, there may be more.
    stuck: int
    #: How many of the pending were looked at.
    looked: int
    #: Worker processes that live.
    alive: int
    paused: bool


def read(transitions: Transitions, wanted: Wanted) -> View:
    """What is pending now.

    Raises:
        ServerError: the server is away.
    """
    scene = held.look(transitions, FIELDS_MOST if wanted.task else min(wanted.limit, FIELDS_MOST), wanted.lease_ms)
    rows = held.rows(transitions, scene, min(wanted.limit, FIELDS_MOST))
    chosen = [row for row in rows if row.idle_ms >= wanted.idle_ms and (row.stuck or not wanted.stuck)]
    chosen.sort(key=lambda row: row.rank)
    parked = [] if wanted.stuck or wanted.idle_ms else scene.parked.first
    found: list[Row | Due] = [*chosen, *parked]
    lost = sum(many for _, consumer, many in scene.held if scene.is_lost(consumer))
    return View(
        tasks=list(islice(_described(transitions, scene, found[:FIELDS_MOST], wanted), wanted.limit)),
        now_ms=scene.queue.now_ms,
        pending=sum(many for *_, many in scene.held),
        retrying=scene.parked.retrying,
        stuck=lost + sum(row.stuck and not scene.is_lost(row.consumer) for row in rows),
        looked=len(rows),
        alive=scene.queue.alive,
        paused=scene.queue.paused,
    )


def claim(transitions: Transitions, tasks: Iterable[Pending]) -> set[str]:
    """Hand stuck tasks on now, each only while it is still held as it was seen; returns the ids of those that were."""
    stuck = {task.address: task for task in tasks if task.state == "stuck" and task.consumer is not None}
    runs = [(address, task.consumer or "", task.count) for address, task in stuck.items()]
    done: set[str] = set()
    for start in range(0, len(runs), _PAGE):
        done.update(transitions.claim("lease lost: handed on by hand", runs[start : start + _PAGE]))
    return {stuck[address].id for address in done}


def _described(transitions: Transitions, scene: Scene, found: Sequence[Row | Due], wanted: Wanted) -> Iterator[Pending]:
    """What was found, with its fields, in order; those that have ended meanwhile and those of other names are left out."""
    keys, now = transitions.keys, scene.queue.now_ms
    for start in range(0, len(found), _PAGE):
        page = found[start : start + _PAGE]
        commands: list[held.Command] = []
        for each in page:
            letter, entry = each.address[0], each.address[1:]
            commands += ["XRANGE", keys.stream(letter), entry, entry], ["HGET", keys["attempts"], each.address]
        replies = held.ask(transitions, commands)
        entries = {each.address.encode(): found[0][1] for each, found in zip(page, replies[::2], strict=True) if found}
        ids = walk.ids_of(transitions, entries)
        for each, known in zip(page, replies[1::2], strict=True):
            address = each.address.encode()
            fields = entries.get(address)
            if fields is None or wanted.task not in (None, wire.name_of(fields)):
                continue
            if not isinstance(each, held.Row):
                due = each.due_ms
                record = browse.of_entry(ids[address], each.address, fields, row=None, known=known, due_ms=due, now_ms=now)
                if record.state == "retrying":  # one of very many that were handed back is told among them
                    yield _parked(each, record, known, scene, wanted)
            else:
                row = [each.consumer.encode(), each.idle_ms, each.hand_outs]
                record = browse.of_entry(ids[address], each.address, fields, row=row, known=known, due_ms=None, now_ms=now)
                yield _run(each, record, known, scene, wanted)


def _run(row: Row, record: browse.Record, known: bytes | None, scene: Scene, wanted: Wanted) -> Pending:
    """A task that was handed out."""
    member = scene.members.get(row.consumer)
    now, left = scene.queue.now_ms, scene.lease_ms - row.idle_ms
    most = _limit(record, [member] if member else [], scene, wanted)
    crashes = browse.parse_known(known).crashes
    run = outlook.Run(
        life=member.state if member else None,
        started=row.started_ms is not None,
        deliveries=record.deliveries,
        most=most,
        crashes=crashes,
        renewal_ms=(member.lease_ms if member else scene.lease_ms) // 3 - row.idle_ms,
        lease_ms=left,
        beat_ms=member.expires_ms - now if member else left,
        watched=member is not None and any(member.is_beside(other) for other in scene.members.values() if other.alive),
    )
    return Pending(
        id=record.id,
        task=record.task,
        args=record.args,
        worker=member.name if member else worker_of(row.consumer),
        consumer=row.consumer,
        alive=member.alive if member else None,
        started_ms=row.started_ms,
        running_ms=None if row.started_ms is None else max(0, now - row.started_ms),
        idle_ms=row.idle_ms,
        lease_left_ms=max(0, left),
        deliveries=record.deliveries,
        max_deliveries=most,
        state="stuck" if row.stuck else "running",
        priority=record.priority,
        worker_state=member.state if member else None,
        crashes=crashes,
        error=record.error,
        next=outlook.of_run(run, scene.queue),
        address=row.address,
        count=row.hand_outs,
    )


def _parked(parked: Due, record: browse.Record, known: bytes | None, scene: Scene, wanted: Wanted) -> Pending:
    """A task that waits to be handed out again."""
    past = browse.parse_known(known)
    most = _limit(record, [member for member in scene.members.values() if member.alive], scene, wanted)
    wait = outlook.Wait(
        task=record.task or "",
        due_ms=parked.due_ms,
        deliveries=record.deliveries,
        most=most,
        crashes=past.crashes,
        unknown_until_ms=past.unknown_ms + wanted.unknown_ms if past.unknown_ms else 0,
    )
    return Pending(
        id=record.id,
        task=record.task,
        args=record.args,
        deliveries=record.deliveries,
        max_deliveries=most,
        state="retrying",
        due_ms=parked.due_ms,
        priority=record.priority,
        crashes=past.crashes,
        error=record.error,
        next=outlook.of_wait(wait, scene.queue),
        address=parked.address,
    )


def _limit(record: browse.Record, members: Iterable[fleet.Member], scene: Scene, wanted: Wanted) -> int:
    """How often a task is delivered at most."""
    if record.max_deliveries is not None:
        return record.max_deliveries
    return fleet.limit_of(record.task or "", [member.card for member in members], scene.limits, wanted.max_deliveries)
