"""A repair changes nothing that is well, whatever it is told: each script looks again before it changes anything."""

from __future__ import annotations

import itertools

from streamq.doctor.finding import CHECKS
from streamq.keys import LETTERS, STREAMS
from tests.integration.doctor.conftest import Doctor
from tests.lua.state import state_of
from tests.seeds import Seed
from tests.workshop import Workshop


def healthy(seed: Seed) -> list[str]:
    """A queue with a task in every state, and their addresses."""
    waiting = [each for letter in LETTERS.values() for each in seed.send(1, letter)]
    scheduled = seed.send(1, "d;+3600000;;")
    seed.send(4, "h", key="k")
    held, crashed, parked, dead = seed.take("w1-a", 4)
    seed.send(1, "d;;;u", key="unique")
    seed.park("w1-a", parked, delay_ms=3_600_000)
    first = seed.bury("w1-a", dead)
    _, moved = seed.run.revive(first)
    seed.worker("w1-a")
    seed.worker("w2-b")
    for letter in STREAMS:
        seed.client.xgroup_createconsumer(seed.keys.stream(letter), "workers", "w2-b")
    return [*waiting, *scheduled, held.address, crashed.address, parked.address, first, moved]


def test_nothing_that_is_well_is_mended(shop: Workshop, seed: Seed) -> None:
    """Every fault that can be mended, told of every task, consumer, key and stream."""
    addresses = healthy(seed)
    zsets = [f"{kind}:{name}" for kind in ("retry", "scheduled", "again") for name in LETTERS]
    subjects = [
        *addresses,
        *(f"{zset} {address}" for zset, address in itertools.product(zsets, addresses)),
        *(
            "w1-a",
            "w2-b",
            "nobody-1",
            "~reap",
            "unique",
            "no-key",
            *STREAMS,
            "nonsense",
            "d1",
            "x1-1",
            "d99999999999999999999999-0",
        ),
    ]
    before = state_of(shop.link, shop.keys)
    for fault in (name for name, check in CHECKS.items() if check.mends and name != "permissions"):
        of = [each for each in subjects if _fits(fault, each)]
        assert of
        assert seed.run.mend(fault, of) == [], fault
    assert state_of(shop.link, shop.keys) == before


def _fits(fault: str, subject: str) -> bool:
    """Whether a survey could tell this subject of a fault: its form is the survey's."""
    if fault == "parked-without-entry":
        return " " in subject
    if fault == "leftover-consumers":
        return subject in {"w1-a", "w2-b", "~reap"}
    if fault == "missing-groups":
        return subject in STREAMS
    if fault in {"orphaned-entries", "pending-without-entry"}:
        return subject[0] in STREAMS and "-" in subject and " " not in subject and len(subject) < 25
    return " " not in subject


def test_a_repair_that_comes_twice_changes_nothing_more(shop: Workshop, seed: Seed, doctor: Doctor) -> None:
    """Whoever repairs at the same time finds it done."""
    seed.send(2)
    addresses = [task.address for task in seed.take("gone-1")]
    seed.client.xgroup_delconsumer(seed.keys["default"], "workers", "gone-1")
    assert len(seed.run.mend("orphaned-entries", [*addresses, *addresses])) == 2
    before = state_of(shop.link, shop.keys)
    assert seed.run.mend("orphaned-entries", addresses) == []
    assert state_of(shop.link, shop.keys) == before
    assert doctor().level("orphaned-entries") == "ok"
