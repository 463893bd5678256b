"""`pending` as people and programs see it."""

from __future__ import annotations

import json
import signal

import pytest

from tests.cli.conftest import Program
from tests.cli.screen import Screen
from tests.conftest import wait_until
from tests.seeds import LEASE_MS, Seed


def test_nothing_is_pending_and_it_says_so(streamq: Program, server: str, queue_name: str) -> None:
    """With server, queue and workers; in JSON there is nothing to say."""
    done = streamq("pending")
    assert (done.status, done.err) == (0, "")
    first, *rest = done.out.splitlines()
    assert first == f"nothing is pending in queue {queue_name}"
    assert rest[-2:] == ["workers    none alive; `streamq consume --name worker1` starts one", f"server     {server}"]
    assert streamq("pending", "--json") == (0, "", "")


def test_it_works_alone(alone: Program) -> None:
    """Without configuration and server: the embedded one is started."""
    done = alone("pending")
    assert done.status == 0
    assert done.out.startswith("nothing is pending in queue images\n")
    assert "(embedded)" in done.out
    assert alone("server", "stop").status == 0


def test_the_fields_of_a_task(streamq: Program, seed: Seed) -> None:
    """All that CONTRACT names, one object a line."""
    task = seed.held("w1-a")
    seed.worker("w1-a", "elsewhere", runs=[(task.address, seed.now())])
    [line] = streamq("pending", "--json").lines
    assert {
        "id", "task", "args", "worker", "consumer", "alive", "started_ms", "running_ms", "idle_ms", "lease_left_ms", "deliveries",
        "max_deliveries", "state", "due_ms",
    } <= line.keys()  # fmt: skip
    assert (line["id"], line["worker"], line["alive"], line["state"]) == (task.address, "w1", True, "running")


def test_a_pipe_gets_a_line_a_task(streamq: Program, seed: Seed) -> None:
    """Aligned, without anything that only a terminal knows; what would harm a terminal is shown in a harmless form."""
    seed.park("w1-a", seed.held("w1-a", args='{"source": "\\u001b[31mred"}'), delay_ms=50_000)
    seed.held("w1-b")
    done = streamq("pending")
    heading, running, retrying = done.out.splitlines()
    assert heading.split() == ["STATE", "ID", "TASK", "ARGUMENTS", "WORKER", "ALIVE", "RUNNING", "LEASE", "TRIES", "NEXT"]
    assert running.split()[0] == "running"
    assert "source=\\x1b[31mred" in retrying
    assert "\x1b" not in done.out


def test_filters_and_limit(streamq: Program, seed: Seed) -> None:
    """What is left out is said on stderr."""
    seed.send(3)
    stuck, *_ = seed.take("w1-a")
    seed.idle("w1-a", [stuck], LEASE_MS)
    assert [line["id"] for line in streamq("pending", "--json", "--stuck").lines] == [stuck.address]
    assert [line["id"] for line in streamq("pending", "--json", "--idle", "30s").lines] == [stuck.address]
    assert streamq("pending", "--task", "video").out.startswith("no such task is pending")
    done = streamq("pending", "--limit", "2")
    assert len(done.out.splitlines()) == 3
    assert done.err == "streamq: the first 2 are shown; --limit shows more\n"


def test_a_view_ends_where_a_list_goes_on(streamq: Program, seed: Seed) -> None:
    """A view is no dump: a thousand tasks whatever is asked for, and where to find the others."""
    seed.send(1100)
    seed.take("w1-a", 1100)
    done = streamq("pending", "--limit", "5000")
    assert len(done.out.splitlines()) == 1001
    assert done.err == "streamq: the first 1000 are shown; `streamq tasks --state running --state retrying` lists them all\n"


def test_claim_hands_stuck_tasks_on(streamq: Program, seed: Seed) -> None:
    """All of them, however many, and says so; then there is nothing to do."""
    seed.send(120)
    tasks = seed.take("w1-a", 119)
    seed.idle("w1-a", tasks, LEASE_MS)
    [fresh] = seed.take("w1-b")
    done = streamq("pending", "--claim", "--json")
    assert done.status == 0
    assert sorted(line["id"] for line in done.lines) == sorted(task.address for task in tasks)
    assert {(line["worker"], line["claimed"]) for line in done.lines} == {("w1", True)}
    left = streamq("pending", "--json").lines[0]
    assert (left["id"], left["state"]) == (fresh.address, "running")
    again = streamq("pending", "--claim")
    assert (again.status, again.out) == (0, "")
    assert "no task is stuck" in again.err


def test_claim_obeys_filters(streamq: Program, seed: Seed) -> None:
    """A name and a limit."""
    seed.send(3)
    seed.send(2, task="video")
    seed.idle("w1-a", seed.take("w1-a"), LEASE_MS)
    assert len(streamq("pending", "--claim", "--json", "--task", "video").lines) == 2
    assert len(streamq("pending", "--claim", "--json", "--limit", "2").lines) == 2
    assert len(streamq("pending", "--stuck", "--json").lines) == 1


@pytest.mark.parametrize("wrong", [["--idle", "soon"], ["--limit", "0"], ["--claim", "--watch"], ["--interval", "-1"]])
def test_wrong_usage(streamq: Program, wrong: list[str]) -> None:
    """One line, and how to mend it."""
    done = streamq("pending", *wrong)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("streamq: error: ")
    assert len(done.err.splitlines()) == 2


def test_a_terminal_gets_a_table(streamq: Program, seed: Seed, queue_name: str) -> None:
    """With a summary, and what can be done about stuck ones."""
    task = seed.held("w1-a")
    seed.worker("w1-a", "dead")
    done = streamq.on_terminal("pending", TERM="dumb")
    assert done.status == 0
    assert f"queue {queue_name}  1 stuck  0 running  0 retrying  no worker alive" in done.out
    assert f"{task.address} " in done.out
    assert "worker is dead: waits, no worker is alive" in done.out
    assert "streamq pending --claim" in done.out


def test_watch_draws_anew_on_a_terminal(streamq: Program, seed: Seed) -> None:
    """On the whole screen, which is given back when somebody leaves with q."""
    with Screen(streamq, "pending", "--watch", "--interval", "50ms") as screen:
        screen.shows("Nothing is pending.")
        task = seed.held("w1-a")
        screen.shows(task.address)
        screen.press(b"q")
        assert screen.ended() == 0
    assert screen.was_given_back


def test_watch_prints_blocks_in_a_pipe(streamq: Program, seed: Seed) -> None:
    """Until it is interrupted."""
    task = seed.held("w1-a")
    process = streamq.start("pending", "--watch", "--interval", "50ms", "--json")
    assert process.stdout is not None
    for _ in range(3):
        assert json.loads(process.stdout.readline())["id"] == task.address
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0


def test_watch_outlives_its_server(alone: Program) -> None:
    """What is wrong is shown, over what was known last, until the server is back."""
    assert alone("server", "start").status == 0
    with Screen(alone, "pending", "--watch", "--interval", "50ms") as screen:
        screen.shows("Nothing is pending.")
        assert alone("server", "stop").status == 0
        screen.shows("server away")
        assert alone("server", "start").status == 0
        wait_until(lambda: "server away" not in screen.now and "Nothing is pending." in screen.now, "it goes on")
        screen.press(b"q")
        assert screen.ended() == 0
    assert alone("server", "stop").status == 0
