"""Looks out for a reply that is about to come, for a moment, instead of sleeping until it is there.

A thread that sleeps is woken by the kernel, and on a virtual machine by its host: that can take as long as everything else of a
single send together. To look again and again takes processor time instead, so it has bounds. It lasts a moment (`LOOKS`). Where
it was in vain, since the server is far away or busy, one wait goes by without it, then two, four, … and in the end `REST_MOST`.
And with other threads in the process nobody looks: whoever looks keeps the interpreter from them, so that four that send at the
same time would do less than half of what they do asleep.
"""

from __future__ import annotations

import select
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

#: How often one looks before one sleeps: 0.15 ms or so, some times what a server on the same machine takes to add a task.
LOOKS = 200
#: How many waits go by, at most, until one looks again.
REST_MOST = 64


class Lookout:
    """Whoever waits at one socket.

    Args:
        link: the socket.
    """

    def __init__(self, link: socket.socket) -> None:
        poll = select.poll()
        poll.register(link, select.POLLIN)
        self._poll = poll.poll
        #: How many waits go by without a look, and how many will after the next look that is in vain.
        self._rests = 0
        self._rests_next = 1

    def anything(self) -> bool:
        """Whether there is anything to read now, if only the end."""
        return bool(self._poll(0))

    def wait(self) -> bool:
        """Return True when there is something to read, False when it is time to sleep."""
        if self._rests:
            self._rests -= 1
            return False
        if threading.active_count() > 1:
            return False
        poll = self._poll
        for _ in range(LOOKS):
            if poll(0):
                self._rests_next = 1
                return True
        self._rests = self._rests_next
        self._rests_next = min(2 * self._rests_next, REST_MOST)
        return False
