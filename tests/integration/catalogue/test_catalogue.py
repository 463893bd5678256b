"""The catalogue in SQLite and in PostgreSQL: the same rows, the same fence, the same filters."""

from __future__ import annotations

import itertools
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

from streamq.errors import UsageError
from streamq.images.catalogue import COLUMNS, Catalogue
from tests.integration.catalogue.rows import row


def test_a_row_is_read_as_it_was_written(catalogue: Catalogue) -> None:
    """All columns; the fence is nobody's business."""
    large = row(bytes=2**40, output="processed/ä b'\".jpg")
    assert catalogue.record(large, (1, 0, 1))
    (found,) = catalogue.rows()
    assert found == large
    assert tuple(found) == COLUMNS


def test_two_queues_have_a_row_each_for_one_id(catalogue: Catalogue) -> None:
    """An id names a task within its queue only: two queues may give out the same one in the same millisecond."""
    for queue in ("a", "b"):
        assert catalogue.record(row(queue=queue, source=f"{queue}.jpg"), (1, 0, 1))
    assert [found["source"] for found in catalogue.rows(where={"queue": "a"})] == ["a.jpg"]
    assert len(list(catalogue.rows())) == 2


def test_a_later_run_wins_whatever_comes_first(catalogue: Catalogue) -> None:
    """By entry time, then by sequence, then by count: as numbers, 10 after 9."""
    fences = [(1, 0, 1), (1, 0, 9), (1, 0, 10), (1, 2, 1), (2, 0, 1)]
    for number, (first, second) in enumerate(itertools.permutations(fences, 2)):
        name = f"d{number}-0"
        assert catalogue.record(row(id=name, worker="first"), first)
        assert catalogue.record(row(id=name, worker="second"), second) == (second > first)
        (found,) = catalogue.rows(where={"id": name})
        assert found["worker"] == ("second" if second > first else "first")


def test_the_same_run_may_write_again(catalogue: Catalogue) -> None:
    """A task whose settling was lost is run by the same holder once more."""
    assert catalogue.record(row(), (1, 0, 1))
    assert catalogue.record(row(attempts=2), (1, 0, 1))
    assert [each["attempts"] for each in catalogue.rows()] == [2]


@pytest.fixture
def filled(catalogue: Catalogue) -> Catalogue:
    """Five rows, the newest last."""
    for number in range(5):
        changes: dict[str, Any] = {"id": f"d{number}-0", "source": f"photos/{number}_%.jpg", "finished_ms": 1000 + number}
        catalogue.record(row(**changes, width=100 * number, output=f"out/{number % 2}.jpg"), (number, 0, 1))
    return catalogue


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [4, 3, 2, 1, 0]),
        ({"limit": 2}, [4, 3]),
        ({"since": 1003}, [4, 3]),
        ({"source": "photos/3"}, [3]),
        ({"source": "_%"}, [4, 3, 2, 1, 0]),
        ({"source": "%_"}, []),
        ({"output": "/1.jpg"}, [3, 1]),
        ({"where": {"width": "200"}}, [2]),
        ({"where": {"width": 200, "worker": "worker2"}}, []),
        ({"where": {"output": "out/0.jpg"}, "limit": 1}, [4]),
    ],
)
def test_rows_are_found_newest_first(filled: Catalogue, filters: dict[str, Any], expected: list[int]) -> None:
    """By parts of source and output (no wildcards), by time, and by any field."""
    assert [each["id"] for each in filled.rows(**filters)] == [f"d{number}-0" for number in expected]


@pytest.mark.parametrize("where", [{"colour": "red"}, {"width": "wide"}, {"fence_ms": 1}])
def test_a_field_that_is_none_is_refused(catalogue: Catalogue, where: dict[str, Any]) -> None:
    """With the fields that there are."""
    with pytest.raises(UsageError):
        list(catalogue.rows(where=where))


def begin(url: str, number: int, together: Barrier) -> None:
    """A process that uses the catalogue at the same instant as all others."""
    own = Catalogue(url)
    together.wait()
    for each in range(5):
        assert own.record(row(id=f"d{number}-{each}"), (1, 0, 1))
    own.close()


def test_twenty_processes_begin_at_the_same_instant(url: str, catalogue: Catalogue) -> None:
    """One database, one table, every row."""
    forking = multiprocessing.get_context("fork")
    together = forking.Barrier(20)
    started = [forking.Process(target=begin, args=(url, number, together)) for number in range(20)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * 20
    assert len(list(catalogue.rows())) == 100


def test_threads_write_at_the_same_time(catalogue: Catalogue) -> None:
    """Every row is there, and of each task the latest run's."""
    runs = [(number % 50, number) for number in range(400)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda run: catalogue.record(row(id=f"d{run[0]}-0", attempts=run[1]), (1, 0, run[1])), runs))
    assert {each["id"]: each["attempts"] for each in catalogue.rows()} == {f"d{number}-0": 350 + number for number in range(50)}
