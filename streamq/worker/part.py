"""A thread of the worker's own. None may be missing: a process that has lost one holds tasks that nobody runs or settles.

So a bug that ends such a thread ends its process, as a crash does: a child is settled for and replaced by its supervisor, and
what a supervisor's children held is recovered by other workers. Threads that handlers start are none of these.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("streamq.worker")


class Part(threading.Thread):
    """A thread that takes its process with it when it fails.

    Args:
        work: what it does.
        name: its duty.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work

    def run(self) -> None:
        """Does its work."""
        try:
            self._work()
        except BaseException:  # noqa: BLE001 - whatever it is, the process cannot go on
            _log.critical("bug: the thread %s of process %d has failed; the process ends", self.name, os.getpid(), exc_info=True)
            end_process(1)

    def finish(self) -> None:
        """Waits until it has ended; one that was never started has."""
        if self.ident is not None:
            self.join()


def end_process(status: int) -> NoReturn:
    """Ends this process now: threads that handlers have left behind cannot hold it up, and what they printed is not lost."""
    try:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(status)
