"""Whether a task that was handed out starts here: for every kind of entry a run, a wait, or a burial with its reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.config import load
from streamq.registry import Registry
from streamq.replies import Handed
from streamq.transitions import Bury, Park
from streamq.worker.judge import UNKNOWN_FIRST_MS, UNKNOWN_MOST_MS, Judge
from streamq.worker.run import Run

SENT = 1_764_000_000_000
ADDRESS = f"d{SENT}-0"
DAY = 86_400_000

registry = Registry()


@registry.task
def plain(n: int) -> None:
    """A task that says nothing of itself."""


@registry.task(max_deliveries=2, timeout=3)
def strict(n: int) -> None:
    """A task with a limit of its own."""


#: Of a worker that knows these two tasks and tries each five times.
JUDGE = Judge(registry, load(cwd="/", environ={}))


def judged(handed: Handed, now_ms: int) -> Run | Park | Bury:
    """What becomes of a task that came just now."""
    return JUDGE(handed, now_ms, asked=1.0, taken=2.0)


def handed(task: str = "plain", *, count: int = 1, forgiven: int = 0, unknown_ms: int = 0, **fields: str | int) -> Handed:
    """A task as it was handed out."""
    entry = {"task": task, "args": '{"n": 1}', **fields}
    flat = [str(text).encode() for pair in entry.items() for text in pair]
    return Handed(ADDRESS, count, forgiven, 0, unknown_ms, flat)


def test_an_ordinary_task_starts() -> None:
    """With its fence, its limits and how long it waited."""
    run = judged(handed(), SENT + 40)
    assert isinstance(run, Run)
    assert (run.address, run.count, run.deliveries, run.limit, run.timeout_ms, run.wait_ms) == (ADDRESS, 1, 1, 5, 0, 40)


@pytest.mark.parametrize(
    ("task", "fields", "limit", "timeout_ms"),
    [
        ("plain", {"max": 7, "timeout": 100}, 7, 100),
        ("strict", {}, 2, 3000),
        ("strict", {"max": 7, "timeout": 100}, 7, 100),
    ],
)
def test_the_entry_goes_before_the_task_before_the_configuration(
    task: str, fields: dict[str, int], limit: int, timeout_ms: int
) -> None:
    """For the limit of deliveries and for the limit of time."""
    run = judged(handed(task, **fields), SENT)
    assert isinstance(run, Run)
    assert (run.limit, run.timeout_ms) == (limit, timeout_ms)


@given(count=st.integers(1, 100), forgiven=st.integers(0, 100), limit=st.integers(1, 50))
def test_a_task_starts_exactly_as_often_as_its_limit_says(count: int, forgiven: int, limit: int) -> None:
    """What was forgiven does not count; nor do hand-outs that only bury, of which a killed worker may have left some behind."""
    verdict = judged(handed(count=count + forgiven, forgiven=forgiven, max=limit), SENT)
    if count <= limit:
        assert isinstance(verdict, Run)
        assert verdict.deliveries == count
    else:
        assert isinstance(verdict, Bury)
        assert (verdict.reason, verdict.not_started, verdict.failed) == ("deliveries", count - limit, False)
        assert f"started {limit} time" in verdict.error


def test_expiry_is_the_first_moment_at_which_it_is_too_late() -> None:
    """A task that expires now is not started any more, whatever else is true of it."""
    assert isinstance(judged(handed(expires=SENT + 1), SENT), Run)
    for task, expires, late in (("plain", SENT, "0.0"), ("nobodys", SENT - 1500, "1.5")):
        verdict = judged(handed(task, expires=expires), SENT)
        assert isinstance(verdict, Bury)
        assert (verdict.reason, verdict.error) == ("expired", f"expired {late} s before a worker was free")


@given(forgiven=st.integers(0, 10_000))
def test_an_unknown_task_waits_longer_each_time_up_to_a_bound(forgiven: int) -> None:
    """However often it has been put off."""
    verdict = judged(handed("nobodys", count=forgiven + 1, forgiven=forgiven), SENT)
    assert isinstance(verdict, Park)
    assert (verdict.kind, verdict.count, verdict.attempt) == ("unknown", forgiven + 1, b"")
    assert verdict.delay_ms == min(UNKNOWN_FIRST_MS * 2**forgiven, UNKNOWN_MOST_MS)


def test_an_unknown_task_is_given_up_after_the_limit_of_time() -> None:
    """Counted from when it was first found to be unknown, not from when it was sent."""
    assert isinstance(judged(handed("nobodys"), SENT + 5 * DAY), Park)
    assert isinstance(judged(handed("nobodys", unknown_ms=SENT), SENT + DAY - 1), Park)
    given_up = judged(handed("nobodys", unknown_ms=SENT), SENT + DAY)
    assert isinstance(given_up, Bury)
    assert (given_up.reason, given_up.error) == ("unknown-task", "no worker has known task nobodys for 1d")


def test_a_delayed_task_waits_from_when_it_was_due() -> None:
    """Not from when it was sent; and never less than nothing."""
    runs = [judged(handed(due=SENT + 1000), SENT + later) for later in (1250, 900)]
    assert [run.wait_ms for run in runs if isinstance(run, Run)] == [250, 0]


@given(fields=st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"task", b"args", b"plain", b"{}", b"max", b"id"]))))
def test_no_entry_makes_it_fail(fields: list[bytes]) -> None:
    """Anybody may add anything: each entry gets a verdict."""
    flat = fields[: len(fields) // 2 * 2]
    verdict = judged(Handed(ADDRESS, 1, 0, 0, 0, flat), SENT)
    assert isinstance(verdict, Run | Park | Bury)
