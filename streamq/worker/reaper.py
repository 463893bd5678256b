"""The reaper: recovers what dead workers held, in a thread and on a connection of the supervisor's, idle queue or not.

A worker process of this machine that is gone is known by its process id and start time, and reaped at once. Others are reaped
by time: when their heartbeat has expired, or a lease has run out; one sweep a period for the whole fleet.
"""

from __future__ import annotations

import logging
import random
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamq import process
from streamq.errors import StreamqError
from streamq.fleet import Card, parse_card
from streamq.transitions import SWEEP_MOST
from streamq.worker.complaint import Complaint
from streamq.worker.part import Part
from streamq.worker.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.transitions import Transitions

_log = logging.getLogger("streamq.worker")

#: Pause between two sweeps of a fleet, in seconds.
PERIOD: Final = 1.0
#: A fleet of more consumers than this is looked over less often, so that reading it stays cheap.
FLEET: Final = 50


class Reaper:
    """Recovers for a whole fleet.

    Args:
        transitions: on a connection of its own.
        lease: this worker's, in seconds.
        ours: whether a consumer is a child of this supervisor, which settles for its own.
        suspects: told after each sweep how many suspects are due.
        known: told before each sweep which tasks the workers of the fleet know.
    """

    def __init__(
        self,
        transitions: Transitions,
        lease: float,
        ours: Callable[[str], bool],
        suspects: Callable[[int], None],
        known: Callable[[frozenset[str]], None],
    ) -> None:
        self._transitions = transitions
        self._lease_ms = int(lease * 1000)
        self._ours = ours
        self._suspects = suspects
        self._known = known
        self._stop = threading.Event()
        self._complaint = Complaint("dead workers cannot be looked for")
        self._thread = Part(self._work, "reaper")

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.finish()

    def _work(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause * random.uniform(0.8, 1.2)):  # noqa: S311 - jitter
            pause = PERIOD
            try:
                fleet = self._transitions.fleet()
                pause = PERIOD * max(1.0, len(fleet) / FLEET)
                cards = {consumer: parse_card(text) for consumer, text in fleet.items()}
                self._known(frozenset(name for card in cards.values() for name in card.tasks))
                self._reap_dead(cards)
                swept = self._transitions.sweep(self._lease_ms, int(PERIOD * 900))
            except StreamqError as error:
                self._complaint.tell(error)
                continue
            if swept.reaped:
                _log.warning("recovered %d task%s of workers that gave no sign of life", swept.reaped, "s" * (swept.reaped != 1))
            self._suspects(swept.suspects_due)
            if swept.reaped >= SWEEP_MOST:  # there may be more
                pause = 0.0

    def _reap_dead(self, cards: dict[str, Card]) -> None:
        for consumer, card in cards.items():
            if self._ours(consumer) or self._stop.is_set():
                continue
            if process.look(card.process) != "gone":  # a card that cannot be read says nothing of its process
                continue
            if process.look(card.parent) in {"alive", "stopped"}:
                continue  # its supervisor settles for it, and knows better than anybody else what had started
            self._reap(consumer, card)

    def _reap(self, consumer: str, card: Card) -> None:
        why, total = f"worker process died: process {card.pid} is gone", 0
        rows = Table.left(Path(card.table)) if card.table else None
        started = None if rows is None else [(row.address, row.started_ms) for row in rows]
        while True:
            reaped = self._transitions.reap(consumer, why, started=started)
            total += reaped.crashed
            if not reaped.left or reaped.crashed + reaped.handed_back == 0:
                break
        if rows is not None:
            Path(card.table).unlink(missing_ok=True)
        _log.warning("%s (process %d) died; recovered %d task%s of it", card.name, card.pid, total, "s" * (total != 1))
