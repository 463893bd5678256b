"""`streamq task` and `streamq tasks`: one task by its id, and lists."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable

import pytest

from tests.cli.conftest import Program
from tests.seeds import Seed

#: What `task show --json` tells of every task.
FIELDS = {"id", "task", "args", "priority", "state", "worker", "deliveries", "max_deliveries", "attempts", "result", "error"} | {
    f"{name}_ms" for name in ("sent", "due", "started", "ended")
}


def test_show_is_one_object_with_every_field(streamq: Program, seed: Seed) -> None:
    """Whatever the state is; all times are whole milliseconds."""
    [dead], [waiting] = seed.dead(task="mail"), seed.send()
    for task_id, state in ((waiting, "waiting"), (dead, "dead"), ("d1-1", "unknown")):
        ended = streamq("task", "show", task_id, "--json")
        [shown] = ended.lines
        assert shown.keys() >= FIELDS
        assert (shown["id"], shown["state"], ended.status) == (task_id, state, int(state == "unknown"))
        assert all(isinstance(value, int | None) for name, value in shown.items() if name.endswith("_ms"))


def test_show_for_people(streamq: Program, seed: Seed) -> None:
    """Names and values, each attempt, the traceback; several tasks with an empty line between."""
    [dead], [waiting] = seed.dead(1, "error", "ValueError: \x1b[31mred"), seed.send()
    shown = streamq("task", "show", dead, waiting).out
    assert re.search(r"^state +dead$", shown, re.MULTILINE)
    assert re.search(r"^deliveries +1 of 5$", shown, re.MULTILINE)
    assert re.search(r"^  attempt 1 on w1, ended (just now|\ds ago): ValueError: \\x1b\[31mred$", shown, re.MULTILINE)
    assert "\n  Traceback (most recent call last):\n" in shown
    assert f"\n\nid          {waiting}\n" in shown
    assert "\x1b" not in shown
    on_terminal = streamq.on_terminal("task", "show", dead).out
    assert "\x1b[31mdead\x1b[0m" in on_terminal
    assert r"\x1b[31mred" in on_terminal


def test_wait_ends_when_all_have(streamq: Program, seed: Seed, blocked: Callable[[], None]) -> None:
    """What has ended before counts, as does what nobody knows; a line each as it ends."""
    good, bad = seed.send(2)
    [dead] = seed.send()
    process = streamq.start("task", "wait", good, bad, "d1-1", "--json")
    blocked()
    first, second, third = seed.take("w1-a", 3)
    seed.finish("w1-a", [third, second])
    assert seed.run.cancel(good, "me") == "running"
    out, err = process.communicate()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["id"], line["state"]) for line in lines] == [("d1-1", "unknown"), (bad, "finished"), (good, "cancelled")]
    assert lines[0].keys() >= {"id", "state", "result", "error", "attempts"}
    assert (process.returncode, err) == (1, b"")
    ended = streamq("task", "wait", bad, dead)
    assert (ended.status, ended.out) == (0, f"{bad}  finished\n{dead}  finished\n")
    assert first.address == good


def test_wait_with_a_time_limit(streamq: Program, seed: Seed) -> None:
    """What has not ended by then is told; exit status 1."""
    [task_id] = seed.send()
    ended = streamq("task", "wait", task_id, "--timeout", "10ms")
    assert (ended.status, ended.out, ended.err) == (1, "", f"streamq: {task_id} has not ended yet\n")


def test_wait_outlasts_a_history_that_was_cut(streamq: Program, seed: Seed, blocked: Callable[[], None]) -> None:
    """Endings that went by while nobody looked are noticed, and what is waited for is looked up."""
    [task_id] = seed.send()
    process = streamq.start("task", "wait", task_id)
    blocked()
    process.send_signal(signal.SIGSTOP)
    seed.bury("w1-a", seed.take("w1-a")[0])
    for _ in range(3):
        seed.send(70)
        seed.finish("w1-a", seed.take("w1-a"))
    assert task_id not in str(seed.link.call("XRANGE", seed.keys["ended"], "-", "+"))
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate()
    assert (process.returncode, out) == (1, f"{task_id}  dead: ValueError: no image\n".encode())


def test_a_task_that_vanished_is_not_waited_for_for_ever(streamq: Program, seed: Seed, blocked: Callable[[], None]) -> None:
    """Its server lost it, or somebody deleted it: after some seconds it is `unknown`."""
    [task_id] = seed.send()
    process = streamq.start("task", "wait", task_id)
    blocked()
    seed.link.call("DEL", seed.keys["default"])
    out, _ = process.communicate()
    assert (process.returncode, out) == (1, f"{task_id}  unknown\n".encode())


def test_cancel(streamq: Program, seed: Seed) -> None:
    """Waiting, scheduled and running tasks; what has ended, or never was, is told, with exit status 1."""
    [dead] = seed.dead()
    first, second = seed.send(2)
    [later] = seed.send(1, "d;+60000;;")
    assert [task.address for task in seed.take("w1-a", 1)] == [first]
    ended = streamq("task", "cancel", second, later)
    assert (ended.status, ended.out) == (0, f"{second}  cancelled\n{later}  cancelled\n")
    lines = streamq("task", "cancel", first, dead, second, "d1-1", "--json")
    assert lines.status == 1
    assert [(line["id"], line["done"]) for line in lines.lines] == [
        (first, True),
        (dead, False),
        (second, False),
        ("d1-1", False),
    ]
    assert [line["what"] for line in lines.lines][1:] == ["dead", "cancelled already", "unknown"]


def test_retry(streamq: Program, seed: Seed) -> None:
    """A dead letter goes back, a scheduled or retrying task becomes due; what cannot be tried again is told."""
    [dead] = seed.dead()
    [later] = seed.send(1, "d;+60000;;")
    ended = streamq("task", "retry", dead, later)
    assert (ended.status, ended.out) == (0, f"{dead}  back in its queue\n{later}  due now\n")
    taken = seed.take("w1-a")
    assert len(taken) == 2
    seed.finish("w1-a", [task for task in taken if task.address == later])
    again = streamq("task", "retry", dead, later, "d1-1")
    assert (again.status, again.out) == (1, f"{dead}  runs already\n{later}  finished already\nd1-1  unknown\n")


def test_a_dead_letter_whose_key_is_taken_stays(streamq: Program, seed: Seed) -> None:
    """Two tasks with one unique key cannot both be in the queue."""
    seed.send(1, "d;;;u", key="k")
    [task] = seed.take("w1-a", 1)
    dead = seed.bury("w1-a", task)
    [holder] = seed.send(1, "d;;;u", key="k")
    ended = streamq("task", "retry", dead)
    assert (ended.status, ended.out) == (1, f"{dead}  its unique key belongs to {holder} now\n")


def test_tasks_in_a_pipe_are_plain_lines(streamq: Program, seed: Seed) -> None:
    """A heading, then a line a task, columns aligned, nothing that a terminal obeys."""
    seed.send(1, args='{"source": "a\\u001b[2J\\n.jpg"}')
    seed.dead(error="OSError: \x1b]0;owned\x07")
    out = streamq("tasks").out
    assert [line.split()[1] for line in out.splitlines()] == ["STATE", "waiting", "dead"]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)
    assert r"source=a\x1b[2J\n.jpg" in out


def test_a_list_that_is_not_whole_says_how_it_goes_on(streamq: Program, seed: Seed) -> None:
    """On stderr, so that the lines of --json are tasks and nothing else."""
    ids = seed.send(5)
    bounded = streamq("tasks", "--task", "nosuch", "--look", "3", "--json")
    assert (bounded.status, bounded.lines) == (0, [])
    goes_on = f"`--after waiting:{ids[2]}` goes on, --look looks further"
    assert bounded.err == f"streamq: 3 tasks were looked at, and no such found; {goes_on}\n"
    first = streamq("tasks", "--limit", "2", "--json")
    place = f"waiting:{ids[1]}"
    assert first.err == f"streamq: there are more than these 2; --limit shows more, `--after {place}` goes on\n"
    rest = streamq("tasks", "--after", place, "--json")
    assert [line["id"] for line in first.lines + rest.lines] == ids
    assert rest.err == ""
    refused = streamq("tasks", "--after", "here")
    assert (refused.status, refused.err.splitlines()[0]) == (
        2,
        "streamq: error: --after: 'here' is no place in a list of tasks",
    )


def test_tasks_on_a_terminal_is_a_table(streamq: Program, seed: Seed) -> None:
    """With colours for states, and without where NO_COLOR is set; hostile text stays harmless."""
    seed.dead(args='{"source": "\\u001b[2J"}')
    shown = streamq.on_terminal("tasks").out
    assert "\x1b[31mdead" in shown
    assert "\x1b[2J" not in shown
    assert "\x1b[31m" not in streamq.on_terminal("tasks", NO_COLOR="1").out


@pytest.mark.parametrize("columns", [80, 120])
def test_a_narrow_terminal_cuts_no_id_and_no_state(streamq: Program, seed: Seed, columns: int) -> None:
    """Long texts are cut, and columns of less weight left out, which is said; no line is longer than the terminal is wide."""
    [dead] = seed.dead(args=f'{{"source": "{"photos/" * 20}a.jpg"}}', error=f"OSError: {'broken ' * 30}")
    seed.held("a-worker-with-a-rather-long-name-12345")
    narrow = {"COLUMNS": str(columns), "NO_COLOR": "1"}
    for command, state in (("tasks", "running"), ("tasks", "dead"), ("dead list", "error")):
        shown = re.sub(r"\x1b\[[0-9;]*m", "", streamq.on_terminal(*command.split(), **narrow).out)
        assert re.search(rf"{dead} +.*…", shown)
        assert state in shown
        assert max(map(len, shown.splitlines())) <= columns
        assert ("not shown: priority, tries" in shown) == (columns == 80 and command == "tasks")


@pytest.mark.parametrize(
    ("options", "states"),
    [
        ([], ["running", "waiting", "waiting", "dead", "cancelled"]),
        (["--state", "waiting", "--state", "dead"], ["waiting", "waiting", "dead"]),
        (["--task", "mail"], ["dead"]),
        (["--where", "source=b*"], ["waiting"]),
        (["--where", "n=1", "--since", "1h"], ["waiting"]),
        (["--where", "worker=w1", "--state", "running"], ["running"]),
        (["--limit", "2"], ["running", "waiting"]),
        (["--since", "2100-01-01"], []),
    ],
)
def test_tasks_lists_what_is_asked_for(streamq: Program, seed: Seed, options: list[str], states: list[str]) -> None:
    """By state, name, arguments, time; at most so many, and it is said where there are more."""
    seed.dead(task="mail")
    [cancelled] = seed.send()
    seed.run.cancel(cancelled, "me")
    seed.held("w1-a")
    seed.send(1, args='{"source": "b.jpg"}')
    seed.send(1, args='{"source": "c.jpg", "n": 1}')
    ended = streamq("tasks", "--json", *options)
    assert (ended.status, [line["state"] for line in ended.lines]) == (0, states)
    assert ("there are more than these 2" in ended.err) == ("--limit" in options)
    assert all(line.keys() >= FIELDS for line in ended.lines)


def test_finished_images_come_from_the_catalogue(streamq: Program, seed: Seed) -> None:
    """With source, output and size, made by a real worker; a catalogue that cannot be read costs exit status 1, not the list."""
    data = ["--data", str(streamq.folder / "data")]
    assert streamq("produce", "--width", "20", *data).status == 0
    assert streamq("consume", "--drain", "--processes", "1", *data).status == 0
    ended = streamq("tasks", "--state", "finished", "--where", "source=*coffee.jpg", "--json", *data)
    [line] = ended.lines
    assert (line["task"], line["result"]["width"], line["args"]["output"]) == ("image", 20, "processed/coffee_resize_20x.jpg")
    seed.link.call("DEL", seed.keys["ended"])
    assert len(streamq("tasks", "--json", *data).lines) == 5
    catalogue = streamq.folder / "data/catalogue.db"
    catalogue.write_bytes(b"no database")
    broken = streamq("tasks", "--json", *data)
    assert (broken.status, broken.lines) == (1, [])
    assert "streamq: error: the catalogue sqlite:///" in broken.err


@pytest.mark.parametrize(
    ("arguments", "what", "hint"),
    [
        (["tasks", "--since", "1x"], "--since: '1x' is not a point in time", "Such as 1h (an hour ago)"),
        (["dead", "retry", "xx"], "ID: 'xx' is not the id of a task", "An id looks like"),
        (["task", "show", "xx"], "ID: 'xx' is not the id of a task", "An id looks like"),
    ],
)
def test_a_wrong_value_is_told_with_its_parameter(streamq: Program, arguments: list[str], what: str, hint: str) -> None:
    """By the name that a person knows, and with what would be right."""
    ended = streamq(*arguments)
    assert ended.status == 2
    error, mend = ended.err.splitlines()
    assert error == f"streamq: error: {what}"
    assert mend.startswith(f"hint: {hint}")
