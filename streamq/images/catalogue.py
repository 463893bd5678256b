"""The catalogue: one row for each image that was made, in SQLite by default, in PostgreSQL by URL.

A row is written before its task is settled, by the task's id, and only where its fence is not older than the row's: a run that
lost its lease, or a repetition, never overwrites what a later run wrote. A database that is down or locked puts the task off
(`Snooze`), it never fails it. Called by the image task; `tasks --state finished` reads from it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from streamq.config import Settings, mask
from streamq.errors import StreamqError, UsageError
from streamq.images.databases import database
from streamq.verdict import Snooze

#: Seconds that a task is put off when the database cannot be used; no other task tries it in this time.
PAUSE = 5.0

_TABLE: Final = "images"
#: Column -> its type. An id names a task within its queue only; `operation` has the names of all, joined by hyphens; `attempts`
#: are the deliveries that counted, the last one included.
_TYPES: Final = {
    "queue": "TEXT",
    "id": "TEXT",
    "source": "TEXT",
    "output": "TEXT",
    "operation": "TEXT",
    "format": "TEXT",
    "width": "INTEGER",
    "height": "INTEGER",
    "bytes": "BIGINT",
    "source_bytes": "BIGINT",
    "sha256": "TEXT",
    "worker": "TEXT",
    "attempts": "INTEGER",
    "started_ms": "BIGINT",
    "finished_ms": "BIGINT",
}
#: The columns that people and programs see.
COLUMNS: Final = tuple(_TYPES)
_KEY: Final = ("queue", "id")
_FENCE: Final = ("fence_ms", "fence_seq", "fence_count")
_ALL: Final = (*COLUMNS, *_FENCE)
_MAKE: Final = (
    f"CREATE TABLE {_TABLE} ("
    + "".join(f"{name} {kind} NOT NULL, " for name, kind in (_TYPES | dict.fromkeys(_FENCE, "BIGINT")).items())
    + f"PRIMARY KEY ({', '.join(_KEY)}))",
    *(f"CREATE INDEX ix_{_TABLE}_{name} ON {_TABLE} ({name})" for name in ("output", "finished_ms")),
)


class CatalogueUnusable(StreamqError):
    """The catalogue cannot be read: the database is down, locked, or refuses."""


class Catalogue:
    """The table of one database. It connects when it is first used, and again in a process that was forked.

    Args:
        url: of the database, see `databases.database`. It may hold a password, which is never printed.

    Raises:
        ConfigError: it is no URL of a database that can be used here.
    """

    def __init__(self, url: str) -> None:
        self.shown = mask(url)
        self._database = database(url)
        self._upsert = _upsert(self._database.parameter)
        self._lock = threading.Lock()
        self._is_made = False
        self._down_until = 0.0

    @classmethod
    def of(cls, settings: Settings) -> Catalogue:
        """Return the catalogue of a configuration; a relative SQLite path is relative to the project directory."""
        url = settings.catalogue_url
        if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
            url = f"sqlite:///{settings.path(url.removeprefix('sqlite:///'))}"
        return cls(url)

    def ready(self) -> None:
        """Make sure that the last write did not fail just now: to be asked before the work whose row could not be written.

        Raises:
            Snooze: it did.
        """
        left = self._down_until - time.monotonic()
        if left > 0:
            raise Snooze(after=left, reason=f"the catalogue {self.shown} could not be used a moment ago")

    def record(self, row: Mapping[str, Any], fence: tuple[int, int, int]) -> bool:
        """Write the row of a task, and return whether it is this run's: False where a later run has written one.

        Args:
            row: a value for each of `COLUMNS`.
            fence: the run's, as `Context.fence` gives it.

        Raises:
            Snooze: the database is down, locked or refuses; the task comes again.
        """
        values = {**row, **dict(zip(_FENCE, fence, strict=True))}
        try:
            self._make()
            return bool(self._database.execute(self._upsert, values))
        except self._database.refusals:
            raise
        except self._faults as error:
            self._down_until = time.monotonic() + PAUSE
            raise Snooze(after=PAUSE, reason=f"the catalogue {self.shown} cannot be written: {_reason(error)}") from error

    def rows(
        self,
        *,
        source: str | None = None,
        output: str | None = None,
        since: int | None = None,
        where: Mapping[str, Any] | None = None,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows, newest first, as `COLUMNS` -> value.

        Args:
            source: only those whose source contains this.
            output: only those whose output contains this.
            since: only those that finished at or after this, ms since the epoch.
            where: column -> the value that it must have.
            limit: at most so many.

        Raises:
            UsageError: `where` names no column.
            CatalogueUnusable: the database is down, locked or refuses.
        """
        parameter, position = self._database.parameter.format, self._database.position
        parts = {name: part for name, part in (("source", source), ("output", output)) if part is not None}
        equal = {name: _typed(name, value) for name, value in (where or {}).items()}
        conditions = [f"{position}({name}, {parameter(f'part_{name}')}) > 0" for name in parts]
        conditions += [f"{name} = {parameter(f'is_{name}')}" for name in equal]
        conditions += [f"finished_ms >= {parameter('since')}"] if since is not None else []
        values = {f"part_{name}": part for name, part in parts.items()} | {f"is_{name}": value for name, value in equal.items()}
        values |= {"since": since, "limit": limit}
        query = (
            f"SELECT {', '.join(COLUMNS)} FROM {_TABLE}"  # noqa: S608 -- names of columns, and parameters
            + (f" WHERE {' AND '.join(conditions)}" if conditions else "")
            + " ORDER BY finished_ms DESC, id DESC"
            + (f" LIMIT {parameter('limit')}" if limit is not None else "")
        )
        if not self._database.exists():  # to read it must not make it
            return
        try:
            self._make()
            for row in self._database.read(query, values):
                yield dict(zip(COLUMNS, row, strict=True))
        except self._faults as error:
            raise CatalogueUnusable(f"the catalogue {self.shown} cannot be read: {_reason(error)}") from error

    def close(self) -> None:
        """Close all connections; the catalogue opens them again when it is used."""
        self._database.close()

    @property
    def _faults(self) -> tuple[type[Exception], ...]:
        """What is raised where the database is to blame, or its disk."""
        return *self._database.faults, OSError

    def _make(self) -> None:
        """Make sure that the table is there."""
        if self._is_made:
            return
        with self._lock:
            if not self._is_made:
                # Of the threads that waited while the first could not connect, none tries again.
                self.ready()
                self._database.make(_TABLE, _MAKE)
                self._is_made = True


def _upsert(parameter: str) -> str:
    """The statement that writes a row, unless the row there has a newer fence; it returns the id where it has written."""
    values, changed = map(parameter.format, _ALL), [name for name in _ALL if name not in _KEY]
    return (
        f"INSERT INTO {_TABLE} ({', '.join(_ALL)}) VALUES ({', '.join(values)}) "  # noqa: S608 -- names of columns, and parameters
        f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in changed)} "
        f"WHERE ({', '.join(f'{_TABLE}.{name}' for name in _FENCE)}) <= ({', '.join(f'excluded.{name}' for name in _FENCE)}) "
        "RETURNING id"
    )


def _typed(name: str, value: Any) -> Any:
    """A value as the column of a name has it."""
    if name not in COLUMNS:
        raise UsageError(f"the catalogue has no field {name}", hint=f"Its fields are: {', '.join(COLUMNS)}.")
    try:
        return str(value) if _TYPES[name] == "TEXT" else int(value)
    except ValueError:
        raise UsageError(f"{name} is a number, not {value!r}") from None


def _reason(error: Exception) -> str:
    """The first line of what the driver said."""
    lines = str(error).strip().splitlines()
    return mask(lines[0]) if lines else type(error).__name__
