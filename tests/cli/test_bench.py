"""`streamq bench`: what it tells, and that nothing of it is left, however it ends. What it measures is no test's business."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from streamq.keys import GROUP, QUEUES
from tests.cli.conftest import Ended, Program
from tests.conftest import wait_until
from tests.integration.server.servers import answers, free_port
from tests.lua.servers import server_binary
from tests.seeds import Seed

#: As short as it may be.
SHORT = ("--seconds", "50ms", "--processes", "1")
PARTS = ("send", "empty", "waiting", "images", "latency")


class Yard:
    """The command, and what it leaves behind on the server and the disk."""

    def __init__(self, program: Program, client: redis.Redis) -> None:
        self.program = program
        self.client: Any = client
        self.folder = program.folder / "tmp"
        self.folder.mkdir()
        program.environment["TMPDIR"] = str(self.folder)

    def __call__(self, *arguments: str) -> Ended:
        """Run it to its end."""
        return self.program("bench", *SHORT, *arguments)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start it, and wait until its worker holds tasks."""
        process = self.program.start("bench", *arguments, "--json")
        wait_until(self.at_work, "the worker of the run holds tasks", 60)
        return process

    @property
    def left(self) -> list[str]:
        """Keys, names of queues and files that are there now."""
        keys = [key.decode() for key in self.client.scan_iter("streamq:{bench-*", 1000)]
        queues = [name.decode() for name in self.client.smembers(QUEUES) if name.startswith(b"bench-")]
        return keys + queues + [str(path) for path in self.folder.iterdir()]

    def at_work(self) -> bool:
        """Whether tasks of the run are in somebody's hands."""
        streams = list(self.client.scan_iter("streamq:{bench-*}:default", 1000))
        try:
            return any(self.client.xpending(stream, GROUP)["pending"] for stream in streams)
        except redis.ResponseError:  # the group is not made yet, or the stream is gone
            return False


@pytest.fixture
def bench(streamq: Program, client: redis.Redis) -> Iterator[Yard]:
    """The command at the session's server; whatever a test does to it, nothing of it may be left."""
    yard = Yard(streamq, client)
    yield yard
    assert yard.left == []


def children(process: subprocess.Popen[bytes], module: str) -> list[psutil.Process]:
    """The processes below a run that run a module of streamq."""
    return [each for each in psutil.Process(process.pid).children(recursive=True) if module in each.cmdline()]


def test_json_is_one_object_with_every_figure(bench: Yard, seed: Seed) -> None:
    """Machine, server, settings and each part; another queue of the server is as it was."""
    seed.send(3)
    before = {key: bench.client.dump(key) for key in bench.client.scan_iter(f"{seed.keys.prefix}*")}
    ended = bench("--json", "--concurrency", "3")
    assert ended.status == 0, ended.err
    [told] = ended.lines
    assert told["machine"].keys() == {"cores", "system", "python", "streamq", "redis_py", "load"}
    assert told["server"]["url"] == bench.program.environment["STREAMQ_URL"]
    assert told["settings"] == {
        "queue": told["settings"]["queue"],
        "parts": list(PARTS),
        "seconds": 0.05,
        "processes": 1,
        "sync_slots": 3,
        "async_slots": 3,
    }
    assert told["failed"] == 0
    assert 0 < told["round_trip_ms"]["p50"] <= told["round_trip_ms"]["p99"]
    for rate in (*(told["send"][name] for name in ("single", "xadd", "bulk", "pipeline")), *told["empty"].values()):
        assert 0 <= rate["lowest"] <= rate["per_s"] <= rate["highest"]
        assert rate["per_s"] > 0
    assert told["send"]["single_ratio"] > 0
    assert told["send"]["bulk_ratio"] > 0
    assert told["waiting"]["wait_ms"] == 100
    for waited in (told["waiting"]["sync"], told["waiting"]["async"]):
        assert (waited["slots"], waited["tasks"], waited["ideal_per_s"]) == (3, 6, 30)
        assert 0 < waited["share"] <= 1
    assert told["images"]["per_s"] > 0
    assert (told["images"]["width"], told["images"]["height"], told["images"]["thumbnail"]) == (4000, 3000, 800)
    assert told["latency"]["tasks"] == 20
    assert 0 < told["latency"]["start_ms"]["p50"] <= told["latency"]["start_ms"]["p99"]
    assert {key: bench.client.dump(key) for key in bench.client.scan_iter(f"{seed.keys.prefix}*")} == before
    assert not list(bench.program.folder.rglob("catalogue.db"))


