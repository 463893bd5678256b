"""The catalogue: one row for each image that was made, in SQLite by default, in PostgreSQL by URL.

A row is written before its task is settled, by the task's id, and only where its fence is not older than the row's: a run that
lost its lease, or a repetition, never overwrites what a later run wrote. A database that is down or locked puts the task off
(`Snooze`), it never fails it. SQLite runs in WAL mode with `synchronous=NORMAL`: a killed process loses nothing, a power cut at
worst the newest rows, never the file. Called by the image task; `tasks --state finished` reads from it.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from streamq.config import Settings, mask
from streamq.errors import ConfigError, StreamqError, UsageError
from streamq.verdict import Snooze

#: Seconds that a task is put off when the database cannot be used; no other task tries it in this time.
PAUSE = 5.0
#: Seconds that one write waits for the locks of others.
PATIENCE = 10.0
#: Names the lock that those who make the tables of one PostgreSQL database take.
_MAKING = 0x73747265616D71

_metadata = sa.MetaData()
IMAGES = sa.Table(
    "images",
    _metadata,
    sa.Column("queue", sa.Text, primary_key=True, comment="an id names a task within its queue only"),
    sa.Column("id", sa.Text, primary_key=True, comment="the task's id"),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("output", sa.Text, nullable=False, index=True),
    sa.Column("operation", sa.Text, nullable=False, comment="names of the operations, joined by hyphens"),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("source_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, comment="deliveries that counted, this one included"),
    sa.Column("started_ms", sa.BigInteger, nullable=False),
    sa.Column("finished_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("fence_ms", sa.BigInteger, nullable=False),
    sa.Column("fence_seq", sa.BigInteger, nullable=False),
    sa.Column("fence_count", sa.BigInteger, nullable=False),
)
_FENCE = (IMAGES.c.fence_ms, IMAGES.c.fence_seq, IMAGES.c.fence_count)
#: The columns that people and programs see.
COLUMNS = tuple(column.name for column in IMAGES.c if column not in set(_FENCE))


class CatalogueUnusable(StreamqError):
    """The catalogue cannot be read: the database is down, locked, or refuses."""


class Catalogue:
    """The table of one database. It connects when it is first used, and again in a process that was forked.

    Args:
        url: SQLAlchemy's; `postgresql://` means psycopg. It may hold a password, which is never printed.

    Raises:
        ConfigError: it is no URL of a database that can be used here.
    """

    def __init__(self, url: str) -> None:
        self.shown = mask(url)
        self._url = _parsed(url)
        self._lock = threading.Lock()
        self._engine: sa.Engine | None = None
        self._pid = 0
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
        values = {**row, **dict(zip((column.name for column in _FENCE), fence, strict=True))}
        try:
            with self._connected() as connection, connection.begin():
                return connection.execute(_upsert(connection.dialect.name), values).first() is not None
        except (DataError, IntegrityError):
            raise
        except (SQLAlchemyError, OSError) as error:
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
        query = sa.select(*(IMAGES.c[name] for name in COLUMNS)).order_by(IMAGES.c.finished_ms.desc(), IMAGES.c.id.desc())
        for column, part in ((IMAGES.c.source, source), (IMAGES.c.output, output)):
            if part is not None:
                query = query.where(column.contains(part, autoescape=True))
        if since is not None:
            query = query.where(IMAGES.c.finished_ms >= since)
        for name, value in (where or {}).items():
            query = query.where(_equal(name, value))
        if self._is_absent():
            return
        try:
            with self._connected() as connection:
                for row in connection.execution_options(yield_per=500).execute(query.limit(limit)):
                    yield dict(row._mapping)  # noqa: SLF001 -- SQLAlchemy's public name for a row as a mapping
        except (SQLAlchemyError, OSError) as error:
            raise CatalogueUnusable(f"the catalogue {self.shown} cannot be read: {_reason(error)}") from error

    def close(self) -> None:
        """Close all connections; the catalogue opens them again when it is used."""
        with self._lock:
            if self._engine is not None and self._pid == os.getpid():
                self._engine.dispose()
            self._engine = None

    def _is_absent(self) -> bool:
        """Whether the database is a file that nobody has made yet; to read it must not make it."""
        return self._url.get_backend_name() == "sqlite" and not Path(self._url.database or "").exists()

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        with self._opened().connect() as connection:
            yield connection

    def _opened(self) -> sa.Engine:
        with self._lock:
            if self._engine is None or self._pid != os.getpid():
                # Of the threads that waited while the first could not connect, none tries again.
                self.ready()
                # The connections of the process that this one was forked from are its own, and are left alone.
                self._engine, self._pid = _made(self._url), os.getpid()
            return self._engine


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        parsed.get_dialect().import_dbapi()
    except (SQLAlchemyError, NoSuchModuleError, ValueError):
        fault = f"catalogue.url: expected a URL of SQLite or PostgreSQL, not {mask(url)}"
        raise ConfigError([fault], hint="Write it as postgresql://user@host/db or sqlite:////path/to/file.db.") from None
    except ImportError as error:
        raise ConfigError([f"catalogue.url: {mask(url)} needs {error.name}"], hint="pip install 'streamq[postgres]'") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError([f"catalogue.url: expected SQLite or PostgreSQL, not {parsed.get_backend_name()}"])
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigError(["catalogue.url: expected a file, since every process of every worker writes to it"])
    return parsed


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, connect_args={"timeout": PATIENCE})
        sa.event.listen(engine, "connect", _pragmas)
        return engine
    wait = round(PATIENCE * 1000)
    options = f"-c lock_timeout={wait} -c statement_timeout={2 * wait} -c idle_in_transaction_session_timeout={2 * wait}"
    arguments = {"connect_timeout": round(PATIENCE), "options": options, "application_name": "streamq"}
    return sa.create_engine(url, pool_pre_ping=True, pool_timeout=PATIENCE, connect_args=arguments)


def _pragmas(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def _made(url: sa.URL) -> sa.Engine:
    """Return an engine whose database has the table."""
    engine = _engine(url)
    try:
        _make(engine, url)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _make(engine: sa.Engine, url: sa.URL) -> None:
    """Make the table, once, however many processes begin at the same instant."""
    if url.get_backend_name() == "postgresql":
        with engine.begin() as connection:
            if not sa.inspect(connection).has_table(IMAGES.name):
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))
                _metadata.create_all(connection)
        return
    path = Path(url.database or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    # The switch to WAL fails at once where another process has the file open, however long the timeout: one after another.
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table(IMAGES.name):
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                _metadata.create_all(connection)
                connection.commit()


@cache
def _upsert(dialect: str) -> Any:
    """The statement that writes a row, unless the row there has a newer fence; it returns the id where it has written."""
    statement: Any = (postgresql if dialect == "postgresql" else sqlite).insert(IMAGES)
    new = statement.excluded
    changed = {column.name: new[column.name] for column in IMAGES.c if not column.primary_key}
    newer = sa.tuple_(*_FENCE) <= sa.tuple_(*(new[column.name] for column in _FENCE))
    return statement.on_conflict_do_update(index_elements=["queue", "id"], set_=changed, where=newer).returning(IMAGES.c.id)


def _equal(name: str, value: Any) -> sa.ColumnElement[bool]:
    if name not in COLUMNS:
        raise UsageError(f"the catalogue has no field {name}", hint=f"Its fields are: {', '.join(COLUMNS)}.")
    column: sa.ColumnElement[Any] = IMAGES.c[name]
    try:
        return column == sa.literal(column.type.python_type(value))
    except ValueError:
        raise UsageError(f"{name} is a number, not {value!r}") from None


def _reason(error: Exception) -> str:
    """The first line of what the driver said; SQLAlchemy's own text has the statement and all values after it."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return mask(lines[0]) if lines else type(error).__name__
