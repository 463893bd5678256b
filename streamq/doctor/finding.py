"""What the doctor can find: each check with its name, its subject and whether it can be mended; and one finding of a report.

The names are what programs and the documentation go by: they stay. A report has each check once, where it applies at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

Level = Literal["ok", "note", "warning", "fault"]
Area = Literal["server", "directory", "workers", "queue"]

#: The worst first.
LEVELS: Final[tuple[Level, ...]] = ("fault", "warning", "note", "ok")
#: So many subjects stand in a finding; the others are counted.
SUBJECTS_MOST: Final = 100


class Check(NamedTuple):
    """One thing that is looked at."""

    area: Area
    #: `--repair` mends it.
    mends: bool = False


CHECKS: Final[dict[str, Check]] = {
    "server": Check("server"),
    "durability": Check("server"),
    "persistence": Check("server"),
    "eviction": Check("server"),
    "evicted": Check("server"),
    "memory": Check("server"),
    "replication": Check("server"),
    "min-replicas": Check("server"),
    "clock": Check("server"),
    "commands": Check("server"),
    "rights": Check("server"),
    "data-directory": Check("directory"),
    "server-lock": Check("directory"),
    "other-servers": Check("directory"),
    "append-only-files": Check("directory"),
    "permissions": Check("directory", mends=True),
    "disk-space": Check("directory"),
    "workers": Check("workers"),
    "lost-workers": Check("workers"),
    "stuck-tasks": Check("workers"),
    "long-tasks": Check("workers"),
    "unknown-tasks": Check("workers"),
    "leftover-consumers": Check("workers", mends=True),
    "foreign-consumers": Check("workers"),
    "image-backend": Check("workers"),
    "paused": Check("queue"),
    "bound": Check("queue"),
    "stream-ids": Check("queue"),
    "missing-groups": Check("queue", mends=True),
    "orphaned-entries": Check("queue", mends=True),
    "parked-without-entry": Check("queue", mends=True),
    "pending-without-entry": Check("queue", mends=True),
    "parked-and-pending": Check("queue"),
    "counts": Check("queue"),
    "stale-records": Check("queue", mends=True),
    "unique-keys": Check("queue", mends=True),
    "moved-addresses": Check("queue", mends=True),
    "producer-lanes": Check("queue"),
    "sums": Check("queue"),
}


class Finding(msgspec.Struct, kw_only=True, frozen=True):
    """What one check says."""

    id: str
    level: Level
    #: One sentence, in plain words.
    what: str
    #: What to change; None: nothing.
    mend: str | None = None
    area: Area
    #: What it is about, where that are many: ids, consumers, keys; at most `SUBJECTS_MOST`.
    subjects: list[str] = []
    #: What `--repair` did about it.
    mended: str | None = None

    @property
    def repairable(self) -> bool:
        """Whether there is something that `--repair` mends."""
        return CHECKS[self.id].mends and self.level != "ok"


def finding(name: str, level: Level, what: str, mend: str | None = None, subjects: Sequence[str] = ()) -> Finding:
    """A finding of a check.

    Raises:
        KeyError: no check has this name.
    """
    return Finding(id=name, level=level, what=what, mend=mend, area=CHECKS[name].area, subjects=list(subjects[:SUBJECTS_MOST]))


def many(number: int, one: str, more: str | None = None) -> str:
    """A number and what it counts: `1 entry`, `1,200 entries`."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"


def some(subjects: Sequence[str], most: int = 3) -> str:
    """The first few of many, in words."""
    shown = ", ".join(subjects[:most])
    return f"{shown} and {len(subjects) - most:,} more" if len(subjects) > most else shown
