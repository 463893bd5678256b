"""`doctor` as people and programs see it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from streamq.keys import GROUP
from streamq.server import embedded
from tests.cli.conftest import Program
from tests.integration.server.servers import free_port
from tests.seeds import Seed

FIELDS = {"id", "level", "what", "mend", "area", "subjects", "mended"}


def orphan(seed: Seed) -> str:
    """A task that nobody will bring."""
    [task_id] = seed.send(1)
    seed.take("gone-1")
    seed.client.xgroup_delconsumer(seed.keys["default"], GROUP, "gone-1")
    return task_id


def test_json_is_one_object(streamq: Program, seed: Seed, queue_name: str) -> None:
    """`ok` and the findings; a healthy queue ends with 0."""
    done = streamq("doctor", "--json")
    assert (done.status, done.err) == (0, "")
    [told] = done.lines
    assert told["ok"] is True
    assert told["queue"] == queue_name
    assert all(each.keys() == FIELDS for each in told["findings"])
    assert {each["level"] for each in told["findings"]} <= {"ok", "note"}


def test_in_a_pipe_a_finding_is_a_plain_line(streamq: Program, seed: Seed) -> None:
    """Level, id and what; what to change is set in; the sum at the end; exit status 1 for a fault."""
    task_id = orphan(seed)
    done = streamq("doctor")
    assert done.status == 1
    assert "\x1b" not in done.out
    lines = done.out.splitlines()
    [at] = [i for i, line in enumerate(lines) if line.startswith("fault    orphaned-entries ")]
    assert task_id in lines[at]
    assert lines[at + 1].strip().startswith("-> `streamq doctor --repair` parks them")
    assert lines[-1].startswith("1 fault, ")
    assert "`streamq doctor --repair` mends what can be mended" in done.err


def test_the_repair_is_told(streamq: Program, seed: Seed) -> None:
    """What was done, in the words of the finding; exit status 0, since no fault is left."""
    orphan(seed)
    done = streamq("doctor", "--repair")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    [at] = [i for i, line in enumerate(lines) if line.startswith("mended   orphaned-entries ")]
    assert "-> 1 parked, due now" in lines[at + 1]
    assert "no fault" in lines[-1]
    assert lines[-1].endswith("1 mended")
    assert "mended" not in streamq("doctor").out


def test_on_a_terminal_the_findings_are_grouped(streamq: Program, seed: Seed) -> None:
    """By what they are about, a sign each; NO_COLOR is obeyed."""
    orphan(seed)
    done = streamq.on_terminal("doctor")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.out)
    assert done.status == 1
    titles = [line for line in shown.splitlines() if line in {"Server", "Data directory", "Workers", "Queue"}]
    assert titles == ["Server", "Workers", "Queue"]
    assert "  ✗ 1 task was handed out and is in nobody's hands" in shown
    assert "→ `streamq doctor --repair` parks them" in shown
    assert "\x1b[1;31m" in done.out
    assert "\x1b[3" not in streamq.on_terminal("doctor", NO_COLOR="1").out
    repaired = streamq.on_terminal("doctor", "--repair")
    assert repaired.status == 0
    assert "mended: 1 parked" in repaired.out


def test_text_of_others_is_harmless(streamq: Program, seed: Seed) -> None:
    """A consumer's name is anybody's."""
    seed.client.xgroup_createconsumer(seed.keys["default"], GROUP, "x-1")
    seed.send(1)
    seed.client.xreadgroup(GROUP, "evil\x1b[2J-1", {seed.keys["default"]: ">"})
    done = streamq("doctor")
    assert "\x1b" not in done.out
    assert "evil\\x1b[2J-1" in done.out


def test_a_server_that_is_not_there_is_status_3(alone: Program) -> None:
    """As for every command."""
    done = alone("doctor", "--url", f"redis://127.0.0.1:{free_port()}")
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith("streamq: error: ")


def test_the_embedded_server_is_started_and_its_directory_looked_at(alone: Program, tmp_path: Path) -> None:
    """Works from nothing, as every command does."""
    done = alone("doctor", "--json")
    told = json.loads(done.out)
    embedded.stop(tmp_path / ".streamq")
    assert done.status == 0
    assert {each["area"] for each in told["findings"]} == {"server", "directory", "workers", "queue"}
    assert {each["id"]: each["level"] for each in told["findings"]}["durability"] == "note"
