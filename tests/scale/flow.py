"""Tasks that flow through a queue, a share of which stays behind, parked; and what the server's memory looks like meanwhile."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from streamq.keys import Keys
from streamq.prepared import PLAIN, prepare
from streamq.producer import Producer
from streamq.room import Full
from streamq.server.endpoint import Endpoint
from streamq.transitions import SETTLE_MOST, Park
from tests.lua.servers import Server

#: Arguments as an image task has them.
ARGS = b'{"source":"photos/2026/11/IMG_0001.jpg","operation":"resize","width":1200}'
DAY = 86_400_000
ATTEMPT = b'{"delivery":1,"worker":"w","started_ms":1764000000000,"ended_ms":1764000000001,"error":"OSError: out of reach"}'
#: Tasks that wait at a time.
_BACKLOG = 20 * SETTLE_MOST


class Moment(NamedTuple):
    """What a queue keeps its server from giving back."""

    #: Tasks that have been through.
    done: int
    parked: int
    #: All that the server uses, and the stream of the queue and all that belongs to parked tasks elsewhere; bytes.
    used: int
    stream: int
    beside: int
    #: Nodes of the stream, up to a hundred entries each.
    nodes: int


class Flow:
    """A queue with tasks going through it, in batches.

    Args:
        server: where it is.
        queue: its name.
        one_in: one in so many tasks fails and is parked for a day; 0: none.
        most: so many are parked at most: the oldest is cancelled.
    """

    def __init__(self, server: Server, queue: str, one_in: int, most: int | None = None) -> None:
        self._producer = Producer(Endpoint(server.url), Keys(queue))
        self.run = self._producer.transitions
        self._task = prepare("image", ARGS, PLAIN)
        self._one_in = one_in
        self._most = most
        self._parked: deque[str] = deque()
        self._client = server.client()
        self.done = 0
        self.run.open()

    def go(self, many: int) -> None:
        """Let so many more tasks go through: a multiple of what one settle takes."""
        while many:
            some = min(many, _BACKLOG)
            for _ in self._producer.send([self._task] * some, Full(0)):
                pass
            for _ in range(some // SETTLE_MOST):
                self._batch()
            many -= some

    def _batch(self) -> None:
        tasks = self.run.take("w-a", SETTLE_MOST, 0, "d").tasks
        failed = [each for i, each in enumerate(tasks, self.done) if self._one_in and i % self._one_in == 0]
        self.done += len(tasks)
        if failed:
            self.run.park("w-a", [Park(each.address, each.count, DAY, "retry", ATTEMPT) for each in failed])
            self._parked.extend(each.address for each in failed)
            gone = {each.address for each in failed}
            tasks = [each for each in tasks if each.address not in gone]
        lines = "\n".join([f"{each.address}\tfinished\t1\t2\t1\timage" for each in tasks])
        fences = [(each.address, each.count) for each in tasks]
        assert not self.run.settle("w-a", "w", 60_000, lines, f"w1 {len(tasks)}", fences)
        while self._most is not None and len(self._parked) > self._most:
            self.run.cancel(self._parked.popleft(), "ana")

    def moment(self) -> Moment:
        """What the memory looks like now."""
        client, keys = self._client, self.run.keys
        stream = client.xinfo_stream(keys["default"])
        beside = sum(client.memory_usage(keys[name], samples=0) or 0 for name in ("retry:default", "attempts"))
        used = client.info("memory")["used_memory"]
        own = client.memory_usage(keys["default"], samples=0)
        return Moment(self.done, stream["length"], used, own or 0, beside, stream["radix-tree-keys"])

    def close(self) -> None:
        """Close its connections."""
        self._producer.link.close()
        self._client.close()