def test_the_parts_that_are_named_are_measured(bench: Yard) -> None:
    """In the order of the run, whatever the order of the words; the others are null."""
    [told] = bench("latency", "send", "--json").lines
    assert told["settings"]["parts"] == ["send", "latency"]
    assert [part for part in PARTS if told[part] is None] == ["empty", "waiting", "images"]


def test_in_a_pipe_a_figure_is_a_plain_line(bench: Yard) -> None:
    """With its unit, and what it is to be held against; stderr says before what will be written, and that it will be removed."""
    ended = bench("send", "waiting")
    assert ended.status == 0
    assert "\x1b" not in ended.out
    lines = ended.out.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["machine", "server", "round", "worker", "measured"]
    [single] = [line for line in lines if line.startswith("  one by one ")]
    assert "/s " in single
    assert "redis-py's xadd, " in single
    [waited] = [line for line in lines if line.startswith("  sync, 4 slots ")]
    assert waited.endswith("of what the slots can do, 40/s")
    [note] = ended.err.splitlines()
    assert note.startswith("streamq: queue bench-")
    assert note.endswith("it is removed at the end")


def test_on_a_terminal_what_is_done_is_said_meanwhile(bench: Yard) -> None:
    """And the figures stand out, unless NO_COLOR says that nothing may."""
    ended = bench.program.on_terminal("bench", *SHORT, "send")
    assert ended.status == 0
    assert "sending" in ended.out
    assert "\x1b[1;36m" in ended.out
    assert "\x1b[1;36m" not in bench.program.on_terminal("bench", *SHORT, "send", NO_COLOR="1").out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted_it_removes_everything(bench: Yard, number: int, status: int) -> None:
    """At once, and further signals do not cut that short; nothing is printed."""
    inherited = signal.signal(number, signal.SIG_DFL)  # a signal that whoever runs the tests ignores is ignored by what it starts
    try:
        process = bench.start("waiting", "--seconds", "30")
    finally:
        signal.signal(number, inherited)
    assert bench.left

    def has_ended() -> bool:
        process.send_signal(number)
        return process.poll() is not None

    wait_until(has_ended, "it has ended, signalled again and again")
    out, err = process.communicate()
    assert (process.returncode, out) == (status, b"")
    assert b"Traceback" not in err
    assert b"error" not in err


def test_interrupted_while_it_sends_it_removes_everything(bench: Yard) -> None:
    """There is no worker yet."""
    process = bench.program.start("bench", "send", "--seconds", "30")
    wait_until(lambda: any(":default" in key for key in bench.left), "something was sent", 60)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130


def test_results_are_removed_with_the_rest(bench: Yard) -> None:
    """Those of tasks that had ended when it was interrupted."""
    process = bench.program.start("bench", "latency", "--seconds", "30", "--processes", "1")
    wait_until(lambda: any(":result:" in key for key in bench.left), "a task has ended", 60)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130


def test_processes_of_the_worker_that_die_are_told(bench: Yard) -> None:
    """They are replaced, and their tasks run again: the run ends, and says that its figures are spoilt."""
    process = bench.start("waiting", "--seconds", "2", "--processes", "2")
    for child in children(process, "streamq.worker.child"):
        child.kill()
    out, _ = process.communicate()
    assert process.returncode == 0
    told = json.loads(out)
    assert told["failed"] > 0
    assert any("lost their process" in hint for hint in told["hints"])


