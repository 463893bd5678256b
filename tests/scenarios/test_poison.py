"""Tasks that kill their process, among ordinary ones: the guilty end in the dead letters at their limit, the innocent finish."""

from __future__ import annotations

import pytest

from tests.workshop import Workshop

POISON = ["kill", "segv", "0", "memory", "3"]


@pytest.mark.timeout(600)
def test_poison_is_bounded_and_its_neighbours_do_not_pay(shop: Workshop, is_long: bool) -> None:  # noqa: FBT001
    """Each poison task starts exactly as often as its limit allows; suspects run alone, so nobody else dies of it."""
    innocents, poison = (1000, POISON * 2) if is_long else (300, POISON[:4])
    guilty: dict[str, tuple[int, str]] = {}
    every = innocents // len(poison)
    for n in range(innocents):
        if n % every == 0 and len(guilty) < len(poison):
            how = poison[len(guilty)]
            [task] = shop.send("die", {"n": 10_000 + n, "how": how}, max_deliveries=4)
            guilty[task] = (10_000 + n, how)
        shop.send("work", {"n": n, "ms": 5})
    worker = shop.start("w1", processes=2, slots=4)
    figures = shop.settled(300)
    assert (figures.finished_total, figures.dead_total) == (innocents, len(poison)), worker.log
    letters = shop.dead
    assert letters.keys() == guilty.keys()
    for task, (n, how) in guilty.items():
        starts = len(shop.lines("start", n))
        # One that only fails may be beside a killer just when its failure is to be settled: that attempt is forgiven.
        assert starts == 4 or (how == "memory" and starts > 4), (how, starts, worker.log)
        assert letters[task]["deliveries"] == len(letters[task]["attempts"]) == 4
        assert letters[task]["reason"] == ("error" if how == "memory" else "deliveries")
    assert shop.count("end").keys() == set(range(innocents))
    killers = {n for n, how in guilty.values() if how != "memory"}
    alone = {line.pid for line in shop.lines("start") if line.n in killers and line.delivery > 2}
    assert not alone & {line.pid for line in shop.lines("start") if line.delivery == 1}
