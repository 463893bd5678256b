"""A data directory that goes from one server binary to another: all of it is there, or the other does not start.

`STREAMQ_TEST_SERVERS` names the binaries, each is tried with each (`scripts/test --servers` does so); without it there is the
one that all tests run on.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from streamq.errors import ServerUnusable
from streamq.server import binary, embedded
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from tests.conftest import wait_until
from tests.integration.server.servers import kill_server, real_server, servers_of

#: Read at import, since every test runs in an environment without STREAMQ_ variables.
_NAMED = os.environ.get("STREAMQ_TEST_SERVERS", "")
BINARIES = [Path(name) for name in _NAMED.split(os.pathsep) if name] or [real_server()]
PAIRS = list(itertools.product(BINARIES, repeat=2))


def _contents(home: Path) -> object:
    """What a queue needs back: entries, and whose they are with their counts."""
    link = Link(Endpoint(home))
    entries = link.call("XRANGE", "stream", "-", "+")
    pending = [row[:2] + row[3:] for row in link.call("XPENDING", "stream", "workers", "-", "+", 100)]
    parked = link.call("ZRANGE", "parked", 0, -1, "WITHSCORES")
    link.close()
    return entries, pending, parked


@pytest.mark.parametrize("rewritten", [False, True])
@pytest.mark.parametrize(("writer", "reader"), PAIRS, ids=[f"{a.parent.name}-{b.parent.name}" for a, b in PAIRS])
def test_the_next_binary_has_everything_or_is_refused(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    writer: Path,
    reader: Path,
    rewritten: bool,  # noqa: FBT001
) -> None:
    """Never an empty queue where tasks were; and after a refusal the writer's binary has them still."""
    monkeypatch.setenv("STREAMQ_SERVER_BINARY", str(writer))
    link = Link(Endpoint(home, durability="always"))
    link.call("XGROUP", "CREATE", "stream", "workers", "0", "MKSTREAM")
    for number in range(50):
        link.call("XADD", "stream", "*", "number", number)
    link.call("XREADGROUP", "GROUP", "workers", "w1", "COUNT", 10, "STREAMS", "stream", ">")
    link.call("ZADD", "parked", 17.5, "a")
    if rewritten:  # the file begins in the binary format, which is what versions differ in
        link.call("BGREWRITEAOF")
        wait_until(lambda: b"aof_rewrite_in_progress:0" in link.call("INFO", "persistence"), "the file is rewritten")
    link.close()
    before = _contents(home)
    embedded.stop(home)
    may = binary.program(reader).can_read(binary.program(writer))
    monkeypatch.setenv("STREAMQ_SERVER_BINARY", str(reader))
    if not may:
        with pytest.raises(ServerUnusable, match="which cannot read what"):
            embedded.ensure(home)
        assert servers_of(home) == []
        monkeypatch.setenv("STREAMQ_SERVER_BINARY", str(writer))
    assert _contents(home) == before
    kill_server(home)
    assert _contents(home) == before
