"""A terminal that a test looks at while a program draws on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import threading
from types import TracebackType
from typing import Self

from tests.cli.conftest import Program
from tests.conftest import wait_until

_HOME = b"\x1b[H"
_ENTER, _LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """A command on a terminal of its own.

    Args:
        program: starts it.
        arguments: of the command.
        size: columns and lines.
    """

    def __init__(self, program: Program, *arguments: str, size: tuple[int, int] = (100, 30)) -> None:
        self._ours, theirs = pty.openpty()
        self._size(*size)
        self._modes = termios.tcgetattr(self._ours)
        program.environment["TERM"] = "xterm-256color"
        self.process = program.start(
            *arguments, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=_take_terminal
        )
        os.close(theirs)
        self._shown = b""
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        self._modes_after = termios.tcgetattr(self._ours)
        os.close(self._ours)

    @property
    def now(self) -> str:
        """The picture that was drawn last, as text."""
        return _SEQUENCE.sub("", self._shown.rpartition(_HOME)[2].decode(errors="replace"))

    @property
    def was_given_back(self) -> bool:
        """Whether the terminal that was taken over has been given back: its screen and the modes of its keyboard."""
        return self._shown.count(_ENTER) == self._shown.count(_LEAVE) == 1 and self._modes_after == self._modes

    def shows(self, text: str) -> None:
        """Wait until a picture holds a text."""
        wait_until(lambda: text in self.now, f"the screen shows {text!r}; now:\n{self.now}")

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._ours, key)

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size; the kernel tells the program."""
        self._size(columns, lines)

    def ended(self) -> int:
        """Wait until the command has ended; return its exit status."""
        return self.process.wait(30)

    def _size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self) -> None:
        while True:
            try:
                self._shown += os.read(self._ours, 65536)
            except OSError:  # the other end is closed: the process has ended
                return


def _take_terminal() -> None:
    """Make the new session's terminal of its stdin: Ctrl-C and a new size then reach it as they reach a program of a shell."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
