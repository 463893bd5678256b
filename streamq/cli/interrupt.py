"""Ctrl-C or SIGTERM in the middle of something of which it has to be told how far it came."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from streamq.cli.render import note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType
    from typing import Self

T = TypeVar("T")

#: When somebody who waits for the end is told what for, in seconds.
PATIENCE: Final = 1.0


#: What ends the wait, by the signal that was the first.
_ONCE_MORE: Final = {signal.SIGINT: "Ctrl-C once more", signal.SIGTERM: "SIGTERM once more"}


class Terminated(KeyboardInterrupt):
    """SIGTERM, where it is told like a Ctrl-C."""


class Interrupt:
    """While it is entered, the first Ctrl-C or SIGTERM lets what is under way come to its end, and the second one interrupts.

    Where something is read, the first one interrupts too: a source may keep its reader waiting for ever.
    """

    def __init__(self) -> None:
        #: Set by a signal: nothing more is to be begun or waited for.
        self.stop = threading.Event()
        #: The first signal; None: there was none.
        self.asked: signal.Signals | None = None
        self._reading = False
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        # A signal that is left out is ignored, as below nohup, or somebody else's.
        self._before = {number: handler for number, handler in usual.items() if signal.getsignal(number) == handler}
        for number in self._before:
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def reading(self, source: Iterable[T]) -> Iterator[T]:
        """What a source gives.

        Raises:
            KeyboardInterrupt: there was a signal, meanwhile or before.
        """
        items = iter(source)
        while True:
            self._reading = True
            try:
                self.check()
                item = next(items)
            except StopIteration:
                return
            finally:
                self._reading = False
            yield item

    def check(self) -> None:
        """Do nothing unless there was a signal.

        Raises:
            KeyboardInterrupt: there was; `Terminated` where the first was SIGTERM.
        """
        if self.asked:
            raise Terminated if self.asked == signal.SIGTERM else KeyboardInterrupt

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        is_first = self.asked is None
        self.asked = self.asked or signal.Signals(number)
        if self._reading or not is_first:
            self.check()
        threading.Thread(target=self._stop, daemon=True).start()  # not here: what was interrupted may hold the event's lock

    def _stop(self) -> None:
        self.stop.set()
        if self.asked and not self._ended.wait(PATIENCE):
            note(f"waiting for the reply to what is under way; {_ONCE_MORE[self.asked]} does not")
