"""What a thread that goes on in spite of an error says of it: once in a while, not at each of its rounds."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamq.errors import StreamqError

_log = logging.getLogger("streamq.worker")

#: Shortest pause between two lines, in seconds.
EVERY: Final = 5.0


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
