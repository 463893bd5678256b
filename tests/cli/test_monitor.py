"""`monitor`, `stats` and `workers` as people and programs see them."""

from __future__ import annotations

import json
import signal

import pytest

from tests.cli.conftest import Program
from tests.cli.screen import Screen
from tests.conftest import wait_until
from tests.seeds import Seed

#: What CONTRACT names.
FIELDS = {
    "queue", "waiting", "scheduled", "running", "retrying", "dead", "paused", "sent_total", "finished_total", "failed_total",
    "retried_total", "dead_total", "revived_total", "expired_total", "cancelled_total", "purged_total", "throughput_per_s",
    "success_rate", "wait_ms", "run_ms", "workers", "server",
}  # fmt: skip
WORKER = {
    "name", "consumer", "host", "pid", "alive", "running", "concurrency", "rss_bytes", "started_ms", "seen_ms", "finished",
    "failed",
}  # fmt: skip
SERVER = {"kind", "version", "url", "embedded", "used_memory_bytes", "max_memory_bytes", "eviction", "durability", "connected"}


@pytest.fixture
def lively(seed: Seed, queue_name: str) -> Seed:
    """A queue with something in every state."""
    seed.send(3, "h")
    seed.send(6)
    seed.send(2, "l;+60000;;")
    running, parked, dead, *done = seed.take("w1-a", 5)
    seed.worker("w1-a", "elsewhere", runs=[(running.address, seed.now())], pid=4711)
    seed.worker("w2-b", "dead")
    seed.park("w1-a", parked, delay_ms=60_000)
    seed.bury("w1-a", dead)
    seed.finish("w1-a", done, "w10 2 r16 2")
    seed.take("w2-b", 1)
    return seed


def test_stats_is_one_object(streamq: Program, lively: Seed, queue_name: str) -> None:
    """With every field of CONTRACT, and figures that add up."""
    done = streamq("stats", "--json")
    assert (done.status, done.err) == (0, "")
    [figures] = done.lines
    assert figures.keys() >= FIELDS
    assert figures["server"].keys() >= SERVER
    assert [worker.keys() >= WORKER for worker in figures["workers"]] == [True, True]
    assert figures["queue"] == queue_name
    assert figures["waiting"] == {"high": 0, "default": 3, "low": 0}
    assert [figures[name] for name in ("scheduled", "running", "retrying", "dead", "sent_total")] == [2, 2, 1, 1, 11]
    assert figures["wait_ms"].keys() == figures["run_ms"].keys() == {"p50", "p95", "p99"}


def test_stats_for_people(streamq: Program, lively: Seed, queue_name: str) -> None:
    """Names and values, then the workers."""
    done = streamq("stats")
    lines = dict(line.split(maxsplit=1) for line in done.out.split("\n\n")[0].splitlines())
    assert lines["queue"] == queue_name
    assert lines["waiting"] == "3 (0 high, 3 default, 0 low)"
    assert lines["success"] == "66.67% of the last five minutes"
    assert lines["run"].startswith("p50 ")
    assert lines["totals"] == (
        "11 sent, 0 revived, 2 finished, 1 dead, 0 expired, 0 cancelled, 0 purged, 0 discarded, 2 failed attempts, 1 retried"
    )
    assert lines["workers"] == "1 alive (1 process), 1 lost"
    assert lines["server"].startswith("valkey ")
    assert len(done.out.split("\n\n")[1].splitlines()) == 3


def test_workers_lists_processes(streamq: Program, lively: Seed) -> None:
    """As in `stats`; who is dead is said."""
    one, other = streamq("workers", "--json").lines
    assert one.keys() >= WORKER
    assert (one["name"], one["pid"], one["alive"], one["running"]) == ("w1", 4711, True, 1)
    assert (other["name"], other["alive"], other["state"], other["running"]) == ("w2", False, "dead", 1)
    heading, first, second = streamq("workers").out.splitlines()
    assert heading.split() == ["WORKER", "PROCESS", "HOST", "STATE", "RUNS", "FINISHED", "FAILED", "MEMORY", "STARTED", "SEEN"]
    assert first.split()[:5] == ["w1", "4711", "here", "alive", "1/4"]
    assert second.split()[3] == "dead"


def test_no_worker(streamq: Program) -> None:
    """It says how one is started, on stderr."""
    done = streamq("workers")
    assert (done.status, done.out) == (0, "")
    assert "`streamq consume --name worker1` starts one" in done.err


