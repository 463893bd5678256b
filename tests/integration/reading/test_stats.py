"""The figures of a queue add up and say what is so."""

from __future__ import annotations

import random

import msgspec
import pytest

from streamq import stats
from streamq.cli.figures import totals as totals_of
from streamq.server.probe import probe
from streamq.stats import Percentiles, Stats, Waiting
from tests.seeds import MINUTE_MS, Life, Seed


def read(seed: Seed) -> Stats:
    """The figures now."""
    return stats.read(seed.run, probe(seed.link))


def there_or_ended(figures: Stats) -> int:
    """Where all the tasks are that were sent or revived."""
    there = figures.waiting.total + figures.scheduled + figures.running + figures.retrying
    ended = figures.finished_total + figures.dead_total + figures.expired_total + figures.cancelled_total + figures.purged_total
    return there + ended


def test_a_queue_that_was_never_used_is_all_zeros(seed: Seed) -> None:
    """No key is needed for an answer."""
    seed.client.delete(*[seed.keys[name] for name in ("high", "default", "low", "later")])
    figures = read(seed)
    assert figures.waiting == Waiting(0, 0, 0)
    assert (figures.sent_total, figures.running, figures.retrying, figures.scheduled, figures.dead) == (0, 0, 0, 0, 0)
    assert (figures.throughput_per_s, figures.success_rate, figures.run_ms) == (0.0, None, Percentiles())
    assert figures.workers == []
    assert figures.paused is False


def test_each_task_is_counted_where_it_is(seed: Seed) -> None:
    """Waiting by priority, scheduled, running, retrying and dead, from the states that transitions leave.

    What was handed back before it began waits.
    """
    seed.send(2, "h")
    seed.send(3)
    seed.send(4, "l")
    seed.send(5, "l;+60000;;")
    running, retrying, suspect, dying, again, done = seed.take("w1-a", 6)  # both high ones, three of default, one low
    assert running.address[0] == "h"
    seed.park("w1-a", retrying, delay_ms=60_000)
    seed.bury("w1-a", dying)
    seed.park("w1-a", again, "release")
    seed.finish("w1-a", [done])
    seed.run.claim("stuck", [(suspect.address, "w1-a", suspect.count)])
    seed.run.pause(paused=True)
    figures = read(seed)
    assert figures.waiting == Waiting(high=0, default=1, low=3)
    assert (figures.scheduled, figures.running, figures.retrying, figures.dead) == (5, 1, 2, 1)
    assert (figures.sent_total, figures.finished_total, figures.dead_total, figures.failed_total) == (14, 1, 1, 3)
    assert (figures.retried_total, figures.reaped_total) == (1, 1)
    assert figures.paused is True


def test_suspects_are_retrying(seed: Seed) -> None:
    """A task that has crashed twice waits among the suspects, and still counts."""
    seed.send()
    for consumer in ("w1-a", "w1-b"):
        seed.take(consumer)
        seed.crash(consumer)
    figures = read(seed)
    assert (figures.waiting.total, figures.retrying, figures.failed_total) == (0, 1, 2)


def test_the_figures_add_up_after_anything(seed: Seed) -> None:
    """Sent and revived are always what is there and what has ended, strangers' entries included."""
    chance = random.Random(7)  # noqa: S311 - a seed, no secret
    consumer, held, dead = "w1-a", [], []
    for _ in range(300):
        match chance.randrange(9):
            case 0 | 1:
                held += seed.take(consumer, chance.randrange(1, 4))
            case 2 if held:
                seed.finish(consumer, [held.pop(chance.randrange(len(held)))])
            case 3 if held:
                seed.park(consumer, held.pop(), chance.choice(["retry", "release", "snooze"]), chance.randrange(3))
            case 4 if held:
                dead.append(seed.bury(consumer, held.pop(), chance.choice(["error", "expired"])))
            case 5 if dead:
                seed.run.revive(dead.pop())
            case 6:
                seed.run.cancel(chance.choice(seed.send(3)), "test")
            case 7:
                seed.client.xadd(seed.keys[chance.choice(["high", "low", "later"])], {"task": "image", "args": "{}"})
            case _:
                seed.send(2, chance.choice("hdl") + chance.choice([";+50000;;", ";;;"]))
    seed.run.purge("d", "-", seed.now() + 1, "test")
    figures = read(seed)
    assert figures.sent_total + figures.revived_total == there_or_ended(figures)
    assert min(figures.revived_total, figures.expired_total, figures.cancelled_total, figures.purged_total, figures.running) > 0


