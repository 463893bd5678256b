"""A queue to seed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.seeds import Seed


@pytest.fixture
def seed(server: str, queue_name: str) -> Iterator[Seed]:
    """A fresh queue on the session's server, its groups made."""
    seed = Seed(server, queue_name)
    yield seed
    seed.close()
