"""The whole examination: server, data directory, workers and queue, in this order, and the repair where it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streamq import stats
from streamq.doctor import backend, ids, queue, rights, server, survey, workers
from streamq.doctor.consumers import Group
from streamq.doctor.mend import mend
from streamq.errors import ServerUnusable
from streamq.server.probe import probe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streamq.config import Settings
    from streamq.doctor.finding import Finding
    from streamq.server.connect import Link
    from streamq.server.probe import Facts
    from streamq.transitions import Transitions


class Report(NamedTuple):
    """What was found."""

    queue: str
    findings: list[Finding]
    #: How many entries, rows and members of the queue were looked at.
    looked: int

    @property
    def ok(self) -> bool:
        """Whether no fault is left."""
        return all(each.level != "fault" for each in self.findings)


def examine(link: Link, transitions: Transitions, settings: Settings, *, repair: bool = False) -> Report:
    """Examine a queue and its server.

    Args:
        link: to the server.
        transitions: of the queue, over the same link.
        settings: the configuration in force.
        repair: mend what can be mended.

    Raises:
        ServerError: the server cannot be reached, or cannot serve for another reason than one that is reported.
    """
    keys, data = transitions.keys, link.endpoint.data
    found = [*server.examine(link), *rights.examine(link, keys)]
    if data is not None:
        from streamq.doctor import directory  # needs fcntl, which Windows lacks

        found += directory.examine(data, server.ask(link))
    subjects: dict[str, Sequence[str | bytes]] = {}
    looked = 0
    try:
        seen = survey.look(transitions)
        subjects |= seen.found
        looked = seen.looked
        found += _of_queue(transitions, settings, probe(link), seen, subjects)
    except ServerUnusable as error:
        # Without commands or rights the queue cannot be looked at, and that is what has been found.
        if all(each.level == "ok" for each in found if each.id in {"commands", "rights"}):
            raise
        found = [rights.in_the_way(error, each) for each in found]
    found += backend.examine(settings)
    if repair:
        found = mend(transitions, found, subjects, data)
    return Report(keys.queue, found, looked)


def _of_queue(
    transitions: Transitions, settings: Settings, facts: Facts, seen: survey.Survey, subjects: dict[str, Sequence[str | bytes]]
) -> Iterator[Finding]:
    """What is told of workers and queue; what can be mended of it is put into `subjects`."""
    figures = stats.read(transitions, facts)
    lease_ms = max((worker.lease_ms for worker in figures.workers), default=round(settings.worker.lease * 1000))
    group = Group(transitions, lease_ms)
    subjects["leftover-consumers"] = group.leftover
    subjects["missing-groups"] = group.missing
    yield from workers.examine(transitions, figures, lease_ms, seen.found.get("unknown-tasks", []))
    yield from group.findings(figures)
    yield from ids.examine(transitions, figures.now_ms)
    yield from queue.examine(transitions, figures, seen, settings.queue.max_size)