def test_what_was_discarded_shows_in_the_totals(seed: Seed) -> None:
    """Every letter that came is still there, or was revived or discarded."""
    discarded, revived, *_ = seed.dead(3)
    seed.dead(1, "expired")
    assert seed.run.discard(discarded)
    seed.run.revive(revived)
    totals = dict(totals_of(read(seed)))
    assert [totals[name] for name in ("dead", "expired", "revived", "discarded")] == [3, 1, 1, 1]


def test_percentiles_and_success_come_from_the_endings_of_five_minutes(seed: Seed) -> None:
    """The buckets that workers count in are read back."""
    seed.send(4)
    tasks = seed.take("w1-a")
    seed.finish("w1-a", tasks[:3], "w10 3 r20 2 r30 1")
    seed.bury("w1-a", tasks[3])
    figures = read(seed)
    assert figures.success_rate == 0.75
    assert figures.wait_ms.p50 is not None
    assert 2.26 < figures.wait_ms.p50 < 3.2  # bucket 10
    assert figures.run_ms.p50 is not None
    assert figures.run_ms.p99 is not None
    assert 72 < figures.run_ms.p50 < 102.5
    assert 2316 < figures.run_ms.p99 < 3277


def test_throughput_is_taken_over_the_time_that_has_endings(seed: Seed) -> None:
    """Three tasks that finished just now are three a second, and not three in two minutes."""
    seed.send(3)
    seed.finish("w1-a", seed.take("w1-a"))
    assert 0.5 < read(seed).throughput_per_s <= 3


def test_expired_tasks_are_no_failures_of_the_queue(seed: Seed) -> None:
    """They lie in the dead letters and count in `expired_total` only."""
    seed.dead(2, "expired", error="")
    figures = read(seed)
    assert (figures.dead, figures.dead_total, figures.expired_total, figures.success_rate) == (2, 0, 2, None)


@pytest.mark.parametrize(("life", "state"), [("alive", "alive"), ("elsewhere", "alive"), ("lost", "lost"), ("dead", "dead")])
def test_a_worker_lives_by_its_heartbeat_and_its_process(seed: Seed, life: Life, state: str) -> None:
    """The server's clock decides, and on this machine the process."""
    before = seed.now()
    seed.worker("photos-7-a1b2", life)
    [worker] = read(seed).workers
    assert (worker.name, worker.state, worker.alive) == ("photos-7", state, state == "alive")
    assert before <= worker.seen_ms <= seed.now()
    assert (worker.host, worker.concurrency, worker.rss_bytes, worker.finished, worker.failed) == ("here", 4, 50 << 20, 10, 1)


def test_a_worker_runs_what_it_holds(seed: Seed) -> None:
    """Over all streams; what another holds is not its."""
    seed.worker("w1-a")
    seed.worker("w2-b")
    seed.send(2, "h")
    seed.send(3)
    seed.take("w1-a", 4)
    running = {worker.name: worker.running for worker in read(seed).workers}
    assert running == {"w1": 4, "w2": 0}


def test_a_card_of_another_release_is_still_a_worker(seed: Seed) -> None:
    """What it does not say is left out, and its name is that of the consumer."""
    seed.run.beat(30_000, "run", MINUTE_MS, [("w1-a", b'{"name": 5}', "")])
    [worker] = read(seed).workers
    assert (worker.name, worker.alive, worker.lease_ms, worker.concurrency) == ("w1", True, 30_000, 0)


def test_the_figures_are_the_json_of_the_command(seed: Seed) -> None:
    """Flat, in the order in which they are documented."""
    figures = msgspec.json.decode(msgspec.json.encode(read(seed)))
    assert list(figures)[:7] == ["queue", "waiting", "scheduled", "running", "retrying", "dead", "paused"]
    assert figures["wait_ms"] == {"p50": None, "p95": None, "p99": None}
    assert figures["server"]["connected"] is True
