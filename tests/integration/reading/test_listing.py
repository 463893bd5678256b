"""Lists of tasks: every state, each task once, filters, and pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamq import listing, walk
from streamq.browse import Record, State
from streamq.listing import Wanted
from tests.seeds import Seed


def ids(seed: Seed, wanted: Wanted | None = None) -> dict[str, str]:
    """Id and state of what is listed, in order."""
    return {record.id: record.state for record in listing.Tasks(seed.run, wanted or Wanted())}


@pytest.fixture
def mixed(seed: Seed) -> dict[State, str]:
    """A task in each state."""
    [dead] = seed.dead(task="mail")
    [expired] = seed.dead(1, "expired")
    [finished] = seed.send(priority="x")
    seed.finish("w1-a", seed.take("w1-a", 1))
    [cancelled] = seed.send()
    seed.run.cancel(cancelled, "me")
    [retrying] = seed.send(1, args='{"source": "b.jpg", "steps": [{"width": 20}]}')
    seed.park("w1-a", seed.take("w1-a", 1)[0], delay_ms=60_000)
    [running] = seed.send(1, "l")
    seed.take("w1-a", 1)
    [waiting] = seed.send(1, "h", args='{"source": "c.jpg", "deep": true}')
    [scheduled] = seed.send(1, "d;+60000;;")
    return {
        "running": running,
        "retrying": retrying,
        "waiting": waiting,
        "scheduled": scheduled,
        "expired": expired,
        "dead": dead,
        "cancelled": cancelled,
        "finished": finished,
    }


def test_every_task_is_listed_once(seed: Seed, mixed: dict[State, str]) -> None:
    """Those that have not ended first, then dead ones, then the latest that ended otherwise."""
    listed = ids(seed)
    assert listed == {task_id: state for state, task_id in mixed.items()}
    assert list(listed) == list(mixed.values())


def test_states_can_be_asked_for(seed: Seed, mixed: dict[State, str]) -> None:
    """One state, or several."""
    for state, task_id in mixed.items():
        assert ids(seed, Wanted((state,))) == {task_id: state}
    assert list(ids(seed, Wanted(("finished", "waiting")))) == [mixed["waiting"], mixed["finished"]]


@pytest.mark.parametrize(
    ("wanted", "states"),
    [
        (Wanted(task="ma*"), ["dead"]),
        (Wanted(where=(("source", "c.jpg"),)), ["waiting"]),
        (Wanted(where=(("source", "?.jpg"), ("deep", "true"))), ["waiting"]),
        (Wanted(where=(("steps.0.width", "20"),)), ["retrying"]),
        (Wanted(where=(("worker", "w1"), ("state", "running"))), ["running"]),
        (Wanted(where=(("nothing", "*"),)), []),
        (Wanted(where=(("steps.1.width", "*"),)), []),
    ],
)
def test_conditions(seed: Seed, mixed: dict[State, str], wanted: Wanted, states: list[State]) -> None:
    """By name and by arguments, inside them too, and by fields of the listing."""
    assert list(ids(seed, wanted)) == [mixed[state] for state in states]


def test_since_means_the_end_or_else_the_sending(seed: Seed) -> None:
    """A task that was sent before and ended after counts as one of that time."""
    early, late = seed.send(2)
    seed.run.cancel(late, "me")
    [cancelled] = listing.Tasks(seed.run, Wanted(("cancelled",)))
    assert cancelled.ended_ms is not None
    assert list(ids(seed, Wanted(since_ms=cancelled.ended_ms + 1))) == []
    sent_ms = int(early[1:].partition("-")[0])
    assert list(ids(seed, Wanted(since_ms=sent_ms))) == [early, late]


def test_a_long_list_is_read_in_pages(seed: Seed) -> None:
    """More than two pages of each kind, and nothing is missing or twice."""
    many = 2 * walk.PAGE + 7
    held = seed.send(many)
    assert len(seed.take("w1-a", many)) == many
    scheduled = seed.send(many, "h;+60000;;") + seed.send(3, "l;+1;;")
    waiting = seed.send(many)
    listed = ids(seed)
    assert sorted(listed) == sorted(held + scheduled + waiting)
    assert list(listed.values()).count("running") == many
    assert list(ids(seed, Wanted(("scheduled",))))[:3] == scheduled[-3:]


def test_a_list_reads_no_more_than_is_asked_for(seed: Seed) -> None:
    """The first task of a long list costs one page."""
    seed.send(1000, "h")
    seed.client.config_resetstat()
    next(listing.Tasks(seed.run, Wanted(("waiting",))))
    calls = seed.client.info("commandstats")
    assert calls["cmdstat_xrange"]["calls"] == 1


def test_rows_of_the_catalogue_tell_more_and_last_longer(seed: Seed) -> None:
    """A row fills in its line of history; without one it is listed by itself, unless the task has not ended after all."""
    [finished, running] = seed.send(2)
    seed.finish("w1-a", seed.take("w1-a", 1))
    seed.take("w1-a", 1)
    [line] = listing.Tasks(seed.run, Wanted(("finished",)))
    row = {"state": "finished", "task": "image", "ended_ms": (line.ended_ms or 0) - 5}

    def rows() -> Iterator[Record]:
        yield Record(id=finished, args={"source": "a.jpg"}, **row)  # type: ignore[arg-type]
        yield Record(id=running, **row)  # type: ignore[arg-type]
        yield Record(id="d5-5", task="image", state="finished", ended_ms=7)

    listed = list(listing.Tasks(seed.run, Wanted(("finished",)), rows))
    assert [(record.id, record.args, record.ended_ms) for record in listed] == [
        (finished, {"source": "a.jpg"}, line.ended_ms),
        ("d5-5", None, 7),
    ]


def test_a_revived_task_is_listed_under_its_first_id(seed: Seed) -> None:
    """Its entry stands elsewhere; a stranger's field `id` is believed nowhere."""
    [task_id] = seed.dead()
    seed.run.revive(task_id)
    entry = seed.link.call("XADD", seed.keys["default"], "*", "task", "image", "args", "{}", "id", "d7-7").decode()
    assert ids(seed) == {task_id: "waiting", f"d{entry}": "waiting"}
