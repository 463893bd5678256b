"""One throwaway server for the tests of the scripts, and a fresh queue on it for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lua.bench import Bench
from tests.lua.servers import Server, throwaway


@pytest.fixture(scope="session")
def script_server() -> Iterator[Server]:
    """A server of the tests' own, that they may limit, pause and flush."""
    with throwaway() as server:
        yield server


@pytest.fixture
def bench(script_server: Server, queue_name: str) -> Iterator[Bench]:
    """A fresh queue, its groups made."""
    bench = Bench(script_server, queue_name)
    bench.run.open()
    yield bench
    bench.client.flushall()
    bench.close()
