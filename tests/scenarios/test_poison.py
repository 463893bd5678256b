"""Tasks that kill their process, among ordinary ones: the guilty end in the dead letters at their limit, the innocent finish."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import cycle, islice

import pytest

from tests.conftest import wait_until
from tests.workshop import Workshop

#: How they end their process; `memory` only fails, and is bounded in the same way.
POISON = ["kill", "segv", "0", "memory", "3"]
LIMIT = 4


@pytest.mark.timeout(1800)
def test_poison_is_bounded_and_its_neighbours_do_not_pay(
    shop: Workshop,
    tell: Callable[[str], None],
    is_long: bool,  # noqa: FBT001
) -> None:
    """Each poison task starts exactly as often as its limit allows; suspects run alone, so nobody else dies of it.

    Long: fifty among five thousand on eight slots, while workers are killed.
    """
    innocents, many, kills = (5000, 50, 6) if is_long else (300, 5, 0)
    guilty: dict[str, tuple[int, str]] = {}
    for n, how in enumerate(islice(cycle(POISON), many)):
        [task] = shop.send("die", {"n": 10_000 + n, "how": how}, max_deliveries=LIMIT)
        guilty[task] = (10_000 + n, how)
        shop.send_numbered("work", range(n * innocents // many, (n + 1) * innocents // many), ms=5)
    began = time.monotonic()
    workers = {name: shop.start(name, processes=2, slots=2) for name in ("w1", "w2")}
    for kill in range(kills):
        done = (kill + 1) * innocents // (kills + 2)
        wait_until(lambda done=done: len(shop.lines("end")) >= done, f"{done} have run\n{shop.logs}", 600)  # type: ignore[misc]
        name = ("w1", "w2")[kill % 2]
        workers[name].kill()
        workers[name] = shop.start(name, processes=2, slots=2)
    figures = shop.settled(900)
    tell(f"{many} poison among {innocents} tasks, {kills} workers killed: {time.monotonic() - began:.0f} s")
    assert (figures.finished_total, figures.dead_total) == (innocents, many), shop.logs
    letters = shop.dead
    assert letters.keys() == guilty.keys()
    for task, (n, how) in guilty.items():
        starts, letter = len(shop.lines("start", n)), letters[task]
        # A worker that is killed between the start and the line of the ledger has started it, and nobody sees that here.
        assert starts == LIMIT or (kills and starts == LIMIT - 1), (how, starts, letter)
        assert letter["deliveries"] == len(letter["attempts"]) == LIMIT
        # What fails without a crash is not alone at its last start, and may share the end of a process with what kills it.
        assert letter["reason"] == ("error" if "MemoryError" in letter["attempts"][-1]["error"] else "deliveries")
    assert shop.count("end").keys() == set(range(innocents))
    killers = {n for n, how in guilty.values() if how != "memory"}
    alone = {line.pid for line in shop.lines("start") if line.n in killers and line.delivery > 2}
    assert not alone & {line.pid for line in shop.lines("start") if line.delivery == 1}


@pytest.mark.parametrize("limit", [2, 3])
def test_an_innocent_with_few_deliveries_does_not_pay_for_its_neighbours(shop: Workshop, limit: int) -> None:
    """Its last delivery is its own: after a crash beside others it runs alone."""
    worker = shop.start("w1", slots=4)
    [innocent] = shop.send("hold", {"n": 1}, max_deliveries=limit)
    shop.happened("start", 1)
    [poison] = shop.send("die", {"n": 2, "how": "kill"}, max_deliveries=limit)
    # A process that is killed between a start and its line in the ledger has started it, and nobody sees that here.
    [last] = wait_until(
        lambda: [line for line in shop.lines("start", 1) if line.delivery == limit], lambda: f"its last start\n{shop.logs}", 60
    )
    shop.open()
    figures = shop.settled()
    assert (figures.finished_total, figures.dead_total) == (1, 1), worker.log
    assert shop.dead.keys() == {poison}
    assert shop.count("start")[1] <= limit
    assert shop.count("start")[2] <= limit
    assert [line.n for line in shop.lines("start") if line.pid == last.pid and line.n != 1 and line.at < last.at] == []
    assert shop.locate(innocent)["deliveries"] == limit


@pytest.mark.timeout(1800)
def test_a_fleet_that_is_killed_twice_with_all_in_flight_goes_on(
    shop: Workshop,
    tell: Callable[[str], None],
    is_long: bool,  # noqa: FBT001
) -> None:
    """Everything that ran both times is suspect then, and runs alone, one after another; nothing is lost, nobody is dead."""
    tasks, slots = (1000, 150) if is_long else (80, 12)
    ids = shop.send_numbered("linger", range(tasks), times=2)
    for died in range(2):
        fleet = [shop.start(f"w{i}", processes=2, slots=slots) for i in range(4)]
        wait_until(lambda died=died: len(shop.lines("start")) >= (died + 1) * tasks, f"all run\n{shop.logs}", 120)  # type: ignore[misc]
        for worker in fleet:
            worker.kill()
    began = time.monotonic()
    for i in range(4):
        shop.start(f"w{i}", processes=2, slots=slots)
    figures = shop.settled(600)
    tell(f"{tasks} suspects of a fleet that was killed twice ran in {time.monotonic() - began:.1f} s")
    assert (figures.finished_total, figures.dead_total, figures.failed_total) == (tasks, 0, 2 * tasks)
    assert shop.count("start") == dict.fromkeys(range(tasks), 3)
    assert shop.count("end") == dict.fromkeys(range(tasks), 1)
    some = random.Random(tasks).sample(ids, 5)  # noqa: S311
    assert [len(shop.locate(each)["attempts"]) for each in some] == [2] * 5
