"""One task: where it is, what it is, and everything that happened to it.

Each task is read by one script at one instant: its entry, the pending list, what is known of its attempts, its dead letter and
its result; where none of these knows it any more, the history of endings does for a while. Called by `task show` and by whatever
waits for tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from streamq import history, wire
from streamq.keys import PRIORITIES, STREAMS, sent_ms, worker_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from streamq.transitions import Transitions

State = Literal["scheduled", "waiting", "running", "retrying", "finished", "dead", "cancelled", "expired", "unknown"]
#: States in which a task stays.
ENDED: Final = frozenset({"finished", "dead", "cancelled", "expired"})
#: Letter of a stream, or what stands in a scheduled entry -> priority.
_PRIORITY: Final = {letter: name for letter, name in STREAMS.items() if name in PRIORITIES} | {name: name for name in PRIORITIES}
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
    cards = transitions.fleet()
    records = [_located(task_id, transitions.locate(task_id)) for task_id in ids]
    lost = {record.id: record for record in records if record.state == "unknown"}
    if lost:
        _remember(transitions, lost)
    for record in records:
        if record.max_deliveries is None and record.task is not None:
            record.max_deliveries = limit_of(record.task, cards, max_deliveries)
    return records


def limit_of(task: str, cards: Mapping[str, bytes], otherwise: int) -> int:
    """How often a task of this name is delivered at most, as the workers know it; the lowest where releases differ."""
    limits = []
    for card in cards.values():
        try:
            limits.append(msgspec.json.decode(card, type=_Card).limits.get(task))
        except msgspec.DecodeError:  # the card of another release
            continue
    return min((limit for limit in limits if limit is not None), default=otherwise)


class _Card(msgspec.Struct):
    limits: dict[str, int] = {}


def _remember(transitions: Transitions, lost: dict[str, Record]) -> None:
    """Fill in what the history of endings says of tasks of which nothing else is kept."""
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
    record.sent_ms = sent_ms(ending.id)
    record.worker = ending.worker or None
    record.started_ms, record.ended_ms, record.deliveries = ending.started_ms, ending.ended_ms, ending.deliveries


def _located(task_id: str, reply: Sequence[Any]) -> Record:
    """The record of one task from what `locate.lua` returns."""
    _, address, fields, row, record_text, due, letter, result, running = reply
    record = Record(id=task_id)
    if letter:
        take_letter(record, *letter)
    elif fields:
        take_entry(record, address.decode(), fields)
        known = Known.parse(record_text)
        record.attempts = known.attempts
        if row:
            consumer, _, count = row
            record.state = "running"
            record.worker = worker_of(consumer.decode())
            record.deliveries = count - known.forgiven
            record.started_ms = started_of(running or b"", address)
        else:
            record.deliveries = known.count - known.forgiven
            record.state = parked_state(record_text, address) if due or address[:1] == b"s" else "waiting"
            record.due_ms = int(float(due)) if due else record.due_ms
        last = record.attempts[-1] if record.attempts else {}
        record.error = last.get("error")
    elif result:
        _take_result(record, result)
    return record


def parked_state(record_text: bytes | None, address: bytes) -> State:
    """Whether a task that is parked waits for its first run or for another one."""
    return "scheduled" if record_text is None and address[:1] == b"s" else "retrying"


class Known(msgspec.Struct, frozen=True):
    """What `…:attempts` holds of a task that has been parked or reaped."""

    count: int = 0
    forgiven: int = 0
    attempts: list[dict[str, Any]] = []

    @classmethod
    def parse(cls, text: bytes | None) -> Known:
        """The record from its text, `count forgiven crashes unknown` and a line an attempt."""
        if not text:
            return cls()
        head, *lines = text.split(b"\n")
        count, forgiven, *_ = map(int, head.split())
        return cls(count, forgiven, attempts_of(lines))


def attempts_of(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Attempts, a JSON object a line; a line that is none says so instead."""
    attempts = []
    for line in filter(None, lines):
        try:
            attempts.append(msgspec.json.decode(line, type=dict[str, Any]))
        except (msgspec.DecodeError, UnicodeDecodeError):
            attempts.append({"error": _shown(line)})
    return attempts


def take_entry(record: Record, address: str, fields: list[bytes]) -> None:
    """Fill in what an entry says; one that is no task is shown as far as it can be."""
    record.priority = _PRIORITY.get(address[0], "default")
    record.sent_ms = sent_ms(record.id)
    try:
        task = wire.parse(address, fields)
    except wire.Malformed as error:
        record.task, record.error = wire.name_of(fields), error.what
        record.args = dict(zip(map(_shown, fields[::2]), map(_shown, fields[1::2]), strict=False))
        return
    record.task, record.args = task.name, msgspec.json.decode(task.args)
    record.max_deliveries, record.timeout_ms, record.expires_ms = task.max_deliveries, task.timeout_ms, task.expires_ms
    record.unique = task.key
    if address[0] == "s":
        record.priority, record.due_ms = _PRIORITY.get(task.priority or "", "default"), task.due_ms


def take_letter(record: Record, entry: bytes, fields: list[bytes]) -> None:
    """Fill in what a dead letter says."""
    own = dict(zip(fields[:_LETTER:2], fields[1:_LETTER:2], strict=True))
    letter = own[b"priority"].decode()
    take_entry(record, letter + record.id[1:], fields[_LETTER:])
    record.priority = _PRIORITY.get(letter, "default")
    record.reason = own[b"reason"].decode()
    record.state = "expired" if record.reason == "expired" else "dead"
    record.error, record.traceback = _shown(own[b"error"]) or None, _shown(own[b"traceback"]) or None
    record.deliveries = int(own[b"deliveries"])
    record.worker = _shown(own[b"worker"]) or None
    record.attempts = attempts_of(own[b"attempts"].split(b"\n"))
    record.due_ms, record.ended_ms = None, int(entry.partition(b"-")[0])
    record.started_ms = record.attempts[-1].get("started_ms") if record.attempts else None


def _take_result(record: Record, raw: bytes) -> None:
    """Fill in what is kept of a finished task beside its line of history."""
    kept = msgspec.json.decode(raw, type=dict[str, Any])
    record.state = "finished"
    record.sent_ms = sent_ms(record.id)
    record.result, record.attempts = kept.get("result"), kept.get("attempts") or []
    record.worker, record.deliveries = kept.get("worker"), kept.get("deliveries") or 0
    record.task = kept.get("task")
    record.started_ms, record.ended_ms = kept.get("started_ms"), kept.get("ended_ms")


def started_of(running: bytes, address: bytes) -> int | None:
    """When a run had started, as its worker's last heartbeat told; None: not told yet."""
    for line in running.split(b"\n"):
        held, _, started = line.partition(b" ")
        if held == address and started:
            return int(started)
    return None


def _shown(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")
