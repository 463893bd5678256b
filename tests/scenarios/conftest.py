"""A workshop for each test: on the session's server, or on one of its own that the test may kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamq.server import embedded
from tests.integration.server.servers import kill_server
from tests.workshop import Workshop


@pytest.fixture
def own(tmp_path: Path, queue_name: str) -> Iterator[Workshop]:
    """A workshop with an embedded server that nobody else uses."""
    (tmp_path / "shop").mkdir()
    data = tmp_path / "data"
    embedded.ensure(data)
    shop = Workshop(tmp_path / "shop", data, queue_name)
    yield shop
    shop.clear()
    kill_server(data)
