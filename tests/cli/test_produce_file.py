"""`streamq produce --file`: what is read once and twice, what is held of it, and what is shown meanwhile."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import pytest

from streamq.cli.images import Item
from streamq.cli.taskfile import bursts
from streamq.errors import ConfigError, UsageError
from streamq.prepared import Options
from tests.cli.conftest import Program
from tests.cli.screen import Screen
from tests.conftest import wait_until
from tests.seeds import Seed

NOTHING: Options = {}


def lines(many: int) -> str:
    """The lines of a file of tasks."""
    return "".join(f'{{"task": "mail", "args": {{"n": {n}}}}}\n' for n in range(many))


def test_a_pipe_is_sent_as_it_comes(streamq: Program, seed: Seed) -> None:
    """It can be read only once: a line does not wait for the next one, and one that cannot be sent is told with its number."""
    os.mkfifo(streamq.folder / "tasks")
    process = streamq.start("produce", "--file", "tasks", "--json")
    assert process.stdout is not None
    with (streamq.folder / "tasks").open("wb", buffering=0) as pipe:
        pipe.write(lines(1).encode())
        first = json.loads(process.stdout.readline())
        assert seed.link.call("XLEN", seed.keys["default"]) == 1
        pipe.write(b"nonsense\n" + lines(1).encode())
    out, err = process.communicate()
    refused, last = map(json.loads, out.splitlines())
    assert (first["state"], last["state"], refused["source"]) == ("waiting", "waiting", "line 2")
    assert (process.returncode, b"sent 2 tasks, 1 refused" in err) == (1, True)


def test_a_file_is_never_held_as_a_whole(tmp_path: Path) -> None:
    """Neither while it is checked nor while it is sent: five times the lines take the same memory."""
    path = tmp_path / "tasks.jsonl"

    def most(tasks: int) -> int:
        path.write_text(lines(tasks), encoding="utf-8")
        tracemalloc.start()
        found, many = bursts(str(path), NOTHING, shown=False)
        assert (many, sum(1 for burst in found for _ in burst)) == (tasks, tasks)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert most(20_000) < 1.5 * most(4_000)


def test_a_file_that_grows_is_sent_as_it_was_checked(tmp_path: Path) -> None:
    """What was written to it since is not sent: nobody has checked it."""
    path = tmp_path / "tasks.jsonl"
    path.write_text(lines(2) + "\n", encoding="utf-8")
    found, many = bursts(str(path), NOTHING, shown=False)
    with path.open("a", encoding="utf-8") as file:
        file.write("nonsense\n")
    assert [isinstance(each, Item) for burst in found for each in burst] == [True] * 2
    assert many == 2


def test_a_line_without_an_end_is_refused(tmp_path: Path) -> None:
    """Whatever stands in a file, it is not read into memory for as long as no line ends."""
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match=r"a line of .*disk\.img is longer than 4194304 bytes"):
        bursts(str(path), NOTHING, shown=False)


def test_the_first_faults_are_told(tmp_path: Path) -> None:
    """Each with its line; the rest of the file is not looked at."""
    path = tmp_path / "tasks.jsonl"
    path.write_text(lines(3) + "nonsense\n" * 100_000, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        bursts(str(path), NOTHING, shown=False)
    assert [fault.split(":")[1] for fault in refused.value.faults] == [str(4 + n) for n in range(20)]


def test_a_faulty_file_starts_no_server(alone: Program) -> None:
    """It is checked before anything else happens."""
    (alone.folder / "tasks.jsonl").write_text("nonsense\n", encoding="utf-8")
    ended = alone("produce", "--file", "tasks.jsonl")
    assert (ended.status, list(alone.folder.iterdir())) == (2, [alone.folder / "tasks.jsonl"])
    assert [line.partition(": ")[0] for line in ended.err.splitlines()] == ["streamq", "hint"]


def test_a_long_check_shows_how_far_it_is(streamq: Program) -> None:
    """On a terminal; here the file grows until the bar is there. In a pipe nothing is drawn."""
    path = streamq.folder / "tasks.jsonl"
    path.write_text(lines(20_000), encoding="utf-8")
    assert "\x1b" not in streamq("produce", "--file", "tasks.jsonl", "--dry-run").err
    with Screen(streamq, "produce", "--file", "tasks.jsonl", "--dry-run") as screen, path.open("a", encoding="utf-8") as file:

        def shows() -> bool:
            file.write(lines(5_000))
            return "checking tasks.jsonl" in screen.now

        wait_until(shows, "the check is drawn")
        assert screen.ended() == 0


def test_a_long_sending_shows_how_much_is_left(streamq: Program, seed: Seed) -> None:
    """Once a file is checked it is known how many tasks it has; with `--json` on the same terminal no bar is drawn."""
    (streamq.folder / "tasks.jsonl").write_text(lines(5), encoding="utf-8")
    streamq.environment["STREAMQ_QUEUE__MAX_SIZE"] = "2"
    with Screen(streamq, "produce", "--file", "tasks.jsonl") as screen:
        wait_until(lambda: "━" in screen.now and "2/5" in screen.now, lambda: f"the bar is drawn; now: {screen.now}")
        taken = 0
        while taken < 5:
            taken += len(entries := wait_until(lambda: seed.take("w1-a", 1), "there is a task"))
            seed.finish("w1-a", entries)
        assert screen.ended() == 0
    streamq.environment["STREAMQ_QUEUE__MAX_SIZE"] = "100"
    assert "━" not in streamq.on_terminal("produce", "--file", "tasks.jsonl", "--json").out
