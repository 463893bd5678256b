"""Two queues on one throwaway server: a shallow one, and one that is several times as deep, or with `--long` a full one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.lib.depth import Depth, fill
from tests.lua.bench import Bench
from tests.lua.servers import Server, throwaway
from tests.scale.cases import finish, taken

#: Every page and every batch is full.
SHALLOW = Depth(waiting=1500, scheduled=700, parked=700, dead=300)
DEEP = Depth(waiting=9000, scheduled=4200, parked=4200, dead=1800)


@pytest.fixture(scope="session")
def depth_server() -> Iterator[Server]:
    """A server that does nothing else."""
    with throwaway() as server:
        yield server


@pytest.fixture(scope="session")
def shallow(depth_server: Server) -> Iterator[Bench]:
    """A queue that holds a little of everything."""
    yield from _filled(depth_server, "shallow", SHALLOW)


@pytest.fixture(scope="session")
def deep(depth_server: Server, pytestconfig: pytest.Config) -> Iterator[Bench]:
    """A queue that holds much of everything."""
    yield from _filled(depth_server, "deep", Depth() if pytestconfig.getoption("--long") else DEEP)


def _filled(server: Server, name: str, depth: Depth) -> Iterator[Bench]:
    fill(server.url, name, **depth._asdict())
    bench = Bench(server, name)
    while bench.client.xlen(bench.keys["ended"]) > bench.run.history:  # a shorter history takes effect in steps
        finish(bench, "w-a", taken(bench, "w-a", 1))()
    yield bench
    bench.close()
