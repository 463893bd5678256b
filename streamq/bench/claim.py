"""Which queues the runs on a server have made, and which of them nobody uses any more.

A run notes its queue in a set, and holds a key that expires unless it is renewed. Renewing never makes that key anew, so whoever
lets it expire has lost the queue for good: a run that finds the key of another one gone may remove that queue. Its owner is dead,
or learns at the next renewal that it has lost it. Times are the server's alone, so clocks that differ do no harm, and a queue of
a user's own is never swept, whatever its name is: it stands in no such set.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from streamq.bench import ground
from streamq.errors import StreamqError
from streamq.keys import BENCHES, Keys, is_name
from streamq.server.connect import Link

if TYPE_CHECKING:
    from streamq.server.endpoint import Endpoint

#: How long a queue stays its run's without being renewed, and how often it is renewed, in seconds.
LASTS: Final = 120
RENEWED: Final = 20.0
#: How long a renewal that is under way is waited for at the end, in seconds.
_STOP: Final = 10.0


class Claim:
    """A run's claim to its queue, renewed by a thread of its own until it is released.

    Args:
        endpoint: the server.
        keys: of the queue.
        renewed: how often it is renewed, in seconds.
    """

    def __init__(self, endpoint: Endpoint, keys: Keys, renewed: float = RENEWED) -> None:
        self._link = Link(endpoint, name="streamq-bench")
        self._keys = keys
        self._renewed = renewed
        self._wrong: StreamqError | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="claim", daemon=True)

    def take(self) -> None:
        """Claim the queue, before anything is written to it.

        Raises:
            ServerError: the server is away, or does not allow it.
        """
        self._link.call("SET", self._keys[ground.CLAIM], 1, "EX", LASTS)
        self._link.call("SADD", BENCHES, self._keys.queue)
        self._thread.start()

    def check(self) -> None:
        """Make sure that the queue is still the run's.

        Raises:
            StreamqError: it is not, or the server did not say so.
        """
        if self._wrong is not None:
            raise self._wrong

    def release(self) -> None:
        """Renew it no more; what stands on the server is removed with the queue."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(_STOP)
        self._link.close()

    def _renew(self) -> None:
        try:
            while not self._is_over.wait(self._renewed):
                if not self._link.call("EXPIRE", self._keys[ground.CLAIM], LASTS):
                    raise StreamqError(
                        f"the run stood still for {LASTS} s or more: others may have removed its queue {self._keys.queue}",
                        hint="measure again",
                    )
        except StreamqError as error:
            self._wrong = error


def sweep(link: Link) -> list[str]:
    """Remove the queues of runs that are gone.

    Returns:
        Their names.

    Raises:
        ServerError: the server is away, or does not allow it.
    """
    noted = link.call("SMEMBERS", BENCHES)
    assert isinstance(noted, list)  # noqa: S101 - that is what SMEMBERS returns
    names = sorted(name.decode() for name in noted)
    left = [name for name in names if is_name(name) and not link.call("EXISTS", Keys(name)[ground.CLAIM])]
    for name in left:
        ground.clear(link, Keys(name))
    return left
