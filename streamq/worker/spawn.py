"""One child process as its supervisor has it: started, listened to, told to stop, killed, and settled for afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from streamq import __version__, process
from streamq.keys import new_consumer
from streamq.worker.control import Channel, Failed, Fleet, Go, Pending, Ready, Spent, Start, Stop
from streamq.worker.part import Part
from streamq.worker.table import Row, Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.config import Settings
    from streamq.worker.budget import Budget

#: Slots of a process where neither option nor configuration says: threads of sync handlers, and tasks of async ones.
SYNC_SLOTS: Final = 4
ASYNC_SLOTS: Final = 100


class ChildProcess:
    """A child of this process.

    Args:
        settings: what it runs by.
        worker: the worker's name that people see.
        budget: shared by the worker's children, where there is one.
        quarantine: whether it runs suspects only.
        notify: called from the listening thread whenever the child has said something or is gone.
    """

    def __init__(
        self, settings: Settings, worker: str, budget: Budget | None, notify: Callable[[], None], *, quarantine: bool = False
    ) -> None:
        self.consumer = new_consumer(worker)
        self.quarantine = quarantine
        self.started_ms = int(time.time() * 1000)
        self.born = time.monotonic()
        self.ready: Ready | None = None
        self.failed: Failed | None = None
        self.spent = False
        self.going = False
        self.stopping = False
        #: The runs that it was killed for, because they had run out of time.
        self.overdue: list[Row] = []
        #: Its end has been told.
        self.mourned = False
        self._killed = False
        self._told: frozenset[str] = frozenset()
        self._worker = worker
        self._notify = notify
        concurrency = settings.worker.concurrency
        sync_slots = 1 if quarantine else concurrency or SYNC_SLOTS
        async_slots = 1 if quarantine else concurrency or ASYNC_SLOTS
        self.table = Table.create(sync_slots + async_slots)
        ours, theirs = socket.socketpair()
        budget_fd = -1 if budget is None or quarantine else budget.fd
        arguments = (theirs.fileno(), self.table.fd, budget_fd, self.table.slots, os.getpid())
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            [sys.executable, "-m", "streamq.worker.child", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            pass_fds=[fd for fd in (theirs.fileno(), self.table.fd, budget_fd) if fd >= 0],
        )
        theirs.close()
        self.pid = self._process.pid
        self.identity = process.of(self.pid)
        self._channel = Channel(ours)
        self._channel.send(Start(settings, worker, self.consumer, quarantine, sync_slots, async_slots))
        self._slots = (sync_slots, async_slots)
        self._listener = Part(self._listen, f"listen-{self.pid}")
        self._listener.start()

    @property
    def concurrency(self) -> int:
        """How many tasks it runs at the same time at most."""
        if self.ready is None:
            return 0
        return self.ready.has_sync * self._slots[0] + self.ready.has_async * self._slots[1]

    @property
    def exit_status(self) -> int | None:
        """How it ended: its exit status, or minus the signal that killed it; None: it lives."""
        return self._process.poll()

    @property
    def crashed(self) -> bool:
        """Whether it ended by itself, when nobody had asked it to."""
        return not self._killed and self.failed is None and (self.exit_status != 0 or not self.stopping)

    def go(self) -> None:
        """Lets it take tasks, once its heartbeat stands."""
        self.going = True
        self._channel.send(Go())

    def compare(self, pending: Pending) -> None:
        """Tells it what the server says that it holds, unless it has not read yet what it was told before."""
        if self._channel.is_free:
            self._channel.send(pending)

    def tell(self, tasks: frozenset[str]) -> None:
        """Tells it which tasks live workers know, where that has changed."""
        if tasks != self._told:
            self._told = tasks
            self._channel.send(Fleet(sorted(tasks)))

    def stop(self) -> None:
        """Asks it to finish what it runs and to end."""
        if not self.stopping:
            self.stopping = True
            self._channel.send(Stop())

    def kill(self) -> None:
        """Ends it at once and waits until it is gone: only then may its tasks be settled for it."""
        if self.exit_status is None:
            self._killed = True
            self._process.kill()
            self._process.wait()

    def last_words(self) -> None:
        """Hears what it had still said when it ended."""
        self._channel.finish()
        self._listener.finish()

    def is_stopped(self) -> bool:
        """Whether it was stopped (SIGSTOP): it lives, but nobody may keep its leases."""
        return process.look(self.identity) == "stopped"

    def card(self, host: str, supervisor: process.Process) -> dict[str, object]:
        """What the fleet knows of it."""
        counters = self.table.counters()
        return {
            "name": self._worker,
            "host": host,
            "boot": self.identity.boot,
            "pid": self.pid,
            "pid_start": self.identity.start,
            "pidns": self.identity.pidns,
            "supervisor": supervisor.pid,
            "supervisor_start": supervisor.start,
            "concurrency": self.concurrency,
            "started_ms": self.started_ms,
            "rss_bytes": counters.rss_bytes,
            "finished": counters.finished,
            "failed": counters.failed,
            "tasks": self.ready.tasks if self.ready else [],
            "limits": self.ready.limits if self.ready else {},
            "python": sys.version.split()[0],
            "streamq": __version__,
            "quarantine": self.quarantine,
            "table": str(self.table.path or ""),
        }

    def running(self) -> str:
        """Its runs as the heartbeat tells them: "address started_ms" a line, each behind a newline."""
        return "".join(f"\n{row.address} {row.started_ms}" for row in self.table.rows())

    def close(self) -> None:
        """Gives back what is left of it."""
        self._channel.close()
        self.table.close()

    def _listen(self) -> None:
        while (message := self._channel.receive()) is not None:
            if isinstance(message, Ready):
                self.ready = message
            elif isinstance(message, Failed):
                self.failed = message
            elif isinstance(message, Spent):
                self.spent = True
            self._notify()
        self._process.wait()
        self._notify()