def test_a_worker_that_is_killed_ends_the_run(bench: Yard) -> None:
    """With an error, exit status 1; its processes have gone with it."""
    process = bench.start("waiting", "--seconds", "30")
    [supervisor] = children(process, "streamq.bench.crew")
    supervisor.kill()
    out, err = process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert b"streamq: error: the worker that was measured was killed by signal 9" in err


@pytest.mark.parametrize("part", ["send", "waiting"])
def test_a_run_that_is_killed_leaves_its_removal_to_the_worker(bench: Yard, part: str) -> None:
    """Keys, folder and processes are gone soon after, also while the worker had nothing to do yet."""
    process = bench.program.start("bench", part, "--seconds", "30")
    wait_until(lambda: any(":default" in key for key in bench.left), "something was sent", 60)
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    wait_until(lambda: not bench.left, lambda: f"nothing is left of the run: {bench.left}")
    wait_until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in below), "they have ended")


def test_a_server_that_is_nearly_full_is_left_alone(bench: Yard) -> None:
    """Exit status 3, before anything is written."""
    used = bench.client.info("memory")["used_memory"]
    bench.client.config_set("maxmemory", used + (8 << 20))
    try:
        ended = bench()
    finally:
        bench.client.config_set("maxmemory", 0)
    assert (ended.status, ended.out) == (3, "")
    assert "streamq: error: the server uses " in ended.err
    assert "hint: raise its maxmemory" in ended.err


def test_who_may_not_remove_may_not_write_either(bench: Yard, server: str) -> None:
    """A user without UNLINK is refused before the first entry."""
    name = f"keeper-{bench.program.environment['STREAMQ_QUEUE'][-8:]}"
    bench.client.acl_setuser(name, enabled=True, passwords=["+secret"], keys=["*"], channels=["*"], commands=["+@all", "-unlink"])
    bench.program.environment["STREAMQ_URL"] = server.replace("unix://", f"unix://{name}:secret@")
    try:
        ended = bench()
        assert (ended.status, ended.out) == (3, "")
        assert "may not do what a queue needs" in ended.err
        assert "secret" not in ended.err
    finally:
        bench.client.acl_deluser(name)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--seconds", "1ms"], "--seconds: from 50ms to 1m, not 1ms"),
        (["--seconds", "1h"], "--seconds: from 50ms to 1m, not 1h"),
        (["--processes", "6", "--concurrency", "9000"], "6 processes of 9,000 slots are too many to measure"),
        (["everything"], "invalid value for '[PART]...': 'everything' is not one of 'send', 'empty', "),
    ],
)
def test_what_cannot_be_measured_is_wrong_usage(bench: Yard, arguments: list[str], what: str) -> None:
    """Exit status 2, and nothing is written."""
    ended = bench.program("bench", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"streamq: error: {what}")


@pytest.mark.parametrize("part", ["send", "waiting"])
def test_a_server_that_goes_away_ends_the_run(bench: Yard, tmp_path: Path, part: str) -> None:
    """Exit status 3; which keys are left on it, should it come back, is said, and nothing else is left."""
    port = free_port()
    where = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path))
    with subprocess.Popen([str(server_binary()), *where], stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(port), "the server answers")
            bench.program.environment |= {"STREAMQ_URL": f"redis://127.0.0.1:{port}", "STREAMQ_SERVER__WAIT": "0s"}
            run = bench.program.start("bench", part, "--seconds", "30", "--processes", "1")
            with redis.Redis(port=port) as client:
                wait_until(lambda: list(client.scan_iter("streamq:{bench-*}:default")), "something was sent", 60)
        finally:
            process.kill()
    _, err = run.communicate()
    assert run.returncode == 3
    assert b"\nstreamq: error: " in err
    assert b"the keys streamq:{bench-" in err
    assert b"Traceback" not in err


def test_a_server_that_is_away_is_told_as_everywhere(bench: Yard) -> None:
    """Exit status 3, before anything else is said."""
    bench.program.environment["STREAMQ_URL"] = "redis://:geheim@127.0.0.1:1"
    ended = bench()
    assert (ended.status, ended.out) == (3, "")
    assert ended.err.startswith("streamq: error: no server answers at redis://:***@127.0.0.1:1")
