"""A database that is down, locked or refuses puts tasks off; it fails none, and its password is never shown."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamq.config import load
from streamq.errors import ConfigError
from streamq.images import catalogue as module
from streamq.images import databases
from streamq.images.catalogue import Catalogue, CatalogueUnusable
from streamq.verdict import Snooze
from tests.integration.catalogue.databases import Postgres
from tests.integration.catalogue.rows import row


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that a test may stop."""
    server = Postgres()
    server.start()
    yield server
    server.close()


def test_a_server_that_stops_and_comes_back(own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are put off while it is gone, and written when it is back, on the same catalogue."""
    monkeypatch.setattr(module, "PAUSE", 0.0)
    catalogue = Catalogue(own_postgres.url)
    assert catalogue.record(row(id="d1-0"), (1, 0, 1))
    own_postgres.stop()
    for _ in range(2):
        with pytest.raises(Snooze, match="cannot be written"):
            catalogue.record(row(id="d2-0"), (1, 0, 1))
    with pytest.raises(CatalogueUnusable, match="cannot be read"):
        list(catalogue.rows())
    own_postgres.start()
    assert catalogue.record(row(id="d2-0"), (1, 0, 1))
    assert {each["id"] for each in catalogue.rows()} == {"d1-0", "d2-0"}
    catalogue.close()


def test_a_server_that_was_never_there(tmp_path: Path) -> None:
    """The first write tries, the next ones wait; the reason names the server without its password."""
    catalogue = Catalogue(f"postgresql://user:hunter2@/db?host={tmp_path}")
    with pytest.raises(Snooze) as raised:
        catalogue.record(row(), (1, 0, 1))
    assert "hunter2" not in raised.value.reason
    assert str(tmp_path) in raised.value.reason
    assert raised.value.after == module.PAUSE
    with pytest.raises(Snooze, match="a moment ago"):
        catalogue.ready()


def test_a_locked_table_is_waited_for_only_so_long(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's long transaction delays tasks, it hangs no worker."""
    import psycopg

    monkeypatch.setattr(databases, "PATIENCE", 0.5)
    for url in (f"sqlite:///{tmp_path}/catalogue.db", postgres_url):
        monkeypatch.setattr(module, "PAUSE", 0.0)
        catalogue = Catalogue(url)
        catalogue.record(row(), (1, 0, 1))
        if url.startswith("sqlite"):
            other: sqlite3.Connection | psycopg.Connection = sqlite3.connect(tmp_path / "catalogue.db")
            other.execute("BEGIN IMMEDIATE")
        else:
            other = psycopg.connect(postgres_url)
            other.execute("LOCK TABLE images")
        with pytest.raises(Snooze, match="lock"):
            catalogue.record(row(id="d2-0"), (1, 0, 1))
        other.rollback()
        other.close()
        assert catalogue.record(row(id="d2-0"), (1, 0, 1))
        catalogue.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """Tasks wait until somebody has moved it away."""
    (tmp_path / "catalogue.db").write_bytes(b"hello" * 1000)
    catalogue = Catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    with pytest.raises(Snooze, match="not a database"):
        catalogue.record(row(), (1, 0, 1))
    with pytest.raises(CatalogueUnusable, match="not a database"):
        list(Catalogue(f"sqlite:///{tmp_path}/catalogue.db").rows())


def test_reading_a_catalogue_that_does_not_exist_does_not_make_it(tmp_path: Path) -> None:
    """It is empty."""
    assert list(Catalogue(f"sqlite:///{tmp_path}/data/catalogue.db").rows()) == []
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://user:hunter2@host/db", "catalogue.url"),
        ("nonsense://", "expected a URL of SQLite or PostgreSQL"),
        ("sqlite:///:memory:", "expected a file"),
        ("sqlite://", "expected a file"),
    ],
)
def test_a_url_that_cannot_work_is_refused_at_once(url: str, reason: str) -> None:
    """When the worker starts, not when a task has done its work."""
    with pytest.raises(ConfigError) as raised:
        Catalogue(url)
    assert reason in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_relative_path_is_relative_to_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the worker was started."""
    (tmp_path / "config.yaml").write_text("catalogue: {url: 'sqlite:///db/made.db'}\n")
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    catalogue = Catalogue.of(load(environ={}))
    catalogue.record(row(), (1, 0, 1))
    catalogue.close()
    assert (tmp_path / "db/made.db").exists()


def test_a_forked_process_opens_connections_of_its_own(url: str, catalogue: Catalogue) -> None:
    """Those of its parent go on working."""
    catalogue.record(row(id="d1-0"), (1, 0, 1))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            catalogue.record(row(id="d2-0"), (1, 0, 1))
            catalogue.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    catalogue.record(row(id="d3-0"), (1, 0, 1))
    assert {each["id"] for each in catalogue.rows()} == {"d1-0", "d2-0", "d3-0"}


def test_a_connection_that_was_lost_meanwhile_is_replaced(postgres_url: str) -> None:
    """A server that closed what was idle, or was restarted between two tasks, delays none of them."""
    import psycopg

    catalogue = Catalogue(postgres_url)
    assert catalogue.record(row(id="d1-0"), (1, 0, 1))
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'streamq'")
    assert catalogue.record(row(id="d2-0"), (1, 0, 1))
    assert len(list(catalogue.rows())) == 2
    catalogue.close()
