"""A queue in any state that a test of the read side wants to see, made with the transitions that workers use, without workers."""

from __future__ import annotations

import json
import secrets
import subprocess
from typing import Literal

import redis

from streamq import process
from streamq.keys import GROUP, Keys
from streamq.replies import Handed
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.transitions import Bury, Park, ParkKind, Reason, Transitions
from tests.lua.adding import add, call

MINUTE_MS = 60_000
LEASE_MS = 30_000

#: Of a worker: alive; its heartbeat expired; its process is gone; alive on another machine.
Life = Literal["alive", "lost", "dead", "elsewhere"]


class Seed:
    """One queue and the means to bring it into a state.

    Args:
        server: address of the server.
        queue: name of the queue.
    """

    def __init__(self, server: str, queue: str) -> None:
        self.server = server
        self.keys = Keys(queue)
        self.link = Link(Endpoint(server))
        self.client = redis.Redis.from_url(server)
        self.run = Transitions(self.link, self.keys, history=100)
        self.run.open()
        self._lane = secrets.token_hex(4)
        self._number = 0

    def close(self) -> None:
        """Close the connections."""
        self.link.close()
        self.client.close()

    def now(self) -> int:
        """The server's time, ms."""
        seconds, micros = self.link.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    # Tasks

    def send(self, many: int = 1, head: str = "d", **fields: str) -> list[str]:
        """Send tasks that are all alike; returns their ids."""
        flat = [text for pair in ({"task": "image", "args": '{"source": "a.jpg"}'} | fields).items() for text in pair]
        ids: list[str] = []
        for start in range(0, many, 500):
            self._number += 1
            ids += add(self.run, self._lane, self._number, 0, call([(head, *flat)] * min(500, many - start)))[1]
        return ids

    def take(self, consumer: str, want: int = 1000) -> list[Handed]:
        """Hand out what waits, in order."""
        tasks: list[Handed] = []
        while len(tasks) < want:
            taken = self.run.take(consumer, min(1000, want - len(tasks)), 100, "hdl")
            tasks += taken.tasks
            if not taken.tasks and taken.state == "ok":
                break
        return tasks

    def held(self, consumer: str, head: str = "d", **fields: str) -> Handed:
        """A task that was sent, and that a consumer holds."""
        self.send(1, head, **fields)
        [handed] = self.take(consumer)
        return handed

    def idle(self, consumer: str, tasks: list[Handed], ms: int) -> None:
        """Let it be so long since a lease was renewed."""
        for task in tasks:
            self.client.xclaim(self.keys.stream(task.address[0]), GROUP, consumer, 0, [task.address[1:]], idle=ms, justid=True)

    def finish(self, consumer: str, tasks: list[Handed], buckets: str = "") -> None:
        """Settle tasks as finished."""
        lines = "\n".join(f"{task.address}\tfinished\t1\t2\t{task.deliveries}\timage" for task in tasks)
        fences = [(task.address, task.count) for task in tasks]
        assert self.run.settle(consumer, "w1", MINUTE_MS, lines, buckets, fences) == []

    def park(
        self, consumer: str, task: Handed, kind: ParkKind = "retry", delay_ms: int = 0, error: str = "OSError: full"
    ) -> None:
        """Park a task after a failed attempt."""
        record = self._attempt(task, error) if kind == "retry" else b""
        assert self.run.park(consumer, [Park(task.address, task.count, delay_ms, kind, record)]) == []

    def bury(self, consumer: str, task: Handed, reason: Reason = "error", error: str = "ValueError: no image") -> str:
        """Move a task to the dead letters; returns its id."""
        traceback = f"Traceback (most recent call last):\n  here\n{error}"
        attempt = self._attempt(task, error)
        letter = Bury(task.address, task.count, reason, error, traceback, attempt, failed=True, not_started=0, task="image")
        assert self.run.bury(consumer, "w1", letter)
        fields = dict(zip(task.fields[::2], task.fields[1::2], strict=True))
        return fields.get(b"id", task.address.encode()).decode()

    def _attempt(self, task: Handed, error: str) -> bytes:
        now = self.now()
        attempt = {"delivery": task.deliveries, "worker": "w1", "started_ms": now - 5, "ended_ms": now, "error": error}
        return json.dumps(attempt).encode()

    def dead(self, many: int = 1, reason: Reason = "error", error: str = "ValueError: no image", **fields: str) -> list[str]:
        """Dead letters; returns their ids."""
        consumer = "w1-dead"
        self.send(many, **fields)
        return [self.bury(consumer, task, reason, error) for task in self.take(consumer, many)]

    def crash(self, consumer: str) -> None:
        """Recover, as after a crash, what a consumer holds."""
        self.run.reap(consumer, "worker lost: its process is gone")

    # Workers

    def worker(
        self,
        consumer: str,
        life: Life = "alive",
        *,
        runs: list[tuple[str, int]] | None = None,
        lease_ms: int = LEASE_MS,
        **card: object,
    ) -> None:
        """Let a consumer have beaten once; `runs`: address and start of what it runs."""
        me = process.current()
        if life == "dead":
            me = me._replace(pid=ended_pid())
        if life == "elsewhere":
            me = me._replace(boot="another")
        shown = {
            "name": consumer.rpartition("-")[0],
            "host": "here",
            "boot": me.boot,
            "pidns": me.pidns,
            "pid": me.pid,
            "pid_start": me.start,
            "concurrency": 4,
            "started_ms": self.now() - MINUTE_MS,
            "rss_bytes": 50 << 20,
            "finished": 10,
            "failed": 1,
            "tasks": ["image"],
            **card,
        }
        lines = "".join(f"\n{address} {started}" for address, started in runs or [])
        self.run.beat(lease_ms, "run", 0 if life == "lost" else MINUTE_MS, [(consumer, json.dumps(shown).encode(), lines)])

    def rested(self) -> None:
        """Let the rest be over that recovery takes when the fleet has just come back."""
        self.client.hdel(self.keys["control"], "hold")


def ended_pid() -> int:
    """The id of a process that has ended."""
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    return ended.pid
