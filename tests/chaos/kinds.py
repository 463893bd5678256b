"""What is sent under chaos: kinds of tasks, how many of each, and what each of them has to come to."""

from __future__ import annotations

from typing import Final, NamedTuple

#: Sign of life within which a task stays its worker's, in seconds: short, so that leases run out often.
LEASE: Final = 4.0
#: How long a worker that is asked to stop lets its tasks finish, in seconds: longer than any of them takes.
GRACE: Final = 10.0
#: Longest run of `overrun`, in seconds.
TIMEOUT: Final = 0.5
#: Deliveries of a task that has to be finished: chaos alone must not exhaust them.
INNOCENT_LIMIT: Final = 40


class Kind(NamedTuple):
    """What a letter of the ledger stands for."""

    task: str
    #: Of so many tasks in ten thousand.
    share: int
    #: Deliveries after which it is a dead letter; None: it has to be finished, however often it is interrupted.
    limit: int | None = None
    #: It ends the process in which it runs, or has it ended: its neighbours begin anew.
    guilty: bool = False


KINDS: Final = {
    "w": Kind("work", 6200),
    "a": Kind("awork", 2800),
    "f": Kind("flaky", 400),
    "s": Kind("sleepy", 200),
    "i": Kind("picture", 160),
    "l": Kind("long", 40),
    "g": Kind("grip", 5),
    "x": Kind("broken", 188, limit=2),
    "p": Kind("poison", 4, limit=3, guilty=True),
    "o": Kind("overrun", 3, limit=2, guilty=True),
}
