"""The transitions of a task, one typed method a script: the only place where streamq changes a queue.

A `Transitions` speaks over one `Link` and belongs to one thread. EVALSHA sends a script's name; where the server has forgotten
it (NOSCRIPT: it did not run) it is sent whole. Replies become named values at once. Nothing here repeats a call whose reply was
lost: what may be repeated is the caller's knowledge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from streamq.keys import GROUP, LETTERS, STREAMS, Keys
from streamq.replies import Handed, Held, Parked, Reaped, Remains, Swept, Taken, parse_parked
from streamq.scripts import load
from streamq.server.reply import ReplyError
from streamq.server.resp import Words, joined, packet, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streamq.server.connect import Link

#: Most tasks of one `settle`, so that every `unpack` in it stays below a thousand arguments.
SETTLE_MOST: Final = 450
#: Most tasks of one `park` or `admit`.
PARK_MOST: Final = 200
#: Most tasks that one `sweep` recovers.
SWEEP_MOST: Final = 100

ParkKind = Literal["retry", "release", "snooze", "unknown", "alone"]
Reason = Literal["error", "deliveries", "timeout", "unknown-task", "invalid", "expired"]


class Park(NamedTuple):
    """One task to park."""

    address: str
    count: int  # type: ignore[assignment]  # hides tuple.count
    delay_ms: int
    kind: ParkKind
    #: The attempt as a JSON object; empty: none worth keeping.
    attempt: bytes = b""


class Bury(NamedTuple):
    """One task to move to the dead letters."""

    address: str
    count: int  # type: ignore[assignment]  # hides tuple.count
    reason: Reason
    error: str
    traceback: str
    attempt: bytes
    #: An attempt of its own ended so, by error or timeout.
    failed: bool
    #: So many of its hand-outs never started, this one among them: those only bury, and are not counted.
    not_started: int
    task: str


class Transitions:
    """The transitions of one queue over one connection.

    Args:
        link: the connection; one thread at a time.
        keys: the queue's keys.
        history: how many endings the queue keeps.
    """

    def __init__(self, link: Link, keys: Keys, *, history: int = 10_000) -> None:
        self.link = link
        self.keys = keys
        self.history = history
        self._heads: dict[str, list[str | int]] = {}
        self._packed: dict[str, Words] = {}
        #: The script that adds what is under way, and its arguments.
        self._adding: tuple[str, Words] = "add", (0, b"")

    def command(self, name: str, args: Iterable[str | bytes | float], more_keys: Sequence[str] = ()) -> list[Any]:
        """The EVALSHA command of a script, to be sent with others in one packet."""
        head = self._heads.get(name)
        if head is None:
            script = load(name)
            head = ["EVALSHA", script.sha, len(script.keys), *(self.keys[key] for key in script.keys)]
            self._heads[name] = head
        if more_keys:
            return [head[0], head[1], len(head) - 3 + len(more_keys), *head[3:], *more_keys, *args]
        return [*head, *args]

    def load(self, name: str) -> None:
        """Gives the server the text of a script that it has forgotten."""
        self.link.call("SCRIPT", "LOAD", load(name).source)

    def run(self, name: str, *args: str | bytes | float, more_keys: Sequence[str] = ()) -> Any:
        """Runs a script.

        Raises:
            ReplyError: the script was refused by the server; `code` says why.
            ServerError: the server is away; the script may or may not have run.
        """
        command = self.command(name, args, more_keys)
        try:
            return self.link.call(*command)
        except ReplyError as error:
            if error.code != "NOSCRIPT":
                raise
        return self.link.call("EVAL", load(name).source, *command[2:])  # in one step: it may be forgotten again between two

    # Accepting

    def post_add(self, script: Literal["add", "add_one"], lane: str, number: int, bound: int, tasks: Words) -> None:
        """Sends tasks to be added, in the form that the script tells; `added` must be called next."""
        self._adding = script, joined(words((lane, str(number), str(bound))), tasks)
        self.link.post(packet(joined(self._head(script), self._adding[1])))

    def added(self) -> tuple[bool, str]:
        """What became of the tasks that were posted.

        Returns:
            Whether this is the answer to an earlier send of the same number, and the ids in the order sent, as ranges; an id
            behind `=` is the task that holds the unique key already. Fewer ids than tasks: the queue is full.
        """
        script, args = self._adding
        try:
            ids = self.link.reply(soon=script == "add_one")
        except ReplyError as error:
            if error.code != "NOSCRIPT":
                raise
            whole = words(("EVAL", load(script).source, *self.command(script, ())[2:]))
            self.link.post(packet(joined(whole, args)))
            ids = self.link.reply()
        text = ids.decode()
        return text.startswith("again"), text.removeprefix("again ")

    def _head(self, script: str) -> Words:
        head = self._packed.get(script)
        if head is None:
            head = self._packed[script] = words(self.command(script, ()))
        return head

    # Handing out

    def open(self) -> int:
        """Makes the groups that are missing; returns how many."""
        return int(self.run("open"))

    def take(self, consumer: str, want: int, due_first: int, order: str) -> Taken:
        """Hands out `want` tasks at most, priorities in `order` (letters), in each at most `due_first` due ones before new."""
        state, now, parked, fresh, next_due = self.run("take", consumer, want, due_first, order)
        tasks = [Handed(address.decode(), *rest) for address, *rest in parked]
        for letter, entries in fresh:
            prefix = letter.decode()
            tasks += [Handed(prefix + entry.decode(), 1, 0, 0, 0, fields) for entry, fields in entries]
        only = fresh[0][0].decode() if len(fresh) == 1 and not parked else ""
        return Taken(state.decode(), now, tasks, next_due, only)

    def admit(self, consumer: str, addresses: Sequence[str]) -> list[tuple[str, int, int, int, int, bytes]]:
        """Of what a blocked read brought, those to run: (address, count, forgiven, crashes, unknown, attempts)."""
        return [(row[0].decode(), *row[1:]) for row in self.run("admit", consumer, *addresses)]

    def quarantine(self, consumer: str) -> tuple[Handed | None, int, int]:
        """One suspect that is due, how many more are, and when the next one is; an empty consumer only asks."""
        task, due, next_due = self.run("quarantine", consumer)
        return (Handed(task[0].decode(), *task[1:]) if task else None), due, next_due

    # Ending

    def settle(
        self,
        consumer: str,
        worker: str,
        result_ttl_ms: int,
        lines: str,
        buckets: str,
        fences: Sequence[tuple[str, int]],
        extras: Sequence[str | bytes | int] = (),
        results: Sequence[str] = (),
    ) -> list[str]:
        """Finishes at most `SETTLE_MOST` tasks.

        Args:
            consumer: who holds them.
            worker: the name that people see.
            result_ttl_ms: how long a result is kept.
            lines: a line of history a task, in order.
            buckets: counts of waits and runs by bucket, `w12 3 r0 1`.
            fences: address and count of each, in order.
            extras: index, id, unique key, result of those that have more.
            results: ids of those extras that have a result, in order.

        Returns:
            The addresses that were refused, their lease being lost.
        """
        keys = [self.keys.result(task_id) for task_id in results]
        args = (consumer, worker, result_ttl_ms, self.history, lines, buckets, *fences_told(fences), *extras)
        return [address.decode() for address in self.run("settle", *args, more_keys=keys)]

    def park(self, consumer: str, tasks: Sequence[Park]) -> list[str]:
        """Parks tasks until their delay is over; returns the addresses that were refused, their lease being lost."""
        refused: list[str] = []
        for i in range(0, len(tasks), PARK_MOST):
            args = [value for task in tasks[i : i + PARK_MOST] for value in task]
            refused += [address.decode() for address in self.run("park", consumer, *args)]
        return refused

    def bury(self, consumer: str, worker: str, task: Bury) -> bool:
        """Moves a task to the dead letters; False: its lease was lost."""
        told = (task.address, task.count, task.reason, task.error, task.traceback, task.attempt)
        reply = self.run("bury", consumer, worker, *told, int(task.failed), int(task.not_started), self.history, task.task)
        return bool(reply == b"ok")

    # Leases and recovery

    def beat(self, lease_ms: int, run_id: str, ttl_ms: int, consumers: Iterable[tuple[str, bytes, str]]) -> int:
        """The heartbeat of consumers (name, card as JSON, running as lines); returns the server's time in ms."""
        args: list[str | bytes | int] = [lease_ms, run_id, ttl_ms]
        for name, card, running in consumers:
            args += [name, b"%d %s" % (lease_ms, card), running]
        return int(self.run("beat", *args))

    def renew(self, consumer: str) -> list[Held]:
        """Renews the lease of all that a consumer holds; returns what that is."""
        return [Held(address.decode(), count, idle) for address, count, idle in self.run("renew", consumer)]

    def sweep(self, lease_ms: int, period_ms: int, batch: int = SWEEP_MOST) -> Swept:
        """The timed recovery; one a period and fleet does anything."""
        reaped, suspects, held_back = self.run("sweep", lease_ms, period_ms, batch)
        return Swept(reaped, suspects, held_back == b"1")

    def reap(self, consumer: str, why: str, *, started: Iterable[tuple[str, int]] | None = None, batch: int = 200) -> Reaped:
        """Recovers what a dead consumer held.

        Args:
            consumer: whose process is known to be dead.
            why: one sentence, the error of the attempts that ended with it.
            started: address and start (ms) of the runs that had started, where that is known; the rest is handed back, forgiven.
            batch: how many entries at most.
        """
        known = [str(value) for run in started for value in run] if started is not None else []
        crashed, handed_back, left = self.run("reap", consumer, why, batch, int(started is not None), *known)
        return Reaped(crashed, handed_back, left == b"1")

    def claim(self, why: str, runs: Iterable[tuple[str, str, int]]) -> list[str]:
        """Hands stuck runs on (address, consumer, count of each); returns the addresses of those that still stood so."""
        return [address.decode() for address in self.run("claim", why, *(value for run in runs for value in run))]

    # By order of a person

    def revive(self, task_id: str) -> tuple[str, str]:
        """Puts a dead letter back: (`ok`, address), (`unknown`, ``), or (`taken`, id of the task that holds its unique key)."""
        state, *rest = self.run("revive", task_id)
        return state.decode(), rest[0].decode() if rest else ""

    def discard(self, task_id: str) -> bool:
        """Throws a dead letter away; False: there is none of this id."""
        return bool(self.run("discard", task_id) == b"ok")

    def cancel(self, task_id: str, by: str) -> str:
        """Cancels a task: `cancelled`, `running` (cancelled while it ran), `dead`, `unknown`."""
        reply: bytes = self.run("cancel", task_id, self.history, by)
        return reply.decode()

    def hasten(self, task_id: str) -> str:
        """Makes a parked task due now: `ok`, `waiting`, `running`, `dead`, `unknown`."""
        reply: bytes = self.run("hasten", task_id)
        return reply.decode()

    def pause(self, *, paused: bool) -> bool:
        """Stops or resumes all hand-outs; returns whether that changed something."""
        return bool(self.run("pause", int(paused)))

    def purge(self, letter: str, after: str, before_ms: int, by: str, batch: int = 500) -> tuple[int, str]:
        """Removes a batch of one stream's tasks that nobody holds, sent before a time; (how many, where to go on)."""
        purged, last = self.run("purge", letter, after, before_ms, batch, self.history, by)
        return purged, last.decode()

    def mend(self, fault: str, subjects: Sequence[str | bytes]) -> list[bytes]:
        """Mends what `survey.lua` told of a fault, each only where it is still so; returns the subjects that were mended."""
        mended: list[bytes] = self.run("mend", fault, *subjects)
        return mended

    # Reading

    def remains(self) -> Remains:
        """What keeps the queue from being drained."""
        waiting, running, retrying, unknown, due, later, paused = self.run("remains")
        return Remains(waiting, running, retrying, unknown, due, later, bool(paused))

    def parked(self, most: int) -> Parked:
        """What waits to be handed out again; told by address and time are at most so many."""
        return parse_parked(self.run("parked", most), most)

    def now_ms(self) -> int:
        """The server's time."""
        seconds, micros = self.link.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def holds(self, consumer: str, address: str, count: int) -> bool:
        """Whether a fence holds: the entry is pending, with this consumer and this delivery count."""
        entry = address[1:]
        try:
            rows = self.link.call("XPENDING", self.keys.stream(address[0]), GROUP, entry, entry, 1)
        except ReplyError as error:
            if error.code != "NOGROUP":
                raise
            return False
        return bool(rows) and rows[0][1] == consumer.encode() and rows[0][3] == count

    def fleet(self) -> dict[str, bytes]:
        """The card of each consumer that has ever beaten and not left."""
        flat = self.link.call("HGETALL", self.keys["fleet"])
        return {flat[i].decode(): flat[i + 1].partition(b" ")[2] for i in range(0, len(flat), 2)}

    def locate(self, task_id: str) -> list[Any]:
        """All that is known of one task; see `locate.lua`."""
        reply: list[Any] = self.run("locate", task_id, more_keys=[self.keys.result(task_id)])
        return reply

    def stats(self, minutes: int) -> list[Any]:
        """The figures of the queue at one instant; see `stats.lua`."""
        reply: list[Any] = self.run("stats", minutes)
        return reply


def fences_told(fences: Sequence[tuple[str, int]]) -> tuple[str, str]:
    """Fences as `settle.lua` takes them: addresses, and counts where they are not all 1."""
    addresses, counts = zip(*fences, strict=True)
    return " ".join(addresses), "" if counts.count(1) == len(counts) else " ".join(map(str, counts))


def reading(
    keys: Keys, consumer: str, count: int, *, letters: Iterable[str] = tuple(LETTERS.values()), block_ms: int = 0
) -> list[list[str | int]]:
    """A plain XREADGROUP for new tasks, of which `COUNT` holds for each stream, and the look at the marks behind it.

    It costs the server less than `take`, and knows less: neither due tasks, nor turns, nor groups that are missing. The one that
    blocks is the one of a process that has nothing to do, over all priorities; the server answers its look when it has ended.
    """
    streams = [keys.stream(letter) for letter in letters]
    block: list[str | int] = ["BLOCK", block_ms] if block_ms else []
    return [
        ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count, *block, "STREAMS", *streams, *[">"] * len(streams)],
        ["HMGET", keys["control"], *STREAMS, "paused"],
    ]