def test_monitor_once(streamq: Program, lively: Seed, queue_name: str) -> None:
    """The figures one time: as text in a pipe, as an object in JSON, as a picture on a terminal."""
    text = streamq("monitor", "--once")
    assert text.out.startswith(f"queue       {queue_name}\n")
    assert "\nstuck       1\n" in text.out
    [figures] = streamq("monitor", "--once", "--json").lines
    assert figures.keys() >= FIELDS | {"stuck"}
    assert figures["stuck"] == 1
    assert figures["finished_per_s"] is None
    picture = streamq.on_terminal("monitor", "--once", TERM="dumb").out
    assert f"queue {queue_name}" in picture
    for title in ("Tasks", "Throughput", "Times", "Stuck: 1 of 1", "Workers: 1 alive (1 process), 1 lost"):
        assert f"─ {title} ─" in picture


def test_monitor_in_a_pipe_goes_on(streamq: Program, seed: Seed) -> None:
    """An object an interval, with the rates between two of them, until it is interrupted."""
    process = streamq.start("monitor", "--json", "--interval", "200ms")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["sent_per_s"] is None
    seed.send(50)

    def sent() -> float:
        assert process.stdout is not None
        return float(json.loads(process.stdout.readline())["sent_per_s"])

    assert wait_until(sent, "what was sent shows as a rate") <= 250
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0


def test_monitor_takes_the_screen_and_gives_it_back(streamq: Program, lively: Seed) -> None:
    """It follows what happens, and leaves with q."""
    with Screen(streamq, "monitor", "--interval", "50ms", size=(80, 24)) as screen:
        screen.shows("Workers: 1 alive")
        assert len(screen.now.splitlines()) <= 24
        lively.send(1200, "l")
        screen.shows("1,200")
        screen.press(b"q")
        assert screen.ended() == 0
    assert screen.was_given_back


def test_monitor_is_drawn_anew_for_another_size(streamq: Program, lively: Seed) -> None:
    """At once, not at the next reading."""
    with Screen(streamq, "monitor", "--interval", "1h", size=(100, 30)) as screen:
        screen.shows("Times")
        screen.resize(60, 24)
        wait_until(lambda: "Times" not in screen.now and "Tasks" in screen.now, "the panel of times has no room")
        screen.press(b"q")
        assert screen.ended() == 0


@pytest.mark.parametrize("command", ["monitor", "pending --watch"])
def test_no_screen_is_taken_for_a_server_that_was_never_there(alone: Program, command: str) -> None:
    """The error stands in the terminal, below the command."""
    done = alone.on_terminal(*command.split(), "--url", "redis://127.0.0.1:1/0")
    assert done.status == 3
    assert "no server answers at redis://127.0.0.1:1/0" in done.out
    assert "\x1b[?1049h" not in done.out


def test_stats_breaks_its_lines_at_commas(streamq: Program, lively: Seed) -> None:
    """On a terminal of 80 columns no name or number is cut in two."""
    shown = streamq.on_terminal("stats", COLUMNS="80", TERM="dumb").out
    begin = shown.index("totals")
    totals = shown[begin : shown.index("\nworkers", begin)].splitlines()
    assert len(totals) > 1
    assert max(map(len, totals)) <= 80
    assert all(line.endswith(",") for line in totals[:-1])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_gives_the_screen_back(streamq: Program, number: int, status: int) -> None:
    """Ctrl-C leaves as q does; SIGTERM ends."""
    with Screen(streamq, "monitor") as screen:
        screen.shows("q quits")
        screen.process.send_signal(number)
        assert screen.ended() == status
    assert screen.was_given_back


def test_monitor_outlives_its_server(alone: Program) -> None:
    """It says what is wrong, over what was known last, and goes on when the server is back."""
    assert alone("server", "start").status == 0
    with Screen(alone, "monitor", "--interval", "50ms") as screen:
        screen.shows("Tasks")
        assert alone("server", "stop").status == 0
        screen.shows("server away")
        assert "Tasks" in screen.now
        assert alone("server", "start").status == 0
        wait_until(lambda: "server away" not in screen.now and "Tasks" in screen.now, "it goes on")
        screen.press(b"q")
        assert screen.ended() == 0
    assert alone("server", "stop").status == 0


_VIEWS = ["stats", "monitor", "monitor --once", "pending", "pending --watch", "workers", "queues", "dead list"]


@pytest.mark.parametrize("command", _VIEWS)
def test_a_server_that_is_not_there(alone: Program, command: str) -> None:
    """Exit status 3, one line and a hint; nothing is printed on stdout, and nothing is waited for."""
    done = alone(*command.split(), "--url", "redis://127.0.0.1:1/0")
    assert (done.status, done.out) == (3, "")
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["streamq", "hint"]
