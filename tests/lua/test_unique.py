"""Unique keys: one living task a key; whatever ends the task frees its key, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lua.bench import Bench


def settle(bench: Bench, address: str) -> None:
    """Finish the only task."""
    [task] = bench.take()
    bench.run.settle("w1-a", "w1", 1, "x", "", [(task.address, task.count)], [1, address, "k", ""])


def bury(bench: Bench, address: str) -> None:
    """Bury the only task."""
    assert bench.bury("w1-a", bench.take()[0])


def cancel(bench: Bench, address: str) -> None:
    """Cancel it."""
    assert bench.run.cancel(address, "ana") == "cancelled"


def purge(bench: Bench, address: str) -> None:
    """Purge the queue."""
    assert bench.run.purge("d", "-", 2**53, "ana")[0] == 1


ENDINGS = [settle, bury, cancel, purge]


def test_a_key_is_held_by_one_task(bench: Bench) -> None:
    """The second send is answered with the first task's id, in the same call and in later ones, and uses no room."""
    [first, second] = bench.send("d;;;u", "d;+1000;;u", key="k")
    assert second == "=" + first
    assert bench.send("h;;;u", key="k") == ["=" + first]
    assert bench.send("h;;;u", "h;;;", bound=2, key="k")[0] == "=" + first
    assert bench.state["unique k"] == first


def test_a_full_queue_still_gives_the_holder(bench: Bench) -> None:
    """Joining a task needs no room; what comes behind it, and would need some, is not taken."""
    unique, other = (("d;;;u", "task", "image", "key", key, "args", "{}") for key in ("k", "other"))
    _, [holder] = bench.add("lane", 1, 1, [unique])
    assert bench.add("lane", 2, 1, [unique, unique, other, unique]) == (False, [f"={holder}", f"={holder}"])


def test_a_key_without_u_is_only_a_field(bench: Bench) -> None:
    """Without the flag nothing is unique."""
    assert len(bench.send("d", "d;;;", key="k")) == 2
    assert "unique k" not in bench.state


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ending_frees_the_key(bench: Bench, ending: Callable[[Bench, str], None]) -> None:
    """Whatever ends the task."""
    [first] = bench.send("d;;;u", key="k")
    ending(bench, first)
    assert "unique k" not in bench.state
    assert bench.send("d;;;u", key="k")[0][0] == "d"


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ending_of_another_task_leaves_the_key(bench: Bench, ending: Callable[[Bench, str], None]) -> None:
    """A task with the same field `key` that does not hold it."""
    [holder] = bench.send("h;;;u", key="k")
    [other] = bench.send("d", key="k")
    bench.run.take("w9-z", 1, 0, "h")
    ending(bench, other)
    assert bench.state["unique k"] == holder


def test_parking_and_reaping_keep_the_key(bench: Bench) -> None:
    """A task that goes on living goes on holding."""
    [first] = bench.send("d;;;u", key="k")
    bench.park("w1-a", bench.take()[0])
    bench.take()
    bench.run.reap("w1-a", "killed")
    assert bench.send("d;;;u", key="k") == ["=" + first]


def test_a_revived_task_takes_its_key_again(bench: Bench) -> None:
    """And holds it by its first id, until it ends at its new address."""
    [first] = bench.send("d;;;u", key="k")
    bury(bench, first)
    assert bench.run.revive(first)[0] == "ok"
    assert bench.state["unique k"] == first
    assert bench.send("d;;;u", key="k") == ["=" + first]
    settle(bench, first)
    assert "unique k" not in bench.state


def test_a_revived_task_whose_key_is_taken_stays_dead(bench: Bench) -> None:
    """The answer names the holder; nothing changes."""
    [first] = bench.send("d;;;u", key="k")
    bury(bench, first)
    [second] = bench.send("d;;;u", key="k")
    with bench.changing() as changed:
        assert bench.run.revive(first) == ("taken", second)
    assert changed == {}


def test_a_key_whose_task_has_vanished_is_free(bench: Bench) -> None:
    """Sequence: unique, XDEL behind our back (or the stream deleted), unique again: accepted, instead of refused for ever."""
    [first] = bench.send("d;;;u", key="k")
    bench.client.xdel(bench.keys["default"], first[1:])
    [second] = bench.send("d;;;u", key="k")
    assert bench.state["unique k"] == second
    [task] = bench.take()
    bench.bury("w1-a", task)
    [third] = bench.send("d;;;u", key="k")
    bench.client.delete(bench.keys["default"])
    assert bench.run.revive(second)[0] == "ok"
    assert bench.state["unique k"] == second != third


def test_a_revived_holder_is_found_where_it_stands_now(bench: Bench) -> None:
    """Its first address is gone, its present one is in `moved`: the key is not free."""
    [first] = bench.send("d;;;u", key="k")
    bury(bench, first)
    bench.run.revive(first)
    assert bench.send("d;;;u", key="k") == ["=" + first]
