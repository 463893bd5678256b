"""What is said once instead of many times: an error in spite of which a thread goes on, and what befell many tasks together."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamq.errors import StreamqError

_log = logging.getLogger("streamq.worker")

#: Shortest pause between two lines, in seconds.
EVERY: Final = 5.0
#: Tasks of a group that are named.
NAMED: Final = 5


class Complaint:
    """Errors of one duty.

    Args:
        what: what cannot be done because of them.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._told = 0.0

    def tell(self, error: StreamqError) -> None:
        """Logs an error, unless one was logged just now."""
        now = time.monotonic()
        if now - self._told >= EVERY:
            self._told = now
            _log.warning("%s: %s", self._what, error)


def tell_of(tasks: Sequence[str], one: str, many: str) -> None:
    """Logs what befell some tasks, in one line however many they are; nothing where there is none.

    Args:
        tasks: what they are called in the log.
        one: what befell it, where it is a single task.
        many: what befell them.
    """
    if len(tasks) == 1:
        _log.warning("%s: %s", tasks[0], one)
    elif tasks:
        rest = f" and {len(tasks) - NAMED} more" if len(tasks) > NAMED else ""
        _log.warning("%d tasks: %s: %s%s", len(tasks), many, ", ".join(tasks[:NAMED]), rest)
