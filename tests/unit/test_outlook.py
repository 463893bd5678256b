"""What will happen next is said in one sentence, and it is what workers will do."""

from __future__ import annotations

import pytest

from streamq.outlook import Queue, Run, Wait, about, of_run, of_wait

NOW = 1_000_000
QUEUE = Queue(NOW, paused=False, alive=2, rests_until_ms=0, known={"image"})
NOBODY = QUEUE._replace(alive=0)
RUN = Run(
    life="alive", started=True, deliveries=2, most=5, crashes=0, renewal_ms=7_000, lease_ms=27_000, beat_ms=12_000, watched=True
)
LATE = RUN._replace(renewal_ms=-8_000, lease_ms=12_000)
WAIT = Wait(task="image", due_ms=NOW + 40_000, deliveries=2, most=5, crashes=0, unknown_until_ms=0)
DUE = WAIT._replace(due_ms=NOW - 1)


@pytest.mark.parametrize(
    ("run", "queue", "sentence"),
    [
        (RUN, QUEUE, "lease renewed in 7s"),
        (RUN._replace(renewal_ms=-900), QUEUE, "lease renewed in 1s"),
        (RUN._replace(started=False), QUEUE, "handed out, not seen running yet"),
        (LATE, QUEUE, "renewal is 8s late: handed on in 12s (delivery 3 of 5)"),
        (LATE._replace(beat_ms=5_000), QUEUE, "renewal is 8s late: handed on in 5s (delivery 3 of 5)"),
        (LATE, NOBODY, "renewal is 8s late: waits, no worker is alive (delivery 3 of 5)"),
        (RUN._replace(life="stopped"), QUEUE, "worker is stopped: unless it goes on, handed on in 12s (delivery 3 of 5)"),
        (RUN._replace(life=None), QUEUE, "not a streamq worker's: handed on in 27s (delivery 3 of 5)"),
        (RUN._replace(lease_ms=-5_000), QUEUE, "its lease ran out 5s ago: handed on within a second (delivery 3 of 5)"),
        (RUN._replace(life=None, lease_ms=0), QUEUE, "its lease ran out 1s ago: handed on within a second (delivery 3 of 5)"),
        (RUN._replace(life="dead"), QUEUE, "worker is dead: handed on within a second (delivery 3 of 5)"),
        (RUN._replace(life="dead", watched=False), QUEUE, "worker is dead: handed on in 12s (delivery 3 of 5)"),
        (RUN._replace(life="dead"), NOBODY, "worker is dead: waits, no worker is alive (delivery 3 of 5)"),
        (
            RUN._replace(life="lost", beat_ms=-3_000),
            QUEUE,
            "worker gives no sign of life: handed on within a second (delivery 3 of 5)",
        ),
        (
            RUN._replace(life="lost", beat_ms=-3_000),
            QUEUE._replace(rests_until_ms=NOW + 20_000),
            "worker gives no sign of life: handed on in 20s (delivery 3 of 5)",
        ),
        (
            RUN._replace(life="stopped", beat_ms=-3_000, lease_ms=-1_000),
            QUEUE,
            "worker is stopped: handed on within a second (delivery 3 of 5)",
        ),
        (
            RUN._replace(life="dead", deliveries=5),
            QUEUE,
            "worker is dead: handed on within a second, as a dead letter: all 5 deliveries are used",
        ),
        (
            RUN._replace(life="dead", deliveries=1, most=1),
            QUEUE,
            "worker is dead: handed on within a second, as a dead letter: its one delivery is used",
        ),
        (RUN._replace(life="dead", crashes=1), QUEUE, "worker is dead: handed on within a second (delivery 3 of 5, alone)"),
    ],
)
def test_a_task_that_was_handed_out(run: Run, queue: Queue, sentence: str) -> None:
    """It goes on, or says who takes it when and with which delivery."""
    assert of_run(run, queue) == sentence


@pytest.mark.parametrize(
    ("wait", "queue", "sentence"),
    [
        (WAIT, QUEUE, "retry in 40s (delivery 3 of 5)"),
        (WAIT, NOBODY, "retry in 40s (delivery 3 of 5)"),
        (DUE, QUEUE, "due: the next free worker takes it (delivery 3 of 5)"),
        (DUE, NOBODY, "due, waits: no worker is alive (delivery 3 of 5)"),
        (DUE, QUEUE._replace(paused=True), "due, waits: the queue is paused (delivery 3 of 5)"),
        (WAIT._replace(deliveries=5), QUEUE, "retry in 40s, as a dead letter: all 5 deliveries are used"),
        (DUE._replace(crashes=2), QUEUE, "due: the next free worker takes it (delivery 3 of 5), alone: 2 workers died with it"),
        (
            WAIT._replace(task="video", unknown_until_ms=NOW + 82_800_000),
            QUEUE,
            "no live worker knows it: dead letter in 23h unless one comes",
        ),
        (WAIT._replace(unknown_until_ms=NOW + 82_800_000), QUEUE, "retry in 40s (delivery 3 of 5)"),
    ],
)
def test_a_task_that_waits_for_another_hand_out(wait: Wait, queue: Queue, sentence: str) -> None:
    """When, and for whom it waits."""
    assert of_wait(wait, queue) == sentence


def test_times_are_told_in_whole_seconds() -> None:
    """Nobody acts by less, and nothing happens in 0 s."""
    assert [about(ms) for ms in (0, 400, 1_500, 59_600, 3_600_000)] == ["1s", "1s", "2s", "1m", "1h"]
