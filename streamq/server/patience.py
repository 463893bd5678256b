"""Waiting for a server that is away: a restart, a revival of the embedded server, a network that comes back.

`waiting` repeats a call that is safe to repeat (a read, or a send that the server recognises), within a bound that the caller
names: `server.wait` for senders and commands, `worker.patience` for workers. What waiting cannot mend is raised at once.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from streamq import process
from streamq.errors import ServerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.errors import ServerError

_T = TypeVar("_T")

_log = logging.getLogger("streamq.server")

#: The first pause is 20 to 40 ms; later ones double up to a second. The jitter keeps a fleet from coming back all at once.
_CAP, _BASE, _DOUBLED_MOST = 1.0, 0.02, 10
_NOTE_AFTER = 1.0
_NOTE_EVERY = 5.0


def waiting(
    call: Callable[[], _T],
    seconds: float,
    *,
    stop: threading.Event | None = None,
    on_wait: Callable[[ServerError, float], None] | None = None,
    also: tuple[type[ServerError], ...] = (),
) -> _T:
    """Call until it does not raise `ServerUnreachable`.

    Args:
        call: what to call; it must be safe to repeat.
        seconds: for how long, from the first failure on; the call may then take as long as it takes.
        stop: ends the waiting when it is set.
        on_wait: told of each failure and of the seconds since the first, before each pause.
        also: other errors of the server that may pass by themselves, such as `CannotPersist`.

    Returns:
        What the call returned.

    Raises:
        ServerUnreachable: (or one of `also`) the last error, when the time was over or `stop` was set.
        StreamqError: whatever else the call raised, at once.
    """
    stop = stop or threading.Event()
    passing: tuple[type[ServerError], ...] = (ServerUnreachable, *also)
    began = noted = 0.0
    failures = 0
    while True:
        try:
            result = call()
        except passing as error:
            now = time.monotonic()
            began = began or now
            away = now - began
            if away >= seconds or stop.is_set():
                raise
            if away >= _NOTE_AFTER and now - noted >= _NOTE_EVERY:
                noted = now
                _log.warning("server away for %.0f s (%s); waiting up to %.0f s", away, error, seconds)
            if on_wait:
                on_wait(error, away)
            failures += 1
            stop.wait(min(_pause(failures), seconds - away))
        else:
            if noted:
                _log.warning("server back after %.1f s", time.monotonic() - began)
            return result


def _pause(failures: int) -> float:
    with process.unforked:
        import random  # only where somebody has to wait

    half = min(_CAP, _BASE * 2.0 ** min(failures, _DOUBLED_MOST)) / 2
    return half + random.uniform(0, half)  # noqa: S311 - keeps a fleet from coming back all at once
