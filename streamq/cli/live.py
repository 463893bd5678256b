"""Views that go on until somebody leaves: drawn over and over on a terminal, printed in blocks elsewhere.

A terminal is taken over as a whole screen and given back however the view ends; `q`, Escape or Ctrl-C leave, any other key reads
anew, a new size is drawn at once. A server that goes away ends no view: what is known of that is shown until it is back. One that
was never there is an error, as in every other command. Called by `monitor` and `pending --watch`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from streamq.cli import TERMINATED
from streamq.cli.render import note
from streamq.errors import ServerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

    from rich.console import Console, RenderableType

    from streamq.cli.render import Output

T = TypeVar("T")

_LEAVE: Final = {b"q", b"Q", b"\x1b", b"\x04"}
_RESIZED: Final = b"\x00"


def can_take_over(out: Output) -> bool:
    """Whether stdout is a terminal whose screen can be taken over, and a person looks at it."""
    return out.rich and not out.console.is_dumb_terminal


def on_terminal(
    console: Console, read: Callable[[], T], draw: Callable[[T, str | None], RenderableType], interval: float
) -> None:
    """Draw what is read, until somebody leaves.

    Args:
        console: the terminal.
        read: reads what is to be drawn.
        draw: makes a picture of what was read last, and of what is wrong with the server since (None: nothing).
        interval: seconds between two readings.

    Raises:
        ServerError: the server is not there at the first reading; the terminal has not been taken over yet.
    """
    from rich.live import Live

    value = read()
    wrong: str | None = None
    with (
        contextlib.suppress(KeyboardInterrupt),
        Terminal() as terminal,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            live.update(draw(value, wrong), refresh=True)
            end = time.monotonic() + interval
            while (key := terminal.key(end - time.monotonic())) == _RESIZED:
                live.refresh()
            if key in _LEAVE:
                return
            try:
                value, wrong = read(), None
            except ServerUnreachable as error:
                wrong = error.what


def in_blocks(read: Callable[[], T], block: Callable[[T], Any], interval: float) -> None:
    """Print what is read, until it is interrupted.

    Args:
        read: reads what is to be printed.
        block: prints it.
        interval: seconds between two readings.

    Raises:
        ServerError: the server is not there at the first reading.
    """
    wrong = None
    with contextlib.suppress(KeyboardInterrupt):
        block(read())
        while True:
            sys.stdout.flush()
            time.sleep(interval)
            try:
                block(read())
                wrong = None
            except ServerUnreachable as error:
                if error.what != wrong:
                    note(error.what)
                wrong = error.what


class Terminal:
    """The keyboard of a terminal, key by key and without echo, for as long as it is entered; and word of a new size."""

    def __init__(self) -> None:
        self._keyboard = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._wake, self._waker = os.pipe()
        self._before: list[Any] | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def key(self, seconds: float) -> bytes | None:
        """The next key within so many seconds; `_RESIZED` where the terminal has another size; None: neither."""
        watched = [self._wake] if self._keyboard is None else [self._wake, self._keyboard]
        ready, _, _ = select.select(watched, [], [], max(0.0, seconds))
        if self._wake in ready:
            os.read(self._wake, 1024)
            return _RESIZED
        if ready:
            return os.read(ready[0], 16) or b"\x04"  # the terminal is gone
        return None

    def __enter__(self) -> Self:
        for number, handler in ((signal.SIGWINCH, self._resized), (signal.SIGTERM, _terminated)):
            self._handlers[number] = signal.signal(number, handler)
        if self._keyboard is not None:
            self._before = termios.tcgetattr(self._keyboard)
            tty.setcbreak(self._keyboard)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._keyboard is not None and self._before is not None:
            termios.tcsetattr(self._keyboard, termios.TCSADRAIN, self._before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._wake)
        os.close(self._waker)

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        os.write(self._waker, b"r")


def _terminated(_number: int, _frame: FrameType | None) -> None:
    """End by way of every `finally`, so that the terminal is given back."""
    raise SystemExit(TERMINATED)
