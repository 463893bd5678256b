"""Messages on stderr: readable lines for people, plain ones in a pipe, JSON objects for machines.

Library use sets up nothing: everything logs under `streamq`, and what becomes of it is the application's to say. The commands
and the worker's processes call `set_up`. No rich here: each child of a worker would pay for it with 10 MB.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Final

import msgspec

from streamq.config.url import scrub

if TYPE_CHECKING:
    from streamq.config.schema import Log

_COLOURS: Final = {logging.DEBUG: "2", logging.INFO: "32", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31"}


def set_up(log: Log) -> None:
    """Sends what streamq and its tasks log to stderr, as the configuration says."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log.format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("streamq").setLevel(log.level.upper())


def _formatter(form: str) -> logging.Formatter:
    if form == "json":
        return JsonFormatter()
    on_terminal = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    return LineFormatter(colours=form == "rich" or (form == "auto" and on_terminal))


class LineFormatter(logging.Formatter):
    """Time, level and message in one line, with colours for a terminal."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record; a traceback follows in lines of its own."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = record.levelname.lower()
        if self._colours:
            clock, level = f"\x1b[2m{clock}\x1b[0m", f"\x1b[{_COLOURS.get(record.levelno, '0')}m{level}\x1b[0m"
        text = f"{clock} {level} {_printable(scrub(record.getMessage()))}"
        return text + ("\n" + scrub(self.formatException(record.exc_info)) if record.exc_info else "")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `ts_ms`, `level`, `logger`, `message`, `process`, and `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        fields = {
            "ts_ms": int(record.created * 1000),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": scrub(record.getMessage()),
            "process": record.process,
        }
        if record.exc_info:
            fields["exception"] = scrub(self.formatException(record.exc_info))
        return msgspec.json.encode(fields).decode()


def _printable(text: str) -> str:
    """A message in one line: what tasks bring along must not move a terminal's cursor."""
    return "".join(c if c.isprintable() or c == "\t" else f"\\x{ord(c):02x}" for c in text)
