"""One task: where it is, what it is, and everything that happened to it.

Each task is read by one script at one instant: its entry, the pending list, what is known of its attempts, its dead letter and
its result; where none of these knows it any more, the history of endings does for a while. Called by `task show` and by whatever
waits for tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from streamq import fleet, history, results, wire
from streamq.keys import PRIORITIES, STREAMS, is_id, sent_ms, worker_of
from streamq.server.reply import ReplyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streamq.transitions import Transitions

State = Literal["scheduled", "waiting", "running", "retrying", "finished", "dead", "cancelled", "expired", "unknown"]
#: States in which a task stays.
ENDED: Final = frozenset({"finished", "dead", "cancelled", "expired"})
#: Letter of a stream, or what stands in a scheduled entry -> priority.
_PRIORITY: Final = {letter: name for letter, name in STREAMS.items() if name in PRIORITIES} | {name: name for name in PRIORITIES}
#: Most tasks that are asked for in one packet.
_PACKET: Final = 100
#: Names and values that stand before a task's own fields in its dead letter.
_LETTER: Final = 16


class Record(msgspec.Struct, kw_only=True):
    """What is known of one task; None where something is not known or does not apply. Times are ms of the server's clock."""

    id: str
    task: str | None = None
    #: The arguments; text where they are no JSON.
    args: Any = None
    priority: str | None = None
    state: State = "unknown"
    #: Who runs it, or ended it.
    worker: str | None = None
    #: Hand-outs that count against the limit.
    deliveries: int = 0
    max_deliveries: int | None = None
    sent_ms: int | None = None
    #: When it will be due, where it is scheduled or waits for a retry.
    due_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    expires_ms: int | None = None
    timeout_ms: int | None = None
    #: Its unique key.
    unique: str | None = None
    #: Why it is a dead letter: `error`, `deliveries`, `timeout`, `unknown-task`, `invalid`, `expired`.
    reason: str | None = None
    #: `{delivery, worker, started_ms, ended_ms, error}` each, those of earlier lives included.
    attempts: list[dict[str, Any]] = []
    result: Any = None
    error: str | None = None
    traceback: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it stays as it is."""
        return self.state in ENDED


def find(transitions: Transitions, ids: Iterable[str], *, max_deliveries: int) -> list[Record]:
    """What is known of tasks, in the order asked for.

    Args:
        transitions: of their queue.
        ids: ids of tasks; each must have the form of one.
        max_deliveries: the limit where neither task nor handler sets one.

    Raises:
        ServerError: the server is away.
    """
    asked = list(ids)
    single = list(dict.fromkeys(asked))
    found = locate(transitions, single)
    lost = {task_id: record for task_id, record in found.items() if record.task is None}
    if lost:
        _remember(transitions, lost)
    cards = [fleet.parse_card(card) for card in transitions.fleet().values()]
    kept = {name: int(most) for name, most in fleet.pairs(transitions.link.call("HGETALL", transitions.keys["limits"])).items()}
    for record in found.values():
        if record.max_deliveries is None and record.task is not None:
            record.max_deliveries = fleet.limit_of(record.task, cards, kept, max_deliveries)
    return [found[task_id] for task_id in asked]


def locate(transitions: Transitions, ids: Sequence[str]) -> dict[str, Record]:
    """What queue, dead letters and results know of tasks, by id, many asked for in a packet; the history is not read."""
    replies: list[Any] = []
    for i in range(0, len(ids), _PACKET):
        commands = [transitions.command("locate", [each], [transitions.keys.result(each)]) for each in ids[i : i + _PACKET]]
        found = transitions.link.batch(commands)
        if any(isinstance(reply, ReplyError) and reply.code == "NOSCRIPT" for reply in found):
            transitions.load("locate")
            found = transitions.link.batch(commands)
        replies += found
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return {task_id: _located(task_id, reply) for task_id, reply in zip(ids, replies, strict=True)}


def _remember(transitions: Transitions, lost: dict[str, Record]) -> None:
    """Fill in what the history of endings says of tasks of which no more than a result is kept."""
    since = min(sent_ms(task_id) for task_id in lost)
    for ending in history.newest(transitions.link, transitions.keys, since_ms=since):
        record = lost.pop(ending.id, None)
        if record is not None:
            take_ending(record, ending)
        if not lost:
            return


def take_ending(record: Record, ending: history.Ending) -> None:
    """Fill in what a line of history says."""
    record.state = ending.state
    record.task = ending.task
    record.priority = _PRIORITY.get(ending.id[0])
    record.sent_ms = sent_ms(ending.id) if is_id(ending.id) else None
    record.worker = ending.worker or None
    record.started_ms = ending.started_ms or record.started_ms
    record.ended_ms, record.deliveries = ending.ended_ms, ending.deliveries


def _located(task_id: str, reply: Sequence[Any]) -> Record:
    """The record of one task from what `locate.lua` returns."""
    now, address, fields, row, known, due, letter, result, running = reply
    if letter:
        return of_letter(*letter)
    if fields:
        due_ms = int(float(due)) if due else None
        parts = {"row": row, "known": known, "due_ms": due_ms, "now_ms": now}
        return of_entry(task_id, address.decode(), fields, **parts, running=running or b"")
    return _of_result(task_id, result) if result else Record(id=task_id)


def of_entry(
    task_id: str,
    address: str,
    fields: list[bytes],
    *,
    row: Sequence[Any] | None,
    known: bytes | None,
    due_ms: int | None,
    now_ms: int = 0,
    running: bytes = b"",
) -> Record:
    """The record of a task that has not ended.

    Args:
        task_id: its id.
        address: where its entry stands.
        fields: names and values of the entry, in turn.
        row: consumer, idle time and count of its pending entry; None where it has none.
        known: what `…:attempts` holds of it.
        due_ms: when it is due, where it is parked.
        now_ms: the server's time, where it is parked.
        running: what its consumer runs, as the heartbeat told (`…:running`).
    """
    record = Record(id=task_id)
    _take_fields(record, address, fields)
    past = parse_known(known)
    record.attempts = past.attempts
    record.error = record.attempts[-1].get("error") if record.attempts else record.error
    record.deliveries = past.count - past.forgiven
    if row:
        record.state = "running"
        record.worker = worker_of(row[0].decode())
        record.deliveries = row[2] - past.forgiven
        record.started_ms = started_of(running, address.encode())
        record.due_ms = None
    elif address[0] == "s" and known is None:
        record.state = "scheduled"
        record.due_ms = due_ms or record.due_ms
    elif due_ms and (due_ms > now_ms or record.deliveries or past.unknown_ms):
        record.state, record.due_ms = "retrying", due_ms
    else:  # nobody has had it, or who had it handed it back before it began (`lua/include/unstarted.lua`)
        record.state, record.due_ms = "waiting", None
    return record


def of_letter(entry: bytes, fields: list[bytes]) -> Record:
    """The record of a dead letter."""
    own = dict(zip(fields[:_LETTER:2], fields[1:_LETTER:2], strict=True))
    record = Record(id=_shown(own[b"id"]))
    letter = own[b"priority"].decode()
    _take_fields(record, letter, fields[_LETTER:])
    record.reason = own[b"reason"].decode()
    record.state = "expired" if record.reason == "expired" else "dead"
    record.error, record.traceback = _shown(own[b"error"]) or None, _shown(own[b"traceback"]) or None
    record.deliveries = int(own[b"deliveries"])
    record.worker = _shown(own[b"worker"]) or None
    record.attempts = attempts_of(own[b"attempts"].split(b"\n"))
    record.due_ms, record.ended_ms = None, int(entry.partition(b"-")[0])
    record.started_ms = record.attempts[-1].get("started_ms") if record.attempts else None
    return record


class Past(NamedTuple):
    """What `…:attempts` holds of a task."""

    #: How often it was handed out.
    count: int  # type: ignore[assignment]  # hides tuple.count
    #: How many of the hand-outs do not count against the limit.
    forgiven: int
    #: How many workers died with it.
    crashes: int
    #: Since when no worker has known its name; 0: the last one did.
    unknown_ms: int
    attempts: list[dict[str, Any]]


def parse_known(text: bytes | None) -> Past:
    """What is known of a task that was parked; all zero where nothing is."""
    if not text:
        return Past(0, 0, 0, 0, [])
    head, *lines = text.split(b"\n")
    count, forgiven, crashes, unknown = map(int, head.split())
    return Past(count, forgiven, crashes, unknown, attempts_of(lines))


def attempts_of(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Attempts, a JSON object a line; a line that is none says so instead."""
    attempts = []
    for line in filter(None, lines):
        try:
            attempts.append(msgspec.json.decode(line, type=dict[str, Any]))
        except (msgspec.DecodeError, UnicodeDecodeError):
            attempts.append({"error": _shown(line)})
    return attempts


