"""Catalogues in both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from streamq.images.catalogue import Catalogue
from tests.integration.catalogue.databases import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for all tests."""
    server = Postgres()
    server.start()
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The address of an empty database."""
    yield postgres.url
    with psycopg.connect(postgres.url) as connection:
        connection.execute("DROP TABLE IF EXISTS images")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/data/catalogue.db"
    address: str = request.getfixturevalue("postgres_url")
    return address


@pytest.fixture
def catalogue(url: str) -> Iterator[Catalogue]:
    """An empty catalogue."""
    opened = Catalogue(url)
    yield opened
    opened.close()
