"""A link between workers and the server that a test can break."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proxy import Proxy
from tests.workshop import Workshop


@pytest.fixture
def proxy(shop: Workshop, server: str) -> Iterator[Proxy]:
    """A proxy before the server."""
    with Proxy(server, shop.folder / "proxy.sock") as proxy:
        yield proxy
        for worker in shop.workers:
            worker.kill()
