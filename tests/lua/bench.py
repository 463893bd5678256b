"""A queue on the bench: its transitions, a plain client beside them, and the whole state before and after."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from streamq.keys import GROUP, Keys
from streamq.replies import Handed
from streamq.server.connect import Link
from streamq.transitions import Bury, Park, ParkKind, Transitions
from tests.conftest import wait_until
from tests.lua import adding
from tests.lua.servers import Server
from tests.lua.state import State, changes, state_of


class Bench:
    """One queue with what a test needs around it.

    Args:
        server: where it is.
        name: the queue's name; no other test uses it.
        history: how many endings it keeps.
    """

    def __init__(self, server: Server, name: str, *, history: int = 100) -> None:
        self.server = server
        self.keys = Keys(name)
        self.link: Link = server.link()
        self.client = server.client()
        self.run = Transitions(self.link, self.keys, history=history)
        self.lane = secrets.token_hex(4)
        self.number = 0

    def close(self) -> None:
        """Close its connections."""
        self.link.close()
        self.client.close()

    # Accepting and handing out, in short

    def send(self, *heads: str, bound: int = 0, **fields: str | bytes) -> list[str]:
        """Add one task a head, all with the same fields; returns their ids."""
        flat = [text for pair in {"task": "image", "args": "{}", **fields}.items() for text in pair]
        self.number += 1
        return self.add(self.lane, self.number, bound, [(head, *flat) for head in heads])[1]

    def add(self, lane: str, number: int, bound: int, tasks: Sequence[adding.Row]) -> tuple[bool, list[str]]:
        """Add tasks in one call; returns whether it is the answer to an earlier one, and the ids."""
        return adding.add(self.run, lane, number, bound, adding.call(tasks))

    def take(self, consumer: str = "w1-a", want: int = 10, due_first: int = 5, order: str = "hdl") -> list[Handed]:
        """Take until there is nothing that another call would bring at once."""
        tasks: list[Handed] = []
        while True:
            taken = self.run.take(consumer, want - len(tasks), due_first, order)
            tasks += taken.tasks
            if taken.state != "more" or len(tasks) >= want:
                return tasks

    def take_due(self, consumer: str = "w1-a", many: int = 1) -> list[Handed]:
        """Take until so many have come: delayed tasks are due in a moment."""
        tasks: list[Handed] = []

        def have_come() -> bool:
            tasks.extend(self.take(consumer))
            return len(tasks) >= many

        wait_until(have_come, f"{many} tasks have come")
        return tasks

    def held(self, consumer: str = "w1-a", head: str = "d", **fields: str | bytes) -> Handed:
        """A task that was sent and that a consumer holds."""
        self.send(head, bound=0, **fields)
        [task] = self.take_due(consumer)
        return task

    def idle(self, consumer: str, task: Handed, ms: int) -> None:
        """Let it be so long ago that the lease of a held task was renewed."""
        stream = self.keys.stream(task.address[0])
        self.link.call("XCLAIM", stream, GROUP, consumer, 0, task.address[1:], "IDLE", ms, "JUSTID")

    # Ending and parking, in short

    def settle(self, consumer: str, *tasks: Handed) -> list[str]:
        """Finish tasks; returns the refused addresses."""
        lines = "\n".join(f"{task.address}\tfinished\t1\t2\t{task.deliveries}\timage" for task in tasks)
        fences = [(task.address, task.count) for task in tasks]
        return self.run.settle(consumer, "w1", 60_000, lines, "w1 1 r2 1", fences)

    def park(self, consumer: str, task: Handed, kind: ParkKind = "retry", delay_ms: int = 0, attempt: bytes = b"") -> list[str]:
        """Park a task; returns the refused addresses."""
        return self.run.park(consumer, [Park(task.address, task.count, delay_ms, kind, attempt)])

    def bury(self, consumer: str, task: Handed, /, **how: object) -> bool:
        """Bury a task, as a failure of its own unless said otherwise."""
        told = {
            "reason": "error",
            "error": "ValueError: no",
            "traceback": "Traceback",
            "attempt": b'{"delivery":1}',
            "failed": True,
            "not_started": False,
            "task": "image",
        } | how
        return self.run.bury(consumer, "w1", Bury(task.address, task.count, **told))  # type: ignore[arg-type]

    # Behind its back

    def destroy_group(self, name: str = "default") -> None:
        """Destroy the consumer group of a stream."""
        self.client.xgroup_destroy(self.keys[name], GROUP)

    def clock(self) -> int:
        """The server's clock in milliseconds."""
        seconds, micros = self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def pass_time(self, ms: int) -> None:
        """Wait until the server's clock has moved on so far."""
        end = self.clock() + ms
        wait_until(lambda: self.clock() > end, f"{ms} ms have passed")

    @property
    def state(self) -> State:
        """All that the queue holds."""
        return state_of(self.link, self.keys)

    @contextmanager
    def changing(self) -> Iterator[State]:
        """What the calls inside change: filled when they are done."""
        before = self.state
        told: State = {}
        yield told
        told |= changes(before, self.state)

    @contextmanager
    def full_memory(self) -> Iterator[None]:
        """A server that has reached `maxmemory` and evicts nothing."""
        self.client.config_set("maxmemory-policy", "noeviction")
        self.client.config_set("maxmemory", 1)
        try:
            yield
        finally:
            self.client.config_set("maxmemory", 0)
