"""What the parts of one child have in common, made once and handed to each: who it is, its settings, clock and runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.config import Settings
    from streamq.errors import StreamqError
    from streamq.worker.prefetch import Prefetch
    from streamq.worker.run import Held, ServerClock, Taking
    from streamq.worker.table import Table


class Shared(NamedTuple):
    """The common ground of a child's parts."""

    #: The name that tasks are handed out to, and the one that people see.
    consumer: str
    worker: str
    settings: Settings
    #: The server's clock: set by whoever takes, read by all.
    clock: ServerClock
    #: The runs that this process has: whoever takes puts them in, the settler takes them off.
    held: Held
    #: Set by whoever takes, looked at where the server's view is compared with ours.
    taking: Taking
    #: Each slot writes its own row, the settler the figures.
    table: Table
    #: The settler tells it the run times, the fetcher asks it.
    prefetch: Prefetch
    #: Set by the slots whenever one has become free, and by the settler when nothing is held any more.
    room: threading.Event
    #: Called with the error when this process cannot go on.
    on_fatal: Callable[[StreamqError], None]
    #: Called when there is nothing more to take, ever.
    on_spent: Callable[[], None]
