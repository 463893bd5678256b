"""A list looks at no more than it may, and goes on where another has ended, in any state and in the middle of any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamq import walk
from streamq.browse import Record
from streamq.errors import UsageError
from streamq.keys import LETTERS
from streamq.listing import STATES, Tasks, Wanted
from tests.seeds import Seed


@pytest.fixture
def many(seed: Seed) -> list[Record]:
    """Seven rows of the catalogue, newest first, beside several tasks in each state."""
    seed.dead(5)
    seed.dead(2, "expired")
    done = seed.send(12)
    seed.finish("w1-a", seed.take("w1-a", 12)[:9])
    for letter in LETTERS.values():
        seed.send(4, letter)
    for task in seed.take("w1-b", 12):
        seed.park("w1-b", task, "retry" if task.address[-1] in "13579" else "release", delay_ms=0)
    for letter in LETTERS.values():
        seed.send(3, letter)
        seed.send(3, f"{letter};+60000;;")
    for task_id in seed.send(4, "l"):
        seed.run.cancel(task_id, "me")
    seed.send(3, "h")
    for task in seed.take("w1-c", 3):
        seed.park("w1-c", task, delay_ms=60_000)
    seed.take("w1-d", 2)
    rows = {"state": "finished", "task": "image"}
    lines = [Record(id=each, ended_ms=seed.now() - 5, **rows) for each in done[:3]]  # type: ignore[arg-type]
    return lines + [Record(id=f"d{n}-7", ended_ms=10 - n // 2, **rows) for n in range(1, 5)]  # type: ignore[arg-type]


def pages(seed: Seed, wanted: Wanted, rows: list[Record], look: int) -> Iterator[list[str]]:
    """The ids of each page."""
    after = ""
    while True:
        page = Tasks(seed.run, wanted, lambda: rows, look=look, after=after)
        yield [record.id for record in page]
        assert page.looked <= look
        if not page.is_cut:
            return
        after = page.place


@pytest.mark.parametrize("look", [1, 2, 7, 1000])
def test_pages_are_the_whole_list(seed: Seed, many: list[Record], look: int) -> None:
    """Whatever is looked at in one go: in the same order, nothing missing and nothing twice."""
    whole = [record.id for record in Tasks(seed.run, Wanted(), lambda: many)]
    assert len(whole) == 60
    assert [task_id for page in pages(seed, Wanted(), many, look) for task_id in page] == whole


@pytest.mark.parametrize("state", STATES)
def test_pages_of_a_state(seed: Seed, many: list[Record], state: str) -> None:
    """Of each one alone too."""
    wanted = Wanted((state,))  # type: ignore[arg-type]
    whole = [record.id for record in Tasks(seed.run, wanted, lambda: many)]
    assert whole
    assert [task_id for page in pages(seed, wanted, many, 2) for task_id in page] == whole


def test_a_list_goes_on_behind_what_came_and_went(seed: Seed) -> None:
    """What stood at the place may have ended meanwhile."""
    ids = seed.send(6)
    page = Tasks(seed.run, Wanted(), look=3)
    assert [record.id for record in page] == ids[:3]
    for task_id in ids[1:4]:
        seed.run.cancel(task_id, "me")
    late = seed.send()
    wanted = Wanted(("running", "waiting"))
    assert [record.id for record in Tasks(seed.run, wanted, after=page.place)] == [*ids[4:], *late]


def test_a_name_that_nobody_has_costs_a_bounded_look(seed: Seed) -> None:
    """However many others there are."""
    seed.send(5 * walk.PAGE, "h")
    seed.client.config_resetstat()
    page = Tasks(seed.run, Wanted(task="nosuch"), look=walk.PAGE)
    assert list(page) == []
    assert (page.is_cut, page.looked) == (True, walk.PAGE)
    assert seed.client.info("commandstats")["cmdstat_xrange"]["calls"] == 1


@pytest.mark.parametrize(
    "place",
    ["x", "waiting", "waiting:", "waiting:s1-1", "nowhere:d1-1", "retrying:d1-1", "ended:x1+1", "dead:1-1;", "running:d1"],
)
def test_what_is_no_place_is_refused(seed: Seed, place: str) -> None:
    """With where to get one."""
    with pytest.raises(UsageError, match="is no place in a list of tasks"):
        next(Tasks(seed.run, Wanted(), after=place))
