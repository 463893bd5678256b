"""What takes tasks for a child, whichever they are: a thread that ends when it is told to, or when it cannot go on.

`fetch.py` takes whatever there is, `quarantine.py` suspects only.
"""

from __future__ import annotations

import abc
import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from streamq.errors import StreamqError
from streamq.server.patience import waiting
from streamq.server.reply import FULL
from streamq.worker.part import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streamq.transitions import Transitions
    from streamq.worker.judge import Judge
    from streamq.worker.settle import Settler
    from streamq.worker.shared import Shared
    from streamq.worker.slots import Slots

T = TypeVar("T")


class Source(abc.ABC):
    """A thread that takes tasks.

    Args:
        transitions: on a connection of its own, which may block.
        shared: of the process.
        judge: whether a task starts here.
        settler: ends those that do not.
        slots: for sync (False) and for async (True) handlers, as far as there are any.
    """

    def __init__(
        self, transitions: Transitions, shared: Shared, judge: Judge, settler: Settler, slots: dict[bool, Slots]
    ) -> None:
        self._transitions = transitions
        self._consumer = shared.consumer
        self._patience = shared.settings.worker.patience
        self._clock = shared.clock
        self._held = shared.held
        self._under_way = shared.taking
        self._room = shared.room
        self._on_fatal = shared.on_fatal
        self._on_spent = shared.on_spent
        self._judge = judge
        self._settler = settler
        self._slots = slots
        self._stop = threading.Event()
        self._thread = Part(self._work, type(self).__name__.lower())

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Takes nothing more."""
        self._stop.set()
        self._thread.finish()

    @abc.abstractmethod
    def _run(self) -> None:
        """Takes tasks until it is told to stop, or there is nothing more to take, ever."""

    def _work(self) -> None:
        try:
            self._run()
        except StreamqError as error:
            if not self._stop.is_set():
                self._on_fatal(error)

    @contextlib.contextmanager
    def _taking(self) -> Iterator[None]:
        """While tasks may be on their way that are not among the held ones yet."""
        self._under_way.since = time.monotonic()
        try:
            yield
        finally:
            self._under_way.since = math.inf

    def _patiently(self, call: Callable[[], T]) -> T:
        """Calls until the server is there, unless it is told to stop."""
        return waiting(call, self._patience, stop=self._stop, also=FULL)
