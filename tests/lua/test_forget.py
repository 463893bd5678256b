"""Settled entries leave their stream, and no other entry does: by XTRIM where they are the oldest of all, else by XDEL."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamq.keys import GROUP
from streamq.replies import Handed
from tests.lua.bench import Bench

#: What becomes of a task that was taken before others are settled: finished, still in work, in that of another worker, parked,
#: with the suspects, acknowledged by a stranger, removed by a stranger.
FATES = ("finished", "in work", "elsewhere", "parked", "suspect", "acknowledged", "removed")


def befall(bench: Bench, task: Handed, fate: str) -> None:
    """Let something become of a task that w1-a holds."""
    stream, entry = bench.keys["default"], task.address[1:]
    if fate == "elsewhere":
        bench.client.xclaim(stream, GROUP, "w2-b", 0, [entry], justid=True)
    elif fate in ("parked", "suspect"):
        bench.park("w1-a", task, kind="retry" if fate == "parked" else "alone", delay_ms=60_000)
    elif fate == "acknowledged":
        bench.client.xack(stream, GROUP, entry)
    elif fate == "removed":
        bench.client.xdel(stream, entry)


def taken(bench: Bench, many: int) -> list[Handed]:
    """So many tasks that w1-a holds."""
    bench.send(*"d" * many)
    return bench.take(want=many)


def entries(bench: Bench) -> set[str]:
    """The addresses of all that is in the stream."""
    return {name.removeprefix("default ") for name in bench.state if name.startswith("default ")}


def calls(bench: Bench) -> dict[str, int]:
    """How often entries were removed since this was asked last, one way and the other."""
    stats = bench.client.info("commandstats")
    bench.client.config_resetstat()
    return {name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("xtrim", "xdel")}


def is_lag_known(bench: Bench) -> bool:
    """Whether the server counts what waits: Redis 6.2 does not."""
    return "lag" in bench.client.xinfo_groups(bench.keys["default"])[0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fates=st.lists(st.sampled_from(FATES[1:]), max_size=3)
    .filter(lambda others: not {"acknowledged", "removed"} <= {*others})  # a stranger who does both can deceive the sum
    .flatmap(lambda others: st.lists(st.sampled_from((*["finished"] * 9, *others)), min_size=17, max_size=60)),
    waiting=st.lists(st.booleans(), max_size=6),
    random=st.randoms(use_true_random=False),
)
def test_what_is_settled_leaves_and_nothing_else(bench: Bench, fates: list[str], waiting: Sequence[bool], random: object) -> None:
    """In any order, whatever else stands between them, and whatever a stranger did to the stream."""
    bench.client.flushall()
    bench.run.open()
    tasks = taken(bench, len(fates))
    younger = bench.send(*"d" * len(waiting)) if waiting else []
    for address, is_cancelled in zip(younger, waiting, strict=True):
        if is_cancelled:
            bench.client.xdel(bench.keys["default"], address[1:])
    for task, fate in zip(tasks, fates, strict=True):
        befall(bench, task, fate)
    finished = [task for task, fate in zip(tasks, fates, strict=True) if fate == "finished"]
    random.shuffle(finished)  # type: ignore[attr-defined]
    before = entries(bench)
    assert bench.settle("w1-a", *finished) == []
    assert entries(bench) == before - {task.address for task in finished}


def test_the_oldest_of_all_are_trimmed(bench: Bench) -> None:
    """Others wait behind them, are in work behind them, or nothing is left."""
    tasks = taken(bench, 60)
    bench.send("d")
    calls(bench)
    for at in (0, 20, 40):
        assert bench.settle("w1-a", *tasks[at : at + 20]) == []
    assert calls(bench) == ({"xtrim": 3, "xdel": 0} if is_lag_known(bench) else {"xtrim": 0, "xdel": 3})
    assert len(entries(bench)) == 1


def test_those_behind_one_in_work_are_deleted(bench: Bench) -> None:
    """Twenty are older than it, twenty are younger."""
    tasks = taken(bench, 41)
    calls(bench)
    assert bench.settle("w1-a", *tasks[:20], *tasks[21:]) == []
    assert calls(bench) == {"xtrim": int(is_lag_known(bench)), "xdel": 1}
    assert entries(bench) == {tasks[20].address}


def test_a_few_are_deleted(bench: Bench) -> None:
    """To make certain that nothing else is older would cost more."""
    tasks = taken(bench, 15)
    calls(bench)
    assert bench.settle("w1-a", *tasks) == []
    assert calls(bench) == {"xtrim": 0, "xdel": 1}


def test_beside_a_group_of_somebody_else(bench: Bench) -> None:
    """It has read nothing, and holds nothing up."""
    bench.client.xgroup_create(bench.keys["default"], "another", "0")
    tasks = taken(bench, 20)
    calls(bench)
    assert bench.settle("w1-a", *tasks) == []
    assert calls(bench) == ({"xtrim": 1, "xdel": 0} if is_lag_known(bench) else {"xtrim": 0, "xdel": 1})
    assert entries(bench) == set()


def test_without_the_rights_they_are_deleted(bench: Bench) -> None:
    """A server that lets a worker neither ask nor trim: nothing is left half done."""
    for missing in ("xtrim", "xinfo"):
        tasks = taken(bench, 20)
        bench.client.acl_setuser("default", enabled=True, commands=[f"-{missing}"])
        try:
            assert bench.settle("w1-a", *tasks) == []
        finally:
            bench.client.acl_setuser("default", enabled=True, commands=[f"+{missing}"])
        assert entries(bench) == set()
