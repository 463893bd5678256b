"""Mends what can be mended without losing a task, each in a script that looks again first, and tells what was done.

Settings of the server are never touched: what to run is said, and left to a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from streamq.doctor import directory
from streamq.doctor.finding import many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from streamq.doctor.finding import Finding
    from streamq.transitions import Transitions

#: Most subjects of one script.
_PACKET: Final = 100
#: What is done about each fault that can be mended.
_DONE: Final = {
    "permissions": "closed to others",
    "leftover-consumers": "deleted",
    "missing-groups": "made, from the first entry",
    "orphaned-entries": "parked, due now or at their time, the lost hand-out forgiven",
    "parked-without-entry": "removed",
    "pending-without-entry": "acknowledged",
    "stale-records": "removed",
    "unique-keys": "freed",
    "moved-addresses": "removed",
}


def mend(
    transitions: Transitions, found: Sequence[Finding], subjects: Mapping[str, Sequence[str | bytes]], data: Path | None
) -> list[Finding]:
    """Mend what was found.

    Args:
        transitions: of the queue.
        found: what was found.
        subjects: what each finding is about, as the scripts know it.
        data: the data directory of the embedded server; None: there is none.

    Returns:
        The findings, with what was done; what was mended, or is not so any more, is `ok`.

    Raises:
        ServerError: the server is away.
    """
    return [_mended(transitions, each, subjects.get(each.id, ()), data) if each.repairable else each for each in found]


def _mended(transitions: Transitions, found: Finding, subjects: Sequence[str | bytes], data: Path | None) -> Finding:
    if found.id == "permissions":
        number = len(directory.close_to_others(data)) if data else 0
    else:
        packets = [subjects[at : at + _PACKET] for at in range(0, len(subjects), _PACKET)]
        number = sum(len(transitions.mend(found.id, packet)) for packet in packets)
    done = f"{number:,} {_DONE[found.id]}"
    if number < len(found.subjects):
        done += f"; {many(len(subjects) - number, 'other')} had settled by then"
    return msgspec.structs.replace(found, level="ok", mend=None, mended=done)
