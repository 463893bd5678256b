"""Who holds what: the rows of a queue's pending lists beside the fleet that holds them, and the tasks parked for another time.

Reading is bounded however much is pending: one count a consumer, and at most `LOOK_MOST` rows, shared out so that no consumer
hides another; the longest runs beyond them are found by what workers tell with their heartbeats. Three round trips, and nothing
is changed. `pending.py` describes what is found here.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streamq import fleet, outlook
from streamq.keys import GROUP, PRIORITIES, STREAMS
from streamq.server.reply import ReplyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streamq.replies import Parked
    from streamq.transitions import Transitions

#: Most rows of the pending lists that are read at once.
LOOK_MOST: Final = 5000
#: Addresses of one page.
_PAGE: Final = 200
#: The zsets of tasks that wait to be handed out again.
_PARKED: Final = (
    *(f"{kind}:{priority}" for kind in ("retry", "again") for priority in PRIORITIES),
    *(f"suspects:{stream}" for stream in STREAMS.values()),
)

Command = list[str | int]


class Row(NamedTuple):
    """A row of a pending list."""

    address: str
    consumer: str
    #: Since it was handed out or its lease was renewed.
    idle_ms: int
    hand_outs: int
    #: As the heartbeat of its consumer told; None: not told yet.
    started_ms: int | None
    #: Its lease has run out, or its consumer is lost.
    stuck: bool

    @property
    def rank(self) -> tuple[bool, float, int]:
        """Stuck ones first, the longest idle ahead; then the longest running; then what is not known to run."""
        return not self.stuck, -self.idle_ms if self.stuck else self.started_ms or float("inf"), -self.idle_ms


class Scene(NamedTuple):
    """What is told of a queue."""

    queue: outlook.Queue
    #: Letter of a stream, consumer, how many tasks it holds there.
    held: list[tuple[str, str, int]]
    members: dict[str, fleet.Member]
    #: Consumer -> its runs, as its heartbeat told: address -> start.
    runs: dict[str, dict[str, int]]
    #: The longest lease of the fleet: what has been idle for longer may be taken by others.
    lease_ms: int
    #: What waits to be handed out again.
    parked: Parked
    #: Names of tasks -> their own limits, as workers knew them that have gone.
    limits: dict[str, int]

    def is_lost(self, consumer: str) -> bool:
        """Whether a consumer is known to be dead, or to have stopped beating."""
        member = self.members.get(consumer)
        return member is not None and not member.alive


def look(transitions: Transitions, parked: int, lease_ms: int) -> Scene:
    """Everything but the rows.

    Args:
        transitions: of the queue.
        parked: how many of the parked tasks are wanted.
        lease_ms: the lease to go by where no worker has registered one.
    """
    keys = transitions.keys
    commands: list[Command] = [
        ["TIME"],
        ["HMGET", keys["control"], "hold", "paused"],
        ["ZRANGE", keys["workers"], 0, -1, "WITHSCORES"],
        ["HGETALL", keys["fleet"]],
        ["HGETALL", keys["running"]],
        ["HGETALL", keys["limits"]],
    ]
    commands += [["XPENDING", keys.stream(letter), GROUP] for letter in STREAMS]
    (seconds, micros), (hold, paused), beats, cards, running, limits, *summaries = ask(transitions, commands)
    now = int(seconds) * 1000 + int(micros) // 1000
    members = fleet.read(now, beats, cards, [])
    alive = [member for member in members.values() if member.alive]
    known = {name for member in alive for name in member.card.tasks}
    return Scene(
        queue=outlook.Queue(now, paused=paused is not None, alive=len(alive), rests_until_ms=int(hold or 0), known=known),
        held=_held(summaries),
        members=members,
        runs={consumer: _runs(text) for consumer, text in fleet.pairs(running).items()},
        lease_ms=max((member.lease_ms for member in members.values()), default=lease_ms),
        parked=transitions.parked(parked),
        limits={name: int(most) for name, most in fleet.pairs(limits).items()},
    )


def _held(summaries: Sequence[Any]) -> list[tuple[str, str, int]]:
    """Who holds how many of each stream, from the summaries of the pending lists."""
    return [
        (letter, consumer.decode(), int(many))
        for letter, summary in zip(STREAMS, summaries, strict=True)
        if summary is not None and summary[3]
        for consumer, many in summary[3]
    ]


def _runs(text: bytes) -> dict[str, int]:
    """Address -> start of each run, as a heartbeat tells them: behind its own time, a line each."""
    lines = (line.split(" ") for line in text.decode().split("\n")[1:])
    return {address: int(started) for address, started in lines}


def rows(transitions: Transitions, scene: Scene, longest: int) -> list[Row]:
    """Rows of the pending lists, in one round trip.

    Args:
        transitions: of the queue.
        scene: what `look` saw of it.
        longest: of so many of the longest runs the row is read, whoever holds them.
    """
    keys = transitions.keys
    asked: list[tuple[str, Command]] = []
    beyond: list[tuple[int, str]] = []
    for (letter, consumer, many), share in zip(scene.held, shares([many for *_, many in scene.held], LOOK_MOST), strict=True):
        if share:
            asked.append((letter, ["XPENDING", keys.stream(letter), GROUP, "-", "+", share, consumer]))
        if share < many:
            beyond += ((started, address) for address, started in scene.runs.get(consumer, {}).items() if address[0] == letter)
    for _, address in heapq.nsmallest(longest, beyond):
        asked.append((address[0], ["XPENDING", keys.stream(address[0]), GROUP, address[1:], address[1:], 1]))
    found: dict[str, Row] = {}
    for (letter, _), entries in zip(asked, ask(transitions, [command for _, command in asked]), strict=True):
        for entry, consumer, idle, count in entries or []:
            row = _row(scene, letter + entry.decode(), consumer.decode(), idle, count)
            found[row.address] = row
    return list(found.values())


def _row(scene: Scene, address: str, consumer: str, idle: int, count: int) -> Row:
    started = scene.runs.get(consumer, {}).get(address)
    return Row(address, consumer, idle, count, started, stuck=idle >= scene.lease_ms or scene.is_lost(consumer))


def addresses(transitions: Transitions) -> Iterator[list[str]]:
    """The addresses of the tasks that wait to be handed out again, in pages; what waits all the while is among them."""
    for name in _PARKED:
        least, skip = b"-inf", 0
        page = ("BYSCORE", "LIMIT")
        while flat := transitions.link.call("ZRANGE", transitions.keys[name], least, "+inf", *page, skip, _PAGE, "WITHSCORES"):
            yield [address.decode() for address in flat[::2]]
            last = flat[-1]
            skip = flat[1::2].count(last) + (skip if last == least else 0)
            least = last


def shares(counts: Sequence[int], budget: int) -> list[int]:
    """How much each gets of a budget: what it asks for where that is little, an equal part of the rest where it is much."""
    given = [0] * len(counts)
    for left, i in zip(range(len(counts), 0, -1), sorted(range(len(counts)), key=counts.__getitem__), strict=True):
        given[i] = min(counts[i], budget // left)
        budget -= given[i]
    return given


def ask(transitions: Transitions, commands: Sequence[Command]) -> list[Any]:
    """The replies to commands sent in one packet; None for a stream or group that is not there.

    Raises:
        ServerError: the server is away.
        ReplyError: it refuses one of them.
    """
    replies: list[Any] = []
    for reply in transitions.link.batch(commands):
        if isinstance(reply, ReplyError) and reply.code == "NOGROUP":
            replies.append(None)
        elif isinstance(reply, Exception):
            raise reply
        else:
            replies.append(reply)
    return replies
