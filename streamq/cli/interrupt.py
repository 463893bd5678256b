"""Ctrl-C in the middle of something of which it has to be told how far it came."""

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


class Interrupt:
    """While it is entered, the first Ctrl-C lets what is under way come to its end, and the second one interrupts as ever.

    Where something is read, the first one interrupts too: a source may keep its reader waiting for ever.
    """

    def __init__(self) -> None:
        #: Set by a Ctrl-C: nothing more is to be begun or waited for.
        self.stop = threading.Event()
        #: There was a Ctrl-C.
        self.asked = False
        self._reading = False
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is signal.default_int_handler:  # else it is ignored, as below nohup, or somebody else's
            signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        signal.signal(signal.SIGINT, self._before)

    def reading(self, source: Iterable[T]) -> Iterator[T]:
        """What a source gives.

        Raises:
            KeyboardInterrupt: there was a Ctrl-C, meanwhile or before.
        """
        items = iter(source)
        while True:
            self._reading = True
            try:
                if self.asked:
                    raise KeyboardInterrupt
                item = next(items)
            except StopIteration:
                return
            finally:
                self._reading = False
            yield item

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        is_first, self.asked = not self.asked, True
        if self._reading or not is_first:
            raise KeyboardInterrupt
        threading.Thread(target=self._stop, daemon=True).start()  # not here: what was interrupted may hold the event's lock

    def _stop(self) -> None:
        self.stop.set()
        if not self._ended.wait(PATIENCE):
            note("waiting for the reply to what is under way; Ctrl-C once more does not")
