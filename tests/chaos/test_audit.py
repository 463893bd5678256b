"""The audit finds what it is there for: each broken promise, written into a history, is named; what has a reason is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.chaos.audit import Audit, History
from tests.chaos.kinds import LEASE
from tests.chaos.ledger import Accepted, End, Line, Refused, Send, Start, Unknown
from tests.chaos.records import Death, Loss, Records, Silence

#: The sending of one task, accepted at 1.0.
SENT: list[Line] = [Send(1, "w", 0.9), Accepted(1, ["d1-0"], 1.0)]


def run(name: str, at: float, end: float | None = None, how: str = "returned", **more: Any) -> list[Line]:
    """The lines of a run."""
    told: dict[str, Any] = {"n": 1, "id": "d1-0", "worker": "w1", "pid": 7, "count": 1, "delivery": 1} | more
    lines: list[Line] = [Start(run=name, at=at, **told)]
    return lines if end is None else [*lines, End(told["n"], name, how, end)]


def faults(
    lines: list[Line],
    records: Records | None = None,
    letters: Mapping[int, list[int]] | None = None,
    figures: Mapping[str, int] | None = None,
) -> str:
    """What the audit finds in a history whose figures are those of the queue."""
    audit = Audit(History(lines), records or Records(), letters or {})
    stats: dict[str, Any] = dict.fromkeys(
        ("scheduled", "running", "retrying", "finished_total", "dead_total", "sent_total", "fenced_total", "reaped_total"), 0
    )
    stats |= {"waiting": {"default": 0}, "finished_total": 1, "sent_total": 1} | dict(figures or {})
    return "\n".join(audit.check(stats).faults)


def with_records(**what: list[Any]) -> Records:
    """Records of what was done."""
    records = Records()
    for name, rows in what.items():
        getattr(records, name).extend(rows)
    return records


def test_a_task_that_ran_once_is_as_it_should_be() -> None:
    """Nothing is found."""
    assert not faults(SENT + run("a", 2, 3))


@pytest.mark.parametrize(
    ("lines", "letters", "figures", "named"),
    [
        (SENT, {}, {"finished_total": 0, "sent_total": 0}, "LOST"),
        (SENT + run("a", 2), {}, {"finished_total": 0, "sent_total": 0}, "LOST"),
        (SENT + run("a", 2, 3) + run("b", 4, 5), {}, {}, "REPEATED"),
        (SENT + run("a", 2) + run("b", 4, 5), {}, {}, "REPEATED"),
        (SENT + run("a", 2, 3) + run("b", 4, 5, id="d2-0"), {}, {}, "added twice"),
        (SENT + run("a", 2, 3), {}, {"finished_total": 2, "sent_total": 2}, "counts 2 finished"),
        (SENT + run("a", 2, 3), {}, {"sent_total": 2}, "2 sent, and 1 ended"),
        (SENT + run("a", 2, 3), {}, {"running": 1}, "not through"),
        (SENT, {1: [5]}, {"finished_total": 0, "dead_total": 1}, "innocent, and dead"),
        ([Send(1, "x", 0.9), Accepted(1, ["d1-0"], 1.0)], {1: [2, 2]}, {"finished_total": 0, "dead_total": 1}, "2 dead letters"),
        ([Send(1, "x", 0.9), Accepted(1, ["d1-0"], 1.0)], {1: [3]}, {"finished_total": 0, "dead_total": 1}, "its limit is 2"),
        ([Send(1, "p", 0.9), Accepted(1, ["d1-0"], 1.0)], {1: [2]}, {"finished_total": 0, "dead_total": 1}, "its limit is 3"),
        ([Send(1, "x", 0.9), Accepted(1, ["d1-0"], 1.0), *run("a", 2, 3)], {}, {}, "cannot be"),
        ([Send(1, "w", 0.9), Refused(1, 1, "full", 1.0), *run("a", 2, 3)], {}, {}, "was refused"),
        (SENT + run("a", 2, 3), {9: [1]}, {"dead_total": 0}, "nobody sent"),
    ],
)
def test_a_broken_promise_is_named(lines: list[Line], letters: dict[int, list[int]], figures: dict[str, int], named: str) -> None:
    """Each kind."""
    assert named in faults(lines, letters=letters, figures=figures)


@pytest.mark.parametrize(
    "records",
    [
        with_records(deaths=[Death("w1", 7, 3.5)]),
        with_records(deaths=[Death("w1", None, 3.5)]),
        with_records(silences=[Silence("w1", 2.5, 2.5 + LEASE)]),
        with_records(losses=[Loss("a destroyed group", 2.5, 2.6, tasks=False)]),
    ],
)
def test_a_run_may_be_repeated_for_a_reason(records: Records) -> None:
    """Its process died, its worker was silent, the server forgot."""
    assert not faults(SENT + run("a", 2, 3) + run("b", 4, 5, worker="w2"), records)


@pytest.mark.parametrize(
    "records",
    [
        with_records(deaths=[Death("w1", 8, 3.5)]),
        with_records(deaths=[Death("w2", None, 3.5)]),
        with_records(deaths=[Death("w1", None, 9.0)]),
        with_records(silences=[Silence("w1", 2.5, 2.6)]),
        with_records(silences=[Silence("w2", 2.5, 2.5 + LEASE)]),
        with_records(losses=[Loss("a destroyed group", 20.0, 21.0, tasks=False)]),
    ],
)
def test_what_happened_elsewhere_explains_nothing(records: Records) -> None:
    """Another process, another worker, another time, a silence that is too short."""
    assert "REPEATED" in faults(SENT + run("a", 2, 3) + run("b", 4, 5, worker="w2"), records)


def test_a_task_may_be_gone_only_in_what_the_server_forgot() -> None:
    """It was acknowledged in the window, and not before, and by a loss that takes tasks."""
    gone = {"finished_total": 0, "sent_total": 0}
    assert not faults(SENT, with_records(losses=[Loss("FLUSHALL", 0.0, 2.0, tasks=True)]), figures=gone)
    assert "LOST" in faults(SENT, with_records(losses=[Loss("a power cut", 1.5, 2.0, tasks=True)]), figures=gone)
    assert "LOST" in faults(SENT, with_records(losses=[Loss("FLUSHALL", 0.0, 0.5, tasks=True)]), figures=gone)
    assert "LOST" in faults(SENT, with_records(losses=[Loss("a destroyed group", 0.0, 2.0, tasks=False)]), figures=gone)


def test_a_neighbour_of_a_poison_may_run_again() -> None:
    """In the same process, at the time."""
    poison: list[Line] = [Send(2, "p", 0.9), Accepted(2, ["d2-0"], 1.0), *run("p", 2.5, n=2, id="d2-0")]
    letters, figures = {2: [3]}, {"dead_total": 1, "sent_total": 2}
    assert not faults(SENT + poison + run("a", 2) + run("b", 4, 5, pid=8), letters=letters, figures=figures)
    assert "REPEATED" in faults(SENT + poison + run("a", 2, pid=9) + run("b", 4, 5), letters=letters, figures=figures)


def test_a_send_of_which_nothing_is_known_may_be_there_or_not() -> None:
    """Both are right; twice is not."""
    unknown: list[Line] = [Send(1, "w", 0.9), Unknown(1, 1, "reply lost", 1.0)]
    assert not faults(unknown, figures={"finished_total": 0, "sent_total": 0})
    assert not faults(unknown + run("a", 2, 3))
    assert "added twice" in faults(unknown + run("a", 2, 3) + run("b", 4, 5, id="d2-0"))
