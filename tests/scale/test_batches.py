"""What has more to do than one call may do comes back for the rest, and leaves nothing out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamq import held, listing, walk
from streamq.keys import GROUP
from streamq.transitions import SWEEP_MOST
from streamq.worker.drain import LOOKED, Drain
from tests.lua.bench import Bench
from tests.lua.servers import Server
from tests.scale.cases import HOUR, parked, taken

LEASE, PERIOD = 30_000, 900


@pytest.fixture
def bench(depth_server: Server, queue_name: str) -> Iterator[Bench]:
    """A fresh queue whose fleet has been beating for long."""
    bench = Bench(depth_server, queue_name)
    bench.run.beat(LEASE, "run", 600_000, [("w0-z", b"{}", "")])
    bench.client.hset(bench.keys["control"], "hold", 0)
    yield bench
    bench.close()


def lose(bench: Bench, *consumers: str) -> None:
    """Let the heartbeats of consumers have expired."""
    bench.run.beat(LEASE, "run", 600_000, [(name, b"{}", "") for name in consumers])
    bench.client.zadd(bench.keys["workers"], dict.fromkeys(consumers, 1))
    bench.client.hset(bench.keys["control"], "hold", 0)


def test_a_sweep_recovers_a_batch_and_the_next_one_follows_at_once(bench: Bench) -> None:
    """Whole hosts may be lost: however many consumers of however many tasks, one script recovers a batch of them."""
    consumers = [f"w{number}-a" for number in range(3)]
    for name in consumers:
        taken(bench, name, SWEEP_MOST * 3 // 4)
    lose(bench, *consumers)
    assert [bench.run.sweep(LEASE, PERIOD).reaped for _ in range(4)] == [SWEEP_MOST, SWEEP_MOST, SWEEP_MOST // 4, 0]
    assert set(bench.run.fleet()) == {"w0-z"}
    assert bench.client.zcard(bench.keys["retry:default"]) == SWEEP_MOST * 9 // 4


def test_a_sweep_that_has_come_to_its_end_is_the_only_one_of_its_period(bench: Bench) -> None:
    """What is lost right behind it is found by the one of the next period."""
    taken(bench, "w1-a", SWEEP_MOST - 1)
    lose(bench, "w1-a")
    assert bench.run.sweep(LEASE, PERIOD * 1000).reaped == SWEEP_MOST - 1
    taken(bench, "w2-a", 1)
    lose(bench, "w2-a")
    assert bench.run.sweep(LEASE, PERIOD * 1000).reaped == 0


def test_leases_and_heartbeats_share_a_batch(bench: Bench) -> None:
    """Whatever the reason is that a task is lost."""
    taken(bench, "w1-a", SWEEP_MOST // 2)
    for task in taken(bench, "w2-a", SWEEP_MOST):
        bench.idle("w2-a", task, HOUR)
    lose(bench, "w1-a")
    assert [bench.run.sweep(LEASE, PERIOD).reaped for _ in range(3)] == [SWEEP_MOST, SWEEP_MOST // 2, 0]


def test_a_drain_looks_at_all_that_is_parked_before_it_gives_up(bench: Bench) -> None:
    """More tasks that no worker knows than are looked at first; one that is known, due later than all of them, is waited for."""
    parked(bench, "w1-a", LOOKED + 250, kind="unknown")
    [known] = parked(bench, "w1-a", 1, delay_ms=2 * HOUR)
    drain = Drain(bench.run, 30.0)
    assert not drain.is_over()
    bench.run.cancel(known.address, "ana")
    drain = Drain(bench.run, 30.0)
    assert drain.is_over()
    assert drain.exit_status == 1


def purged(bench: Bench, letter: str, batch: int) -> list[int]:
    """How many each batch of a purge removed."""
    bench.pass_time(1)
    counts, after = [], "-"
    while after:
        n, after = bench.run.purge(letter, after, bench.run.now_ms(), "ana", batch)
        counts.append(n)
    return counts


def test_a_purge_passes_over_what_is_held(bench: Bench) -> None:
    """Waiting and parked tasks go, running ones stay; what stands in a pending list without its entry hides none of them."""
    waits = parked(bench, "w1-a", 5)
    running = taken(bench, "w1-a", 5)
    for task in taken(bench, "w1-a", 3):
        bench.client.xdel(bench.keys["default"], task.address[1:])
    more = taken(bench, "w1-a", 4)
    bench.send(*"d" * 6)
    assert purged(bench, "d", 6) == [5, 0, 4, 2]
    state = bench.state
    left = [name for name in state if name.startswith("default ")]
    assert left == [f"default {each.address}" for each in (*running, *more)]
    assert not {name.rpartition(" ")[2] for name in state} & {task.address for task in waits}
    assert state["stats purged"] == 11


def test_a_purge_of_scheduled_tasks_finds_each_in_its_set(bench: Bench) -> None:
    """Of whatever priority, and those of which a stranger wrote none."""
    bench.send(*[f"{letter};+{HOUR};;" for letter in "hdl"] * 3)
    bench.client.xadd(bench.keys["later"], {"task": "image", "args": "{}"})
    assert purged(bench, "s", 4) == [4, 4, 2]
    assert not [name for name in bench.state if name.startswith(("scheduled", "later"))]


def test_waiting_tasks_are_listed_from_where_they_begin(bench: Bench) -> None:
    """Behind what is parked and what runs, from a time on where one is given; at the first entry where the group was remade."""
    parked(bench, "w1-a", walk.PAGE)
    taken(bench, "w1-a", 5)
    ids = bench.send("d", "d")
    bench.pass_time(2)
    late = bench.send("d")
    wanted = listing.Wanted(("waiting",))
    assert [each.id for each in listing.Tasks(bench.run, wanted)] == ids + late
    since = int(late[0][1:].partition("-")[0])
    assert [each.id for each in listing.Tasks(bench.run, listing.Wanted(("waiting",), since_ms=since))] == late
    bench.destroy_group()
    bench.run.open()
    assert [each.id for each in listing.Tasks(bench.run, wanted)][-3:] == ids + late
    bench.client.xgroup_destroy(bench.keys["default"], GROUP)
    assert [each.id for each in listing.Tasks(bench.run, wanted)][-3:] == ids + late


def test_addresses_that_are_due_at_the_same_time_are_all_told(bench: Bench) -> None:
    """Pages go by the due time, and many tasks share one."""
    tasks = parked(bench, "w1-a", 500)
    addresses = [each.address for each in tasks]
    bench.client.zadd(bench.keys["retry:default"], dict.fromkeys(addresses[50:450], 2_000_000_000_000))
    told = [address for page in held.addresses(bench.run) for address in page]
    assert sorted(told) == sorted(addresses)
