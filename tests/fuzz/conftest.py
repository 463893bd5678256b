"""A workshop on the session's server for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workshop import Workshop


@pytest.fixture
def shop(tmp_path: Path, data_dir: Path, server: str, queue_name: str) -> Iterator[Workshop]:
    """A folder and a queue of its own; no process of its workers outlives the test."""
    (tmp_path / "shop").mkdir()
    shop = Workshop(tmp_path / "shop", data_dir, queue_name)
    yield shop
    shop.clear()
