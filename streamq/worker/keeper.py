"""The keeper: heartbeats and leases of all children, in a thread and on a connection of the supervisor's.

A child's lease is renewed for as long as its process lives, whatever its handlers do to its interpreter; a stopped or dead
process is not spoken for. A child may take only after its first heartbeat. With each renewal it is told what the server says
it holds.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

import msgspec

from streamq import process
from streamq.errors import StreamqError
from streamq.worker.complaint import Complaint
from streamq.worker.control import Pending
from streamq.worker.part import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamq.transitions import Transitions
    from streamq.worker.spawn import ChildProcess

_log = logging.getLogger("streamq.worker")

#: Longest pause between two heartbeats, in seconds.
BEAT_MOST: Final = 1.0


class Keeper:
    """Keeps the leases of a supervisor's children.

    Args:
        transitions: on a connection of its own.
        lease: in seconds; a heartbeat lasts half of it, and is given six times in it.
        children: those that live now.
    """

    def __init__(self, transitions: Transitions, lease: float, children: Callable[[], Sequence[ChildProcess]]) -> None:
        self._transitions = transitions
        self._lease_ms = int(lease * 1000)
        self._beat_every = min(lease / 6, BEAT_MOST)
        self._renew_every = lease / 3
        self._children = children
        self._host = socket.gethostname()
        self._supervisor = process.current()
        #: Held while children are spoken for: who settles for a child that is gone holds it, so that no heartbeat brings it back.
        self.lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._renewed = time.monotonic()
        self._complaint = Complaint("leases cannot be renewed")
        self._thread = Part(self._work, "keeper")

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; whose children still live loses their leases by and by."""
        self._stopped = True
        self._wake.set()
        self._thread.finish()

    def wake(self) -> None:
        """Beats now: a child has become ready."""
        self._wake.set()

    def _work(self) -> None:
        while not self._stopped:
            self._wake.clear()
            try:
                with self.lock:
                    self._beat()
                    if time.monotonic() - self._renewed >= self._renew_every:
                        self._renewed = time.monotonic()
                        self._renew()
            except StreamqError as error:
                self._complaint.tell(error)
                self._wake.wait(self._beat_every / 4)  # what was lost is said again before it is missed
            else:
                self._wake.wait(self._beat_every)

    def _living(self) -> list[ChildProcess]:
        return [child for child in self._children() if child.ready and child.exit_status is None and not child.is_stopped()]

    def _beat(self) -> None:
        children = self._living()
        if not children:
            return
        cards = [
            (child.consumer, msgspec.json.encode(child.card(self._host, self._supervisor)), child.running()) for child in children
        ]
        run_id, asked = self._run_id(), time.monotonic()
        self._transitions.beat(self._lease_ms, run_id, self._lease_ms // 2, cards)
        answered = time.monotonic()
        for child in children:
            child.table.heard(asked, answered, self._lease_ms / 2000)
            if not child.going:
                child.go()

    def _renew(self) -> None:
        for child in self._living():
            asked = time.monotonic()
            held = self._transitions.renew(child.consumer)
            child.compare(Pending(asked, [(row.address, row.count, row.idle_ms) for row in held]))

    def _run_id(self) -> str:
        """What changes with each start of the server."""
        info: bytes = self._transitions.link.call("INFO", "server")
        return info.partition(b"run_id:")[2].partition(b"\r\n")[0].decode()
