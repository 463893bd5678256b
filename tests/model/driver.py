"""Drives the transitions of one queue at random, as workers, producers and people would, and kills consumers and the server.

One process plays everybody, so that the model knows after each step what must be. The steps are in `producers.py`,
`workers.py`, `faults.py` and `people.py`; here is what they stand on: connections, consumers, and the calls whose reply is lost
because the server is killed.
"""

from __future__ import annotations

import random
import secrets
import socket
from typing import Any

from streamq.keys import STREAMS, Keys
from streamq.server.resp import pack
from streamq.transitions import Transitions
from tests.lua.servers import Server
from tests.lua.state import Pending, pending
from tests.model.invariants import check
from tests.model.model import Model, Task

#: Leases run out, and heartbeats expire, between a few steps.
LEASE_MS = 30
HEARTBEAT_MS = 40
HISTORY = 60
WORKERS = 4


class Driver:
    """One queue under random use.

    Args:
        server: with an append-only file that is synced at each write.
        queue: name of the queue.
        rng: where all chance comes from.
    """

    def __init__(self, server: Server, queue: str, rng: random.Random) -> None:
        self.server = server
        self.keys = Keys(queue)
        self.rng = rng
        self.link = server.link()
        self.run = Transitions(self.link, self.keys, history=HISTORY)
        self.model = Model()
        self.log: list[str] = []
        self.starts = 1
        self.workers = [self.new_name("w") for _ in range(WORKERS)]
        self.quarantine = self.new_name("q")
        #: Ended without a word: their heartbeats will expire.
        self.ghosts: list[str] = []
        self.paused = False
        self.lanes: dict[str, int] = {}
        self.run.open()

    def close(self) -> None:
        """Close the connection."""
        self.link.close()

    def new_name(self, letter: str) -> str:
        """A consumer that never was."""
        return f"{letter}-{self.rng.getrandbits(32):08x}"

    # The server

    def restart(self) -> None:
        """Kill the server and start it again: it has kept all that it answered."""
        self.server.kill()
        self.server.start()
        self.link.close()
        self.starts += 1

    def call_and_kill(self, command: list[Any]) -> None:
        """Send a command and kill the server without waiting for the reply: it may have been executed, or not."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.server.url.removeprefix("unix://"))
            connection.sendall(pack([command]))
            if self.rng.random() < 0.5:
                connection.recv(1)
            self.restart()

    # Looking at it

    def pending(self) -> dict[str, Pending]:
        """Address and row of all that is pending."""
        return {letter + row.entry: row for letter, name in STREAMS.items() for row in pending(self.link, self.keys[name])}

    def parked(self) -> set[str]:
        """The addresses of all that is parked."""
        names = [f"{kind}:{priority}" for kind in ("scheduled", "retry", "again") for priority in ("high", "default", "low")]
        names += [f"suspects:{stream}" for stream in STREAMS.values()]
        replies: list[list[bytes]] = self.link.batch([["ZRANGE", self.keys[name], 0, -1] for name in names])
        return {member.decode() for members in replies for member in members}

    def clock(self) -> int:
        """The server's clock in milliseconds."""
        reply: Any = self.link.call("TIME")
        return int(reply[0]) * 1000 + int(reply[1]) // 1000

    def check(self) -> None:
        """All that must hold."""
        check(self.link, self.keys, self.model, HISTORY)

    # Consumers

    def beat(self) -> None:
        """All living consumers beat; the last one for long, so that the silence between steps is none."""
        card = b"{}"
        run_id = f"run {self.starts}"
        self.run.beat(LEASE_MS, run_id, HEARTBEAT_MS, [(name, card, "") for name in [*self.workers, self.quarantine]])
        self.run.beat(LEASE_MS, run_id, 60_000, [("anchor-0", card, "")])

    def end(self, consumer: str) -> None:
        """A consumer's process is gone; another one takes its place."""
        if consumer == self.quarantine:
            self.quarantine = self.new_name("q")
        else:
            self.workers[self.workers.index(consumer)] = self.new_name("w")

    def find_lost(self, before: dict[str, Pending], *, crashed: bool = True) -> list[Task]:
        """Tell the model of all that is no longer pending, and was before."""
        after = self.pending()
        lost = [self.model.at[address] for address in before if address not in after]
        counted = [task for task in lost if not task.stray]
        for task in lost:
            self.model.lose(task, crashed=crashed)
        return counted

    # Sending

    def lane(self) -> tuple[str, int]:
        """A producer and the number of its next send."""
        if not self.lanes or self.rng.random() < 0.1:
            self.lanes[secrets.token_hex(4)] = self.rng.randrange(100)
        lane = self.rng.choice(list(self.lanes))
        self.lanes[lane] += 1
        return lane, self.lanes[lane]
