"""A data directory for the tests that start, spoil and kill servers in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.server.servers import kill_server


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A data directory that does not exist yet; whatever is started in it is killed after the test."""
    data = tmp_path / "project" / ".streamq"
    data.parent.mkdir()
    yield data
    kill_server(data)
