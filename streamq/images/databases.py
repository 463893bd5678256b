"""The two databases that a catalogue may be in: SQLite, which is in Python, and PostgreSQL, with `streamq[postgres]`.

What differs between them is here and nowhere else: addresses, connections, how a table is made once by many processes, how a
parameter is written. SQLite runs in WAL mode with `synchronous=NORMAL`: a killed process loses nothing, a power cut at worst the
newest rows, never the file. A driver is loaded when its database is first used. Called by `catalogue` only.
"""

from __future__ import annotations

import fcntl
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from streamq.config import mask
from streamq.errors import ConfigError

#: Seconds that one statement waits for the locks of others, and a connection for its server.
PATIENCE = 10.0
#: Rows that are fetched at a time.
PAGE = 500
#: Names the lock that those who make the tables of one PostgreSQL database take.
_MAKING = 0x73747265616D71
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
#: Connections of processes that this one was forked from: closing them would disturb their owners.
_inherited: list[Any] = []


class Database(ABC):
    """Connections to one database, each used by one thread at a time, and made anew in a process that was forked."""

    #: How a statement names a parameter.
    parameter: ClassVar[str]
    #: The function that tells where a text lies in another one, 0: nowhere.
    position: ClassVar[str]

    def __init__(self) -> None:
        self._idle: list[Any] = []
        self._pid = os.getpid()
        self._lock = threading.Lock()

    @property
    @abstractmethod
    def faults(self) -> tuple[type[Exception], ...]:
        """What the driver raises."""

    @property
    @abstractmethod
    def refusals(self) -> tuple[type[Exception], ...]:
        """What the driver raises where the values are to blame, and not the database."""

    @abstractmethod
    def exists(self) -> bool:
        """Return whether there may be a database to read."""

    @abstractmethod
    def make(self, table: str, statements: Sequence[str]) -> None:
        """Carry out the statements that make a table, unless it is there: once, however many processes begin at one instant."""

    @abstractmethod
    def _connect(self) -> Any:
        """Open a connection, each of whose statements is a transaction of its own."""

    @abstractmethod
    def _is_lost(self, connection: Any) -> bool:
        """Whether a connection that failed can never be used again."""

    @abstractmethod
    def _pages(self, connection: Any, statement: str, values: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
        """The rows of a query, fetched page by page."""

    def execute(self, statement: str, values: Mapping[str, Any]) -> list[Any]:
        """Carry out one statement, which may be repeated, and return its rows.

        A connection that was lost since it was last used is replaced by a new one.
        """
        while True:
            idle = self._own()
            try:
                connection, is_new = idle.pop(), False
            except IndexError:
                connection, is_new = self._connect(), True
            try:
                rows: list[Any] = connection.execute(statement, values).fetchall()
            except self.faults:
                if is_new or not self._is_lost(connection):
                    connection.close()
                    raise
                connection.close()
                continue
            except BaseException:
                connection.close()
                raise
            with self._lock:
                if idle is self._idle:
                    idle.append(connection)
                    return rows
            connection.close()
            return rows

    def read(self, statement: str, values: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
        """Yield the rows of a query, on a connection of its own."""
        with closing(self._connect()) as connection:
            yield from self._pages(connection, statement, values)

    def close(self) -> None:
        """Close all connections; new ones are opened when they are needed."""
        with self._lock:
            idle, self._idle = self._own(), []
        for connection in idle:
            connection.close()

    def _own(self) -> list[Any]:
        """The idle connections of this process."""
        if self._pid != os.getpid():
            _inherited.extend(self._idle)
            self._idle, self._pid = [], os.getpid()
        return self._idle


class SQLite(Database):
    """A file, and beside it the lock of those who make it.

    Args:
        path: it need not exist.
    """

    parameter, position = ":{}", "instr"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    @property
    def faults(self) -> tuple[type[Exception], ...]:  # noqa: D102
        import sqlite3

        return (sqlite3.Error,)

    @property
    def refusals(self) -> tuple[type[Exception], ...]:  # noqa: D102
        import sqlite3

        return sqlite3.DataError, sqlite3.IntegrityError

    def exists(self) -> bool:  # noqa: D102
        return self._path.exists()

    def make(self, table: str, statements: Sequence[str]) -> None:  # noqa: D102
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # The switch to WAL fails at once where another process has the file open, however long the timeout: one after another.
        with self._path.with_name(f"{self._path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with closing(self._connect()) as connection:
                if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                    return
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("BEGIN IMMEDIATE")
                for statement in statements:
                    connection.execute(statement)
                connection.execute("COMMIT")

    def _connect(self) -> Any:
        import sqlite3

        connection = sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous=NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_lost(self, connection: Any) -> bool:  # noqa: ARG002 -- a file is always there
        return False

    def _pages(self, connection: Any, statement: str, values: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
        yield from connection.execute(statement, values)


class PostgreSQL(Database):
    """A database of a server.

    Args:
        url: as libpq reads it.

    Raises:
        ConfigError: it is malformed, or psycopg is not installed.
    """

    parameter, position = "%({})s", "strpos"

    def __init__(self, url: str) -> None:
        super().__init__()
        try:
            import psycopg
        except ImportError as error:
            fault = f"catalogue.url: {mask(url)} needs {error.name or error}"
            raise ConfigError([fault], hint="pip install 'streamq[postgres]'") from None
        try:
            psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.Error:
            raise _no_address(url) from None
        self._psycopg = psycopg
        self._url = url

    @property
    def faults(self) -> tuple[type[Exception], ...]:  # noqa: D102
        return (self._psycopg.Error,)

    @property
    def refusals(self) -> tuple[type[Exception], ...]:  # noqa: D102
        return self._psycopg.DataError, self._psycopg.IntegrityError

    def exists(self) -> bool:  # noqa: D102
        return True

    def make(self, table: str, statements: Sequence[str]) -> None:  # noqa: D102
        with closing(self._connect()) as connection, connection.transaction():
            if self._is_there(connection, table):
                return
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
            if not self._is_there(connection, table):
                for statement in statements:
                    connection.execute(statement)

    @staticmethod
    def _is_there(connection: Any, table: str) -> bool:
        # Not by to_regclass: it remembers that there was none, before another process had made it.
        query = "SELECT 1 FROM pg_catalog.pg_class WHERE relname = %s AND pg_catalog.pg_table_is_visible(oid)"
        return connection.execute(query, (table,)).fetchone() is not None

    def _connect(self) -> Any:
        wait = round(PATIENCE * 1000)
        options = f"-c lock_timeout={wait} -c statement_timeout={2 * wait} -c idle_in_transaction_session_timeout={2 * wait}"
        return self._psycopg.connect(
            self._url, autocommit=True, connect_timeout=max(1, round(PATIENCE)), options=options, application_name="streamq"
        )

    def _is_lost(self, connection: Any) -> bool:
        return bool(connection.closed)

    def _pages(self, connection: Any, statement: str, values: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
        with connection.transaction(), connection.cursor(name="streamq") as cursor:
            cursor.itersize = PAGE
            yield from cursor.execute(statement, values)


def database(url: str) -> Database:
    """Return the database that an address names.

    Args:
        url: `sqlite:///` and a path, or `postgresql://` as libpq reads it. It may hold a password, which is never printed.

    Raises:
        ConfigError: it is no address of a database that can be used here.
    """
    scheme, _, rest = url.partition("://")
    if scheme in _POSTGRES:
        return PostgreSQL(f"postgresql://{rest}")
    if scheme != "sqlite":
        raise _no_address(url)
    path = rest.removeprefix("/")
    if path in ("", ":memory:") or "?" in path or not rest.startswith("/"):
        raise ConfigError([f"catalogue.url: expected a file, since every process of every worker writes to it, not {mask(url)}"])
    return SQLite(Path(path))


def _no_address(url: str) -> ConfigError:
    fault = f"catalogue.url: expected a URL of SQLite or PostgreSQL, not {mask(url)}"
    return ConfigError([fault], hint="Write it as postgresql://user@host/db or sqlite:////path/to/file.db.")
