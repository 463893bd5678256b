"""The worker of a run: a supervisor with its processes, as `consume` has it, in a session of its own.

It gets its orders over its stdin, so that no password stands in a command line, and is there from the beginning of the run to
its end: until it is told to stop, or whoever started it is gone, however that came. Then it removes the keys of the queue itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import msgspec

from streamq.bench import ground
from streamq.config import Settings
from streamq.errors import StreamqError
from streamq.keys import Keys
from streamq.log import set_up
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.worker.supervisor import Options, Supervisor

#: Name of the worker.
NAME: Final = "bench"
#: How long it may take to stop, in seconds, before it is killed.
_STOP: Final = 10.0
#: Lines of what it said that are kept.
_LINES: Final = 20


class Order(msgspec.Struct, frozen=True):
    """What the worker is told first."""

    settings: Settings
    processes: int
    folder: Path


class Crew:
    """The worker, as the run has it.

    Args:
        order: what it is told.
    """

    def __init__(self, order: Order) -> None:
        self._said: list[str] = []
        self._is_there = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streamq.bench.crew"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the run, which tells the worker itself
        )
        self._listener = threading.Thread(target=self._listen, name="crew", daemon=True)
        self._listener.start()
        self._tell(msgspec.json.encode(order, enc_hook=str) + b"\n")  # only paths are no JSON

    def ready(self) -> None:
        """Wait until it is there and has nothing more to load.

        Raises:
            StreamqError: it has ended.
        """
        self._is_there.wait()
        self.check()

    def work(self) -> None:
        """Let it take tasks from now on."""
        self._tell(b"work\n")

    def check(self) -> None:
        """Make sure that it is there.

        Raises:
            StreamqError: it has ended.
        """
        status = self._process.poll()
        if status is None:
            return
        self._listener.join(_STOP)
        said = next((line for line in reversed(self._said) if line), "")
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        raise StreamqError(f"the worker that was measured {how}" + (f": {said}" if said else ""))

    def stop(self) -> None:
        """End it, and wait until none of its processes is left: all of them hold the pipe that is read to its end here."""
        self._tell(None)
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(_STOP)

    def _tell(self, text: bytes | None) -> None:
        """Write to it, or end what is written; it may be gone."""
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101 - it was asked for
        with contextlib.suppress(BrokenPipeError):
            if text is None:
                pipe.close()
            else:
                pipe.write(text)
                pipe.flush()

    def _listen(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None  # noqa: S101 - it was asked for
        with pipe:
            for line in pipe:
                self._is_there.set()
                self._said.append(line.decode(errors="replace").rstrip())
                del self._said[:-_LINES]
        self._is_there.set()


def main() -> int:
    """Work: `python -m streamq.bench.crew`, orders on stdin."""
    orders = sys.stdin.buffer
    line = orders.readline()
    if not line:
        return 0
    order = msgspec.json.decode(line, type=Order, dec_hook=lambda kind, value: kind(value))
    set_up(order.settings.log)
    endpoint = Endpoint.of(order.settings, start="revive")
    sys.stdout.write("there\n")
    sys.stdout.flush()
    try:
        if orders.readline():
            threading.Thread(target=_stop_at_end, args=(orders.fileno(),), daemon=True).start()
            Supervisor(order.settings, endpoint, Options(NAME, order.processes)).run()
        ground.clear(Link(endpoint), Keys(order.settings.queue.name))
    except StreamqError as error:
        sys.stderr.write(f"{error.what}\n")
        return error.exit_status
    finally:
        ground.remove_folder(order.folder)
    return 0


def _stop_at_end(orders: int) -> None:
    """Ask the supervisor to stop when nobody can give orders any more."""
    while os.read(orders, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