def _take_fields(record: Record, address: str, fields: list[bytes]) -> None:
    """Fill in what an entry says; one that is no task is shown as far as it can be."""
    record.priority = _PRIORITY.get(address[0], "default")
    record.sent_ms = sent_ms(record.id) if is_id(record.id) else None
    try:
        task = wire.parse(address, fields)
    except wire.Malformed as error:
        record.task, record.error = wire.name_of(fields), error.what
        record.args = dict(zip(map(_shown, fields[::2]), map(_shown, fields[1::2]), strict=False))
        return
    record.task, record.args = task.name, msgspec.json.decode(task.args)
    record.max_deliveries, record.timeout_ms, record.expires_ms = task.max_deliveries, task.timeout_ms, task.expires_ms
    record.unique = task.key
    if task.priority is not None:
        record.priority, record.due_ms = _PRIORITY.get(task.priority, "default"), task.due_ms


def _of_result(task_id: str, raw: bytes) -> Record:
    """The record of a finished task from what is kept beside its line of history."""
    kept = results.decode(raw)
    return Record(
        id=task_id,
        state="finished",
        priority=_PRIORITY.get(task_id[0]),
        sent_ms=sent_ms(task_id),
        result=msgspec.json.decode(kept.result),
        attempts=attempts_of(map(bytes, kept.attempts)),
        worker=kept.worker,
        deliveries=kept.deliveries,
        started_ms=kept.started_ms,
        ended_ms=kept.ended_ms,
    )


def started_of(running: bytes, address: bytes) -> int | None:
    """When a run had started, as its worker's last heartbeat told; None: not told yet."""
    for line in running.split(b"\n"):
        held, _, started = line.partition(b" ")
        if held == address and started:
            return int(started)
    return None


def _shown(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")
