"""Streams whose entries are deleted give their memory back: what a queue keeps is bounded by what is parked in it.

A server frees a node of a stream, up to a hundred entries or some kilobytes, when the last of its entries has gone, and compacts
none: one parked task keeps its node, whatever has been through before and behind it. `--long` sends ten million tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from streamq.transitions import SETTLE_MOST
from tests.lua.servers import Server, throwaway
from tests.scale.flow import Flow

#: Tasks that go through in all, and how often one looks.
SOME, ALL, LOOKS = 100 * SETTLE_MOST, 22_500 * SETTLE_MOST, 25
#: What a node takes beside its entries, its place in the index among it, and what a parked task takes elsewhere, in bytes.
NODE, BESIDE = 1_100, 600
#: What an empty stream takes, with its group and consumers, and what the rest of the server may have grown by.
EMPTY, REST = 2_000, 8_000_000


@pytest.fixture
def alone() -> Iterator[Server]:
    """A server that nothing else has used."""
    with throwaway() as server:
        yield server


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("one_in", [0, 1000, 100])
def test_what_is_parked_is_all_that_is_kept(
    one_in: int, alone: Server, queue_name: str, tell: Callable[[str], None], *, is_long: bool
) -> None:
    """A node a parked task at most, however many others have been through; nothing when they have gone too."""
    flow = Flow(alone, queue_name, one_in)
    first = flow.moment().used
    with alone.client() as client:
        node = int(client.config_get("stream-node-max-bytes")["stream-node-max-bytes"]) + NODE
    for _ in range(LOOKS):
        flow.go((ALL if is_long else SOME) // LOOKS)
        now = flow.moment()
        if is_long:
            tell(f"one in {one_in}: {now}")
        assert now.parked == (-(-now.done // one_in) if one_in else 0)
        assert now.nodes <= now.parked
        assert now.stream <= EMPTY + now.parked * node
        assert now.beside <= EMPTY + now.parked * BESIDE
        assert now.used <= first + REST + now.parked * (node + BESIDE)
    while flow.run.purge("d", "-", flow.run.now_ms() + 1, "ana")[0]:
        pass
    then = flow.moment()
    flow.close()
    assert (then.parked, then.nodes, then.beside) == (0, 0, 0)
    assert then.stream <= EMPTY
    assert then.used <= first + REST


def test_what_is_parked_for_a_while_does_not_add_up(alone: Server, queue_name: str) -> None:
    """As many are parked all the time, others each time: what the stream keeps stays the same."""
    flow = Flow(alone, queue_name, 100, most=100)
    flow.go(SOME // 4)
    before = flow.moment()
    flow.go(SOME)
    after = flow.moment()
    flow.close()
    assert before.parked == after.parked == 100
    assert after.nodes <= after.parked
    assert after.stream <= before.stream * 1.1
