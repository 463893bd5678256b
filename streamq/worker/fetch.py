"""The fetcher: takes tasks for the free slots of its process, and blocks on the streams when there is nothing to take.

It holds at most what will start at once and a buffer that the measured run times allow; what has waited too long in the
buffer is handed back. Priorities take turns, so that none starves; within one, due tasks go before new ones, three in four.
One blocked XREADGROUP a process, never past the next due time; what it brings at or below a mark, or while the queue is
paused, is looked at first. Nothing wakes it for what others hand back: so it looks again soon where there was work lately. And
whoever finds work in a queue that was empty takes as much as starts at once, then twice as much: others wait for it too.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from typing import TYPE_CHECKING, Any, Final

from streamq.replies import Handed, parse_read
from streamq.server.reply import ReplyError
from streamq.transitions import Park, blocking_read
from streamq.worker.prefetch import SOON, TOO_LONG
from streamq.worker.run import Run
from streamq.worker.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamq.transitions import Transitions
    from streamq.worker.budget import Budget
    from streamq.worker.judge import Judge
    from streamq.worker.settle import Settler
    from streamq.worker.shared import Shared
    from streamq.worker.slots import Slots

#: Longest blocked read, in seconds: how long a stop may have to wait for it.
BLOCK: Final = 1.0
#: How long one whose slots of one kind are busy lets others have what it has handed back of that kind, in seconds: at first, and
#: when it stays so; that is longer than a blocked read, behind which they find it.
REST_FIRST: Final = 0.25
REST: Final = 1.5
#: How often a paused queue is looked at, in seconds, and how often a worker asks whose heartbeat has expired.
PAUSED: Final = 0.5
SILENT: Final = 0.1
#: Most tasks of one take.
TAKE_MOST: Final = 500
#: Most tasks of a kind that is stuck that are passed at a time in vain, in search of one for the other kind.
PASS_MOST: Final = 30
#: The first priority of ten takes in turn: high six times, default three times, low once.
_FIRST: Final = "hdhhdhlhdh"
#: How the others follow.
_ORDER: Final = {"h": "hdl", "d": "dhl", "l": "lhd"}


class Fetcher(Source):
    """The fetching thread of a process.

    Args:
        transitions, shared, judge, settler, slots: as of every `Source`.
        budget: how many more tasks the worker may start, where that is bounded.
    """

    def __init__(
        self,
        transitions: Transitions,
        shared: Shared,
        judge: Judge,
        settler: Settler,
        slots: dict[bool, Slots],
        budget: Budget | None,
    ) -> None:
        super().__init__(transitions, shared, judge, settler, slots)
        self._prefetch = shared.prefetch
        self._budget = budget
        self._turns = itertools.cycle(_FIRST)
        self._takes = 0
        #: How many tasks of a kind had room when some were asked for, and until when none are, unless a slot is free before.
        self._free_of = dict.fromkeys(slots, 0)
        self._resting_until = dict.fromkeys(slots, 0.0)
        self._rest = dict.fromkeys(slots, REST_FIRST)
        #: Most tasks of the next take, and of the first one.
        self._most = self._first = max(each.slots for each in slots.values())
        #: When tasks came last.
        self._fed = 0.0
        #: When tasks for one kind may be looked for behind those of the other, and how many of those were passed in vain.
        self._look_at = 0.0
        self._passed = 0

    def stop(self) -> None:
        """Takes nothing more; hands back what has not started."""
        self._stop.set()
        self._room.set()
        super().stop()

    def _work(self) -> None:
        super()._work()
        self._hand_back([run for slots in self._slots.values() for run in slots.take_back()])

    def _run(self) -> None:
        while not self._stop.is_set():
            self._turn()

    def _turn(self) -> None:
        """Takes once, or waits for room, for a task, or for the queue to go on."""
        self._room.clear()
        self._see_to_buffers()
        want = self._want()
        beside = 0 if want else self._beside()
        if self._budget is not None and (want or beside):
            left = self._budget.left()
            want, beside = min(want, left), min(beside, left)
            if not left and all(run.started_ms for run in list(self._held.values())):
                self._on_spent()
                self._stop.wait()
                return
        if want:
            with self._taking():
                self._take(want)
        elif beside:
            with self._taking():
                self._look_beside(beside)
        else:
            self._room.wait(SOON if len(self._slots) > 1 else self._glance())

    def _want(self) -> int:
        """How many tasks have room: in the free slots, and in the buffer behind them."""
        if self._settler.is_behind:
            return 0
        self._free_of = {kind: self._free(kind) for kind in self._slots}
        least, most = min(self._free_of.values()), max(self._free_of.values())
        if least <= 0:
            return min(most, TAKE_MOST, self._most) + 1 if most > 0 and self._mixed_room() else 0
        return min(most if self._prefetch.fixed is None else least, TAKE_MOST, self._most)

    def _free(self, kind: bool) -> int:  # noqa: FBT001 - a kind is a key
        """How many tasks have room in the slots of one kind; a buffer is filled again when half of it has been used up."""
        slots = self._slots[kind]
        depth, load = self._prefetch.depth(kind, slots.slots), slots.load()
        if load < slots.slots:
            self._resting_until[kind], self._rest[kind] = 0.0, REST_FIRST
        elif depth and (slots.buffered() > depth // 2 or self._rests(kind)):
            return 0
        return slots.slots + depth - load

    def _idle(self) -> int:
        """How many slots of one kind are free."""
        return max(0, *(slots.slots - slots.load() for slots in self._slots.values()))

    def _rests(self, kind: bool) -> bool:  # noqa: FBT001 - a kind is a key
        return time.monotonic() < self._resting_until[kind]

    def _mixed_room(self) -> bool:
        """With both kinds of handlers, one kind may be busy: then a single task of the wrong kind may wait for it, not more.

        Nor again and again: what was handed back because it had waited too long is another worker's turn. One more than there is
        room for is taken, and not at regular times: else two could for ever take what only the other one has a slot for.
        """
        return all(slots.load() <= slots.slots - self._rests(kind) for kind, slots in self._slots.items())

    def _beside(self) -> int:
        """With both kinds of handlers, one may be stuck: how many new tasks to look at for the other."""
        now = time.monotonic()
        stuck = [slots.load() >= slots.slots and not now - SOON <= slots.oldest() < math.inf for slots in self._slots.values()]
        if now < self._look_at or not any(stuck) or self._settler.is_behind:
            return 0
        return max(0, min(max(self._free_of.values()), self._most))

    def _look_beside(self, want: int) -> None:
        """Reads new tasks past those of a kind that is stuck, which are handed back; not too many in vain."""
        self._wait_for_task(want, 0.0)
        if self._passed >= PASS_MOST:
            self._passed = 0
            self._look_at = time.monotonic() + REST
        elif self._fed < self._under_way.since:
            self._look_at = time.monotonic() + SOON

    def _take(self, want: int) -> None:
        """Takes at most so many tasks."""
        self._takes += 1
        due_first = want - max(1, want // 4) if want > 1 else int(self._takes % 4 != 0)
        order = _ORDER[next(self._turns)]
        taken = self._patiently(lambda: self._transitions.take(self._consumer, want, due_first, order))
        self._clock.set(taken.now_ms)
        if taken.tasks:
            if len(taken.tasks) == want:
                self._most = min(2 * self._most, TAKE_MOST)
            self._dispatch(taken.tasks, taken.now_ms)
        elif taken.state == "paused":
            self._stop.wait(PAUSED)
        elif taken.state == "silent":
            self._stop.wait(SILENT)
        elif taken.state == "ok":
            self._most = self._first
            block = min(BLOCK, max(SOON, (time.monotonic() - self._fed) / 4))
            if taken.next_due_ms:
                block = min(block, max(0.001, (taken.next_due_ms - taken.now_ms) / 1000))
            busy = any(slots.load() for slots in self._slots.values())
            self._wait_for_task(min(want, max(1, self._idle())), min(block, 2 * SOON) if busy else block)

    def _wait_for_task(self, want: int, block: float) -> None:
        """Blocks until there is a task, or until the time is over."""
        count = max(1, want // 3)  # COUNT is for each of three streams
        commands = blocking_read(self._transitions.keys, self._consumer, count, max(1, int(block * 1000)))
        reply, control = self._patiently(lambda: self._read(commands, block))
        if not reply:
            return
        tasks, watch = parse_read(self._transitions.keys, reply, control)
        if watch.marks:
            tasks = self._admitted(tasks)
        if watch.paused or self._stop.is_set():
            want = 0
        self._dispatch(tasks[:want], self._clock.ms())
        self._release([(task.address, task.count) for task in tasks[want:]])

    def _read(self, commands: Sequence[Sequence[Any]], block: float) -> tuple[Any, Any]:
        """Reads once; nothing where a group is missing, which the next take makes."""
        reply, control = self._transitions.link.batch(commands, block=block)
        if isinstance(reply, ReplyError) and reply.code in {"NOGROUP", "UNBLOCKED"}:
            return None, control
        for each in (reply, control):
            if isinstance(each, Exception):
                raise each
        return reply, control

    def _admitted(self, tasks: list[Handed]) -> list[Handed]:
        fields = {task.address: task.fields for task in tasks}
        rows = self._patiently(lambda: self._transitions.admit(self._consumer, list(fields)))
        return [
            Handed(address, count, forgiven, crashes, unknown, fields[address], attempts)
            for address, count, forgiven, crashes, unknown, attempts in rows
        ]

    def _dispatch(self, tasks: Sequence[Handed], now_ms: int) -> None:
        runs: dict[bool, list[Run]] = {kind: [] for kind in self._slots}
        held, judge = self._held, self._judge
        asked, taken = self._under_way.since, time.monotonic()
        if tasks:
            self._fed = taken
        for handed in tasks:
            known = held.get(handed.address)
            if known is not None and not known.handed_back:
                # A group made anew hands out again what this process runs: it keeps the run it has.
                known.regain(handed.count, asked)
                continue
            verdict = judge(handed, now_ms, asked, taken)
            if not isinstance(verdict, Run):
                self._settler.put(verdict)
            elif self._budget is not None and not self._budget.use():
                self._release([(handed.address, handed.count)])
            else:
                held[handed.address] = verdict
                runs[verdict.definition.is_async].append(verdict)
        for kind, of in runs.items():
            if of:
                self._submit_soon(kind, of)

    def _submit_soon(self, kind: bool, runs: list[Run]) -> None:  # noqa: FBT001 - a kind is a key
        """Gives slots what will start soon, and the rest back."""
        slots = self._slots[kind]
        kept = self._prefetch.keep(kind, [run.task.name for run in runs], slots)
        if len(self._slots) > 1:
            kept = min(kept, max(0, self._free_of[kind], slots.slots + 1 - slots.load()))
        if slots.load() < slots.slots:
            self._passed = 0
        self._submit(kind, runs[:kept])
        self._return(kind, runs[kept:])

    def _submit(self, kind: bool, runs: list[Run]) -> None:  # noqa: FBT001 - a kind is a key
        if runs:
            slots = self._slots[kind]
            slots.submit(runs, self._prefetch.depth(kind, slots.slots) // 2)

    def _return(self, kind: bool, runs: list[Run]) -> None:  # noqa: FBT001 - a kind is a key
        """Gives back what has come and will not start soon: others have their turn, and less is asked for."""
        if runs:
            self._most = self._first
            if len(self._slots) > 1:
                self._resting_until[kind] = time.monotonic() + self._rest[kind] * random.uniform(1, 2)  # noqa: S311 - no secret
                self._rest[kind] = min(2 * self._rest[kind], REST)
                self._passed += len(runs)
            self._hand_back(runs)

    def _glance(self) -> float:
        """How long to look away, in seconds: what is buffered has to start soon."""
        return SOON if any(slots.buffered() for slots in self._slots.values()) else TOO_LONG

    def _see_to_buffers(self) -> None:
        """Rings for what should have started by now, and gives up what has not started in time."""
        for kind, slots in self._slots.items():
            oldest, now = slots.oldest(), time.monotonic()
            late = now - TOO_LONG
            if oldest < now - SOON:
                slots.ring()
            if oldest < late and self._prefetch.fixed is None:
                runs = slots.take_back()
                self._submit(kind, [run for run in runs if run.taken >= late])
                stale = [run for run in runs if run.taken < late]
                if stale:
                    self._prefetch.stall(kind)
                    self._return(kind, stale)

    def _hand_back(self, runs: list[Run]) -> None:
        if self._budget is not None:
            self._budget.give_back(len(runs))
        for run in runs:
            self._settler.hand_back(run)

    def _release(self, fences: list[tuple[str, int]]) -> None:
        for address, count in fences:
            self._settler.put(Park(address, count, 0, "release"))
