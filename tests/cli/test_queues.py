"""`queues` and `queue` as people and programs see them."""

from __future__ import annotations

import pytest

from streamq import stats
from tests.cli.conftest import Program
from tests.seeds import Seed

FIELDS = {"queue", "waiting", "scheduled", "running", "retrying", "dead", "paused"}


def test_queues_lists_what_the_server_holds(streamq: Program, seed: Seed, queue_name: str) -> None:
    """Those that somebody has sent to or worked on, and the configured one once it is there."""
    assert streamq("produce", "--task", "nap", "--args", "{}", "--queue", f"{queue_name}.b").status == 0
    seed.send(2, "h")
    seed.dead(1)
    mine = [line for line in streamq("queues", "--json").lines if line["queue"].startswith(queue_name)]
    assert [line["queue"] for line in mine] == [queue_name, f"{queue_name}.b"]
    assert all(line.keys() == FIELDS for line in mine)
    assert mine[0]["waiting"] == {"high": 1, "default": 1, "low": 0}
    assert (mine[0]["dead"], mine[1]["waiting"]["default"], mine[1]["paused"]) == (1, 1, False)
    heading, *lines = streamq("queues").out.splitlines()
    assert heading.split() == ["QUEUE", "WAITING", "SCHEDULED", "RUNNING", "RETRYING", "DEAD", "STATE"]
    [line] = [line for line in lines if line.startswith(f"{queue_name} ")]
    assert line.split()[1:] == ["2", "0", "0", "0", "1", "open"]


def test_no_queue_yet(alone: Program) -> None:
    """A new server says how to get one."""
    done = alone("queues")
    assert (done.status, done.out) == (0, "")
    assert "`streamq produce` makes one" in done.err
    assert alone("server", "stop").status == 0


def test_pause_and_resume(streamq: Program, seed: Seed, queue_name: str) -> None:
    """Nothing is handed out meanwhile; said twice it changes nothing."""
    seed.send()
    assert streamq("queue", "pause", queue_name) == (0, f"{queue_name}: paused\n", "")
    assert seed.run.take("w1-a", 1, 1, "hdl").state == "paused"
    assert streamq("queue", "pause", queue_name).out == f"{queue_name}: paused already\n"
    [line] = streamq("queue", "resume", queue_name, "--json").lines
    assert line == {"queue": queue_name, "state": "resumed"}
    assert len(seed.take("w1-a")) == 1
    assert streamq("queue", "resume", queue_name).out == f"{queue_name}: not paused\n"


def test_a_queue_that_nobody_has_used_may_be_misspelt(streamq: Program, queue_name: str) -> None:
    """It is said, not refused: a queue may be paused before its first task."""
    done = streamq("queue", "pause", f"{queue_name}.x")
    assert done.status == 0
    assert f"nobody has used a queue {queue_name}.x yet" in done.err


def test_purge_removes_what_waits_and_nothing_that_runs_or_is_dead(streamq: Program, seed: Seed, queue_name: str) -> None:
    """Waiting, scheduled and retrying ones."""
    seed.send(3)
    seed.send(2, "l")
    seed.send(4, "d;+60000;;")
    running, parked, *_ = seed.take("w1-a", 2)
    seed.park("w1-a", parked, delay_ms=60_000)
    seed.dead(1, task="broken")
    asked = streamq("queue", "purge", queue_name)
    assert (asked.status, asked.out) == (2, "")
    assert f"remove 8 tasks from queue {queue_name}?" in asked.err
    assert streamq("queue", "purge", queue_name, "--yes") == (0, f"{queue_name}: 8 tasks removed\n", "")
    counts = stats.counts(seed.run)
    assert (counts.waiting.total, counts.scheduled, counts.retrying, counts.running, counts.dead) == (0, 0, 0, 1, 1)
    seed.finish("w1-a", [running])


def test_purge_asks_on_a_terminal(streamq: Program, seed: Seed, queue_name: str) -> None:
    """Enter means no; an empty queue needs no question."""
    seed.send(2)
    assert streamq.on_terminal("queue", "purge", queue_name, answer="\n").status == 1
    assert stats.counts(seed.run).waiting.total == 2
    assert streamq.on_terminal("queue", "purge", queue_name, answer="y\n").status == 0
    assert streamq("queue", "purge", queue_name, "--json").lines == [{"queue": queue_name, "purged": 0}]


def test_without_a_name_it_is_the_queue_of_every_other_command(streamq: Program, seed: Seed, queue_name: str) -> None:
    """That of `--queue`, the environment, the configuration, the default, in this order."""
    seed.send(2)
    assert streamq("queue", "pause").out == f"{queue_name}: paused\n"
    assert streamq("queue", "resume", "--json").lines == [{"queue": queue_name, "state": "resumed"}]
    assert f"remove 2 tasks from queue {queue_name}?" in streamq("queue", "purge").err
    assert streamq("queue", "purge", "--yes").out == f"{queue_name}: 2 tasks removed\n"
    assert streamq("queue", "pause", "--queue", f"{queue_name}.b").out == f"{queue_name}.b: paused\n"
    assert streamq("--queue", f"{queue_name}.b", "queue", "resume").out == f"{queue_name}.b: resumed\n"
    assert stats.counts(seed.run).waiting.total == 0
    del streamq.environment["STREAMQ_QUEUE"]
    (streamq.folder / "config.yaml").write_text(f"queue: {{name: {queue_name}.c}}\n", encoding="utf-8")
    assert streamq("queue", "resume").out == f"{queue_name}.c: not paused\n"


@pytest.mark.parametrize("command", ["pause", "resume", "purge"])
def test_two_names_of_which_one_is_meant(streamq: Program, seed: Seed, queue_name: str, command: str) -> None:
    """A name beside another `--queue` is refused, and nothing happens; beside the environment it counts, as an option does."""
    yes = ["--yes"] * (command == "purge")
    seed.send(1)
    done = streamq("queue", command, queue_name, "--queue", f"{queue_name}.b", *yes)
    assert (done.status, done.out) == (2, "")
    assert f"NAME is {queue_name}, and --queue is {queue_name}.b" in done.err
    assert stats.counts(seed.run).waiting.total == 1
    assert len(seed.take("w1-a")) == 1
    assert streamq("queue", command, queue_name, "--queue", queue_name, *yes).out.startswith(f"{queue_name}: ")
    assert streamq("queue", command, f"{queue_name}.b", *yes).out.startswith(f"{queue_name}.b: ")


def test_a_name_that_is_none(streamq: Program) -> None:
    """It never becomes a key."""
    for name in ("a b", ""):
        done = streamq("queue", "pause", name)
        assert (done.status, done.out) == (2, "")
        assert f"{name!r} is no name of a queue" in done.err
