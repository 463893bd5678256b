"""Who works on a queue: the card that each consumer shows with its heartbeat, and whether it lives.

A consumer is one process of a worker. It counts as alive while its heartbeat has not expired by the server's clock; on its own
machine its process is looked up too, so that a killed one is known at once. `stats.py` and `pending.py` read the fleet so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from streamq import process
from streamq.keys import worker_of
from streamq.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: `stopped`: its process is there but halted; `lost`: its heartbeat expired, more is not known; `dead`: its process is gone.
State = Literal["alive", "stopped", "lost", "dead"]


class Card(msgspec.Struct, frozen=True):
    """What a worker process says of itself; all of it may be missing on the card of another release."""

    name: str = ""
    host: str = ""
    boot: str = ""
    pidns: str = ""
    pid: int = 0
    pid_start: int = 0
    #: The process that settles for this one when it has died, of the same machine.
    supervisor: int = 0
    supervisor_start: int = 0
    concurrency: int = 0
    started_ms: int = 0
    rss_bytes: int = 0
    finished: int = 0
    failed: int = 0
    #: Names of the tasks it knows, and the limit of deliveries of those that set one of their own.
    tasks: list[str] = []
    limits: dict[str, int] = {}
    #: It runs suspects, one by one, and nothing else.
    quarantine: bool = False
    #: Where it writes what it has started, for others of its machine should it die with its supervisor.
    table: str = ""

    @property
    def process(self) -> Process:
        """Which process it is."""
        return Process(self.boot, self.pidns, self.pid, self.pid_start)

    @property
    def parent(self) -> Process:
        """Which process its supervisor is."""
        return Process(self.boot, self.pidns, self.supervisor, self.supervisor_start)


class Member(NamedTuple):
    """One consumer of the fleet."""

    consumer: str
    card: Card
    lease_ms: int
    #: When its heartbeat expires, and when it last beat, by the server's clock; 0: never.
    expires_ms: int
    seen_ms: int
    state: State
    #: Its heartbeat has not expired and its process, where that can be known, exists.
    alive: bool

    @property
    def name(self) -> str:
        """The worker's name that people know."""
        return self.card.name or worker_of(self.consumer)

    def is_beside(self, other: Member) -> bool:
        """Whether both run on one machine, where each can look the other's process up."""
        return bool(self.card.boot) and (self.card.boot, self.card.pidns) == (other.card.boot, other.card.pidns)


def read(now: int, workers: Sequence[bytes], fleet: Sequence[bytes], seen: Sequence[bytes]) -> dict[str, Member]:
    """The fleet from what the server holds, by consumer.

    Args:
        now: the server's time, ms.
        workers: consumers and expiries of their heartbeats, in turn (`…:workers`).
        fleet: consumers and their cards, in turn (`…:fleet`).
        seen: consumers and the times of their last beats, in turn (from `…:running`).
    """
    expiries, beats = pairs(workers), pairs(seen)
    members = {}
    for consumer, text in pairs(fleet).items():
        lease, _, card_text = text.partition(b" ")
        card, expires = parse_card(card_text), int(float(expiries.get(consumer, 0)))
        state, alive = _life(card, beating=expires > now)
        members[consumer] = Member(consumer, card, int(lease or 0), expires, int(beats.get(consumer) or 0), state, alive)
    return members


def pairs(flat: Sequence[bytes]) -> dict[str, bytes]:
    """Names and values that a server gives in turn."""
    return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}


def parse_card(text: bytes) -> Card:
    """A worker's card; an empty one where the text is none, or is another release's."""
    try:
        return msgspec.json.decode(text, type=Card)
    except msgspec.DecodeError:
        return Card()


def limit_of(task: str, cards: Iterable[Card], kept: Mapping[str, int], otherwise: int) -> int:
    """How often a task whose entry sets no limit is delivered at most.

    Args:
        task: its name.
        cards: of the workers that may run it; where they differ, as two releases do, the lowest counts.
        kept: the tasks' own limits, as workers knew them that have gone: they count where none of these knows the task.
        otherwise: the limit of tasks that set none.
    """
    knowing = [card for card in cards if task in card.limits or task in card.tasks]
    if not knowing:
        return kept.get(task, otherwise)
    return min((card.limits[task] for card in knowing if task in card.limits), default=otherwise)


def _life(card: Card, *, beating: bool) -> tuple[State, bool]:
    """What is known of the process behind a card, and whether it counts as alive."""
    found = process.look(card.process)
    if found == "gone":
        return "dead", False
    if found == "stopped":
        return "stopped", beating
    return ("alive" if beating else "lost"), beating
