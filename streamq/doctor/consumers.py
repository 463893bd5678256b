"""The consumer group of a queue: streams that have lost it, and consumers in it that are no workers of the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamq.doctor.finding import finding, many, some
from streamq.doctor.survey import consumers_of, group_of, still_stands
from streamq.keys import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq.doctor.finding import Finding
    from streamq.stats import Stats
    from streamq.transitions import Transitions


class Group:
    """What is wrong with the group, as it was when this was made.

    Args:
        transitions: of the queue.
        lease_ms: who was not seen for so long does not come back.
    """

    def __init__(self, transitions: Transitions, lease_ms: int) -> None:
        known = transitions.fleet()
        self.leftover: list[str] = []
        self.foreign: list[str] = []
        #: Letters of the streams that have no group, and those that have one.
        self.missing: list[str] = []
        self.grouped: list[str] = []
        idle: dict[str, int] = {}
        for letter in STREAMS:
            if group_of(transitions, letter) is not None:
                self.grouped.append(letter)
            elif transitions.link.call("EXISTS", transitions.keys.stream(letter)):
                self.missing.append(letter)
            for consumer, (_, ms) in consumers_of(transitions, letter).items():
                if consumer not in known:
                    idle[consumer] = min(ms, idle.get(consumer, ms))
        for consumer, ms in idle.items():
            if still_stands(transitions, "foreign-consumers", consumer):
                self.foreign.append(consumer)
            elif ms >= lease_ms and still_stands(transitions, "leftover-consumers", consumer):
                self.leftover.append(consumer)
        self.missing = [letter for letter in self.missing if still_stands(transitions, "missing-groups", letter)]

    def findings(self, figures: Stats) -> Iterator[Finding]:
        """What is told of them."""
        if self.leftover:
            what = f"{many(len(self.leftover), 'consumer')} left over in the group, without a task: {some(self.leftover)}"
            yield finding("leftover-consumers", "note", what, "`streamq doctor --repair` deletes them by name", self.leftover)
        else:
            yield finding("leftover-consumers", "ok", "no consumer is left over in the group")
        if self.foreign:
            who = many(len(self.foreign), "consumer that is no worker holds", "consumers that are no workers hold")
            what = f"{who} tasks: {some(self.foreign)}"
            mend = "a running worker takes them over when their lease has run out, and so does `streamq pending --claim`"
            yield finding("foreign-consumers", "warning", what, mend, self.foreign)
        else:
            yield finding("foreign-consumers", "ok", "nobody but workers holds tasks")
        if self.missing and (self.grouped or figures.workers):
            names = [STREAMS[letter] for letter in self.missing]
            what = f"{many(len(names), 'stream has', 'streams have')} lost the group of the workers: {', '.join(names)}"
            mend = "a running worker makes it anew, from the first entry, and so does `streamq doctor --repair`"
            yield finding("missing-groups", "warning", what, mend, names)
        else:
            yield finding("missing-groups", "ok", "every stream that workers read has their group")
