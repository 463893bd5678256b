"""The fetcher: takes tasks for the free slots of its process, and blocks on the streams when there is nothing to take.

It holds what its demand allows; what has waited too long in the buffer is handed back. Priorities take turns, so that none
starves; within one, due tasks go before new ones, three in four. From a priority that gives the largest takes it is read on
plainly for a moment, the next tasks being under way while these are looked at. What a plain read brings at or below a mark, or
while the queue is paused, is looked at first.

With nothing to do: one blocked XREADGROUP a process, never past the next due time. Nothing wakes it for what others hand back: so
it looks again soon where there was work lately.

Where all handlers are sync ones, a single task for a slot that sleeps is begun by the thread that has taken it, in that slot's
seat, and another thread fetches on: handing the task over would take as long as all the rest. (With both kinds the other thread
would take one more at once, as it may, before the slot is free again.)
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import queue
import time
from typing import TYPE_CHECKING, Any, Final

from streamq.errors import ServerUnreachable
from streamq.replies import Handed, parse_read
from streamq.server.reply import ReplyError
from streamq.server.resp import pack
from streamq.transitions import Park, reading
from streamq.worker.demand import TAKE_MOST, Demand
from streamq.worker.mixed import MixedDemand
from streamq.worker.part import Part
from streamq.worker.prefetch import SOON, TOO_LONG
from streamq.worker.run import Run
from streamq.worker.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamq.transitions import Transitions
    from streamq.worker.budget import Budget
    from streamq.worker.judge import Judge
    from streamq.worker.settle import Settler
    from streamq.worker.shared import Shared
    from streamq.worker.slots import Slots
    from streamq.worker.threads import Bell, ThreadSlots

#: Longest blocked read, in seconds: how long a stop may have to wait for it.
BLOCK: Final = 1.0
#: How long one priority is read on from, in seconds, until due tasks and other priorities have their turn: no longer than what is
#: buffered waits anyway.
RUSH: Final = SOON
#: How often a paused queue is looked at, in seconds, and how often a worker asks whose heartbeat has expired.
PAUSED: Final = 0.5
SILENT: Final = 0.1
#: The first priority of ten takes in turn: high six times, default three times, low once.
_FIRST: Final = "hdhhdhlhdh"
#: How the others follow.
_ORDER: Final = {"h": "hdl", "d": "dhl", "l": "lhd"}


class Fetcher(Source):
    """The fetching of a process: one thread at a time does it, and begins a single task itself when another one can take over.

    Args:
        transitions, shared, judge, settler, slots: as of every `Source`.
        budget: how many more tasks the worker may start, where that is bounded.
        threads: the slots, where all handlers are sync ones, so that who fetches can begin a task itself.
    """

    def __init__(
        self,
        transitions: Transitions,
        shared: Shared,
        judge: Judge,
        settler: Settler,
        slots: dict[bool, Slots],
        budget: Budget | None,
        threads: ThreadSlots | None,
    ) -> None:
        super().__init__(transitions, shared, judge, settler, slots)
        self._threads = threads
        self._prefetch = shared.prefetch
        self._demand = (Demand if len(slots) == 1 else MixedDemand)(slots, shared.prefetch, settler)
        self._budget = budget
        self._turns = itertools.cycle(_FIRST)
        self._takes = 0
        #: The letter of the priority that is read on from, and until when.
        self._rush, self._rush_until = "", 0.0
        #: When tasks came last.
        self._fed = 0.0
        #: The fetching thread that sleeps, if there is one, and what the other one is about to do itself before it relieves it.
        self._relief: list[Bell] = []
        self._own: tuple[Callable[[], None], Bell] | None = None
        self._second = Part(self._stand_by, "fetcher-2")

    def start(self) -> None:
        """Starts the threads."""
        if self._threads is not None:
            self._second.start()
        super().start()

    def stop(self) -> None:
        """Takes nothing more; hands back what has not started."""
        self._stop.set()
        self._room.set()
        while self._relief:
            self._relief.pop().put(True)
        super().stop()
        self._second.finish()

    def _work(self) -> None:
        super()._work()
        self._hand_back([run for slots in self._slots.values() for run in slots.take_back()])

    def _run(self) -> None:
        """Fetches; a thread that begins a task itself hands that over, and waits for its turn when the task has ended."""
        bell: Bell = queue.SimpleQueue()
        while not self._stop.is_set():
            self._turn()
            if self._own is not None:
                (run, relief), self._own = self._own, None
                relief.put(True)
                run()
                self._sleep(bell)

    def _stand_by(self) -> None:
        self._sleep(queue.SimpleQueue())
        self._work()

    def _sleep(self, bell: Bell) -> None:
        """Waits to take over."""
        self._relief.append(bell)
        if not self._stop.is_set():
            bell.get()

    def _turn(self) -> None:
        """Takes once, or waits for room, for a task, or for the queue to go on."""
        self._room.clear()
        self._see_to_buffers()
        want = self._demand.want()
        beside = 0 if want else self._demand.beside()
        if self._budget is not None and (want or beside):
            left = self._budget.left()
            want, beside = min(want, left), min(beside, left)
            if not left and all(run.started_ms for run in list(self._held.values())):
                self._on_spent()
                self._stop.wait()
                return
        if want:
            with self._taking():
                if time.monotonic() < self._rush_until:
                    self._read_on(want)
                else:
                    self._take(want)
        elif beside:
            with self._taking():
                self._look_beside(beside)
        else:
            self._room.wait(self._demand.glance())

    def _take(self, want: int) -> None:
        """Takes at most so many tasks."""
        self._takes += 1
        due_first = want - max(1, want // 4) if want > 1 else int(self._takes % 4 != 0)
        order = _ORDER[next(self._turns)]
        taken = self._patiently(lambda: self._transitions.take(self._consumer, want, due_first, order))
        self._clock.set(taken.now_ms)
        if taken.tasks:
            self._demand.came(len(taken.tasks), want)
            if taken.only and len(taken.tasks) == TAKE_MOST:
                self._rush, self._rush_until = taken.only, time.monotonic() + RUSH
            self._dispatch(taken.tasks, taken.now_ms)
        elif taken.state == "paused":
            self._stop.wait(PAUSED)
        elif taken.state == "silent":
            self._stop.wait(SILENT)
        elif taken.state == "ok":
            self._demand.nothing_came()
            block = min(BLOCK, max(SOON, (time.monotonic() - self._fed) / 4))
            if taken.next_due_ms:
                block = min(block, max(0.001, (taken.next_due_ms - taken.now_ms) / 1000))
            busy = any(slots.load() for slots in self._slots.values())
            self._wait_for_task(min(want, max(1, self._demand.idle())), min(block, 2 * SOON) if busy else block)

    def _read_on(self, want: int) -> None:
        """Takes more of the priority that has just given all that was asked for."""
        link, commands = self._transitions.link, reading(self._transitions.keys, self._consumer, want, letters=self._rush)
        packet, tasks = pack(commands), self._read(commands)
        while len(tasks) == want and self._may_read_ahead(want):
            asked = time.monotonic()
            with contextlib.suppress(ServerUnreachable):  # then nothing is under way, and the next read waits for the server
                link.post(packet, len(commands))
            self._dispatch(tasks, self._clock.ms())
            self._under_way.since = asked
            tasks = self._read(commands)
        if len(tasks) < want:
            self._rush_until = 0.0
        self._dispatch(tasks, self._clock.ms())

    def _may_read_ahead(self, coming: int) -> bool:
        """Whether more can be asked for before so many have been handed over."""
        is_over = self._stop.is_set() or self._budget is not None or time.monotonic() > self._rush_until
        return not is_over and self._demand.is_ample(coming)

    def _look_beside(self, want: int) -> None:
        """Reads new tasks past those of a kind that is stuck, which are handed back."""
        self._wait_for_task(want, 0.0)
        self._demand.looked(found=self._fed >= self._under_way.since)

    def _wait_for_task(self, want: int, block: float) -> None:
        """Blocks until there is a task, or until the time is over."""
        count = max(1, want // 3)  # COUNT is for each of three streams
        tasks = self._read(reading(self._transitions.keys, self._consumer, count, block_ms=max(1, int(block * 1000))), block)
        self._dispatch(tasks[:want], self._clock.ms())
        self._release(tasks[want:])

    def _read(self, commands: Sequence[Sequence[Any]], block: float = 0.0) -> list[Handed]:
        """Reads plainly, and lets through what may start."""
        reply, control = self._patiently(lambda: self._replies(commands, block))
        if not reply:
            return []
        tasks, watch = parse_read(self._transitions.keys, reply, control)
        if watch.marks:
            tasks = self._admitted(tasks)
        if watch.paused or self._stop.is_set():
            self._release(tasks)
            return []
        return tasks

    def _replies(self, commands: Sequence[Sequence[Any]], block: float) -> tuple[Any, Any]:
        """What was asked for ahead, or reads now; nothing where a group is missing, which the next take makes."""
        link = self._transitions.link
        reply, control = link.replies() if link.due else link.batch(commands, block=block)
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
                self._release([handed])
            else:
                held[handed.address] = verdict
                runs[verdict.definition.is_async].append(verdict)
        for kind, of in runs.items():
            if of:
                self._submit_soon(kind, of)

    def _submit_soon(self, kind: bool, runs: list[Run]) -> None:  # noqa: FBT001 - a kind is a key
        """Gives slots what will start soon, and the rest back."""
        kept = self._demand.kept(kind, runs)
        self._submit(kind, runs[:kept])
        self._return(kind, runs[kept:])

    def _submit(self, kind: bool, runs: list[Run]) -> None:  # noqa: FBT001 - a kind is a key
        if runs and (kind or len(runs) > 1 or not self._is_to_begin_here(runs[0])):
            slots = self._slots[kind]
            slots.submit(runs, self._prefetch.depth(kind, slots.slots) // 2)

    def _is_to_begin_here(self, run: Run) -> bool:
        """Whether this thread is about to run it, and the other one to take over."""
        if self._threads is None or self._own is not None or not self._relief or (seat := self._threads.seat()) is None:
            return False
        try:
            self._own = functools.partial(self._threads.run_here, run, seat), self._relief.pop()
        except IndexError:  # rung, for the process stops
            self._threads.leave(seat)
        return self._own is not None

    def _return(self, kind: bool, runs: list[Run]) -> None:  # noqa: FBT001 - a kind is a key
        """Gives back what has come and will not start soon."""
        if runs:
            self._rush_until = 0.0
            self._demand.too_many(kind, len(runs))
            self._hand_back(runs)

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

    def _release(self, tasks: Sequence[Handed]) -> None:
        for task in tasks:
            self._settler.put(Park(task.address, task.count, 0, "release"))
