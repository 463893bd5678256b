"""What a queue holds: entries that nobody will bring, what stands in two places or in none, and figures that do not add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from streamq.doctor.finding import finding, many, some

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq.doctor.finding import Finding, Level
    from streamq.doctor.survey import Survey
    from streamq.stats import Stats
    from streamq.transitions import Transitions

#: From this share of `queue.max_size` on a queue is nearly full.
_NEARLY: Final = 0.8
#: A lane of a sender that has sent nothing for this long, in ms, should have been swept.
_LANE_KEPT_MS: Final = 2 * 3_600_000
#: Lanes of one look, and how many are looked at: they are worth no more.
_LANES, _LANES_MOST = 500, 10_000
_REPAIR: Final = "`streamq doctor --repair`"


class Words(NamedTuple):
    """How a fault of what a queue holds is told."""

    level: Level
    one: str
    more: str
    fine: str
    mend: str


_WORDS: Final = {
    "orphaned-entries": Words(
        "fault",
        "task was handed out and is in nobody's hands: no worker will ever bring it",
        "tasks were handed out and are in nobody's hands: no worker will ever bring them",
        "every task waits, runs, is parked or has ended",
        f"{_REPAIR} parks them, due now, without counting the hand-out",
    ),
    "parked-without-entry": Words(
        "fault",
        "parked task has no entry in its stream: it was deleted by another program",
        "parked tasks have no entry in their stream: they were deleted by another program",
        "every parked task has its entry",
        f"{_REPAIR} removes what is left of them; send the tasks again",
    ),
    "pending-without-entry": Words(
        "fault",
        "task that was handed out has no entry in its stream: it was deleted by another program",
        "tasks that were handed out have no entry in their stream: they were deleted by another program",
        "every task that was handed out has its entry",
        f"{_REPAIR} removes what is left of them; send the tasks again",
    ),
    "parked-and-pending": Words(
        "warning",
        "task is parked and in somebody's hands at once: another program claimed it",
        "tasks are parked and in somebody's hands at once: another program claimed them",
        "no task is in two places",
        "let no other program claim with XCLAIM or read with XREADGROUP; it ends when their holder's lease has run out",
    ),
    "counts": Words(
        "warning",
        "task was handed out with a count that is not above the one that was noted: another program claimed it",
        "tasks were handed out with counts that are not above those that were noted: another program claimed them",
        "the counts of pending list and records agree",
        "let no other program claim with XCLAIM or read with XREADGROUP; the count is set right when their lease runs out",
    ),
    "stale-records": Words(
        "note",
        "record of attempts belongs to no living task",
        "records of attempts belong to no living task",
        "every record of attempts belongs to a living task",
        f"{_REPAIR} removes them",
    ),
    "unique-keys": Words(
        "note",
        "unique key is held by a task that has gone; it blocks nobody",
        "unique keys are held by tasks that have gone; they block nobody",
        "every unique key is held by a living task",
        f"{_REPAIR} frees them",
    ),
    "moved-addresses": Words(
        "note",
        "moved address belongs to a task that has gone",
        "moved addresses belong to tasks that have gone",
        "every moved address belongs to a living task",
        f"{_REPAIR} removes them",
    ),
}


def examine(transitions: Transitions, figures: Stats, survey: Survey, bound: int) -> Iterator[Finding]:
    """Look at a queue.

    Args:
        transitions: of the queue.
        figures: its figures.
        survey: what was seen of it.
        bound: `queue.max_size`; 0: none.

    Raises:
        ServerError: the server is away.
    """
    if figures.paused:
        mend = f"`streamq queue resume {figures.queue}` lets it go on"
        yield finding("paused", "note", "the queue is paused: nothing is handed out", mend)
    yield _bound(figures, bound)
    for name, words in _WORDS.items():
        yield _told(name, words, [shown(subject) for subject in survey.found.get(name, [])])
    yield _lanes(transitions, figures.now_ms)
    yield _sums(figures)


def shown(subject: bytes) -> str:
    """A subject as text: an address, or what stands beside it."""
    return subject.decode(errors="backslashreplace")


def _told(name: str, words: Words, subjects: list[str]) -> Finding:
    if not subjects:
        return finding(name, "ok", words.fine)
    return finding(name, words.level, f"{many(len(subjects), words.one, words.more)} ({some(subjects)})", words.mend, subjects)


def _bound(figures: Stats, bound: int) -> Finding:
    here = figures.waiting.total + figures.scheduled + figures.running + figures.retrying
    if not bound:
        return finding("bound", "ok", f"{many(here, 'task')} in a queue without a bound")
    what = f"{here:,} of {bound:,} tasks (queue.max_size)"
    mend = "more workers, or a larger `queue.max_size`"
    if here >= bound:
        return finding("bound", "warning", f"the queue is full, {what}: senders wait or are refused", mend)
    if here >= _NEARLY * bound:
        return finding("bound", "note", f"the queue is nearly full, {what}", mend)
    return finding("bound", "ok", what)


def _lanes(transitions: Transitions, now: int) -> Finding:
    """Lanes of senders that have long ended; workers sweep them, so many are there where none has run for long."""
    key, cursor, looked, stale = transitions.keys["producers"], "0", 0, 0
    while looked < _LANES_MOST:
        after, flat = transitions.link.call("HSCAN", key, cursor, "COUNT", _LANES)
        looked += len(flat) // 2
        stale += sum(int(text.split(b" ", 2)[1]) < now - _LANE_KEPT_MS for text in flat[1::2])
        cursor = after.decode()
        if cursor == "0":
            break
    if stale:
        what = f"{many(stale, 'lane of a sender', 'lanes of senders')} of hours ago, of {looked:,} looked at"
        return finding("producer-lanes", "note", what, "none needed: a running worker sweeps them")
    return finding("producer-lanes", "ok", f"{many(looked, 'lane of a sender', 'lanes of senders')}, none left over")


def _sums(figures: Stats) -> Finding:
    """Whether all that came is still there or has ended."""
    here = figures.waiting.total + figures.scheduled + figures.running + figures.retrying
    ended = figures.finished_total + figures.dead_total + figures.expired_total + figures.cancelled_total + figures.purged_total
    came = figures.sent_total + figures.revived_total
    if came == here + ended:
        return finding("sums", "ok", f"the figures add up: {came:,} sent and revived, {here:,} here, {ended:,} ended")
    away = abs(came - here - ended)
    what = f"the figures do not add up: {came:,} sent and revived, {here:,} here, {ended:,} ended"
    if came > here + ended:
        what += f"; {many(away, 'task was', 'tasks were')} deleted by another program"
        return finding(
            "sums", "warning", what, "let no other program delete; `streamq task cancel` and `streamq queue purge` do it in order"
        )
    what += f"; a stream was deleted or restored, and its count of {away:,} with it"
    return finding("sums", "warning", what, "look for what deleted or restored keys of the queue")
