"""`streamq produce`: what is sent, what is refused, and what is told of it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import click
import pytest

from streamq.cli.produce import PARAMETERS, SECTIONS, produce
from streamq.images.operations import OPERATIONS
from streamq.images.roots import SAMPLES
from tests.cli.conftest import Program
from tests.conftest import wait_until
from tests.seeds import Seed


def waiting(seed: Seed, priority: str = "default") -> list[dict[str, Any]]:
    """The arguments of the tasks that wait."""
    entries = seed.link.call("XRANGE", seed.keys[priority], "-", "+")
    return [json.loads(fields[fields.index(b"args") + 1]) for _, fields in entries]


def test_without_a_source_the_samples_are_sent(streamq: Program, seed: Seed) -> None:
    """And it is said which, what is done with them, and at which server."""
    ended = streamq("produce")
    assert ended.status == 0
    assert [args["source"] for args in waiting(seed)] == sorted(str(path) for path in SAMPLES.glob("*.jpg"))
    assert {(args["operation"], args["width"], args["height"]) for args in waiting(seed)} == {("thumbnail", 800, 800)}
    assert waiting(seed)[0]["output"] == "processed/astronaut_thumbnail_800x800.jpg"
    assert ended.err.splitlines() == [
        f"streamq: no source is named: the 5 sample photographs in {SAMPLES}",
        "streamq: no operation is named: thumbnail, at most 800 x 800 pixels",
        f"streamq: server {streamq.environment['STREAMQ_URL']} (given), queue {seed.keys.queue}",
        "streamq: sent 5 tasks",
        f"streamq: no worker runs at queue {seed.keys.queue}: `streamq consume` starts one",
    ]
    seed.worker("w1-a")
    assert streamq("produce").err.splitlines()[-1] == "streamq: sent 5 tasks"


def test_configured_sources_go_before_the_samples(streamq: Program, seed: Seed) -> None:
    """They are relative to the project, wherever in it the command is called."""
    streamq.touch("photos/a.jpg", "photos/notes.txt", "deep/er/x")
    (streamq.folder / "config.yaml").write_text("produce: {sources: [photos], output: out, priority: low}\n", encoding="utf-8")
    streamq.folder /= "deep/er"
    assert streamq("produce", "--operation", "flip").status == 0
    assert waiting(seed, "low") == [{"source": "photos/a.jpg", "output": "out/photos/a_flip.jpg", "operation": "flip"}]


def test_files_folders_and_globs(streamq: Program, seed: Seed) -> None:
    """Folders give their images by name, `--recursive` enters them; hidden files and results are passed over."""
    streamq.touch("a.jpg", "b.png", "c.txt", ".hidden.jpg", "in/d.jpg", "in/deep/e.WEBP", "processed/old.jpg")
    sent = streamq("produce", ".", "--operation", "flip", "--json").lines
    assert [line["args"]["source"] for line in sent] == ["a.jpg", "b.png"]
    sent = streamq("produce", ".", "-r", "--operation", "flip", "--json").lines
    assert [line["args"]["source"] for line in sent] == ["a.jpg", "b.png", "in/d.jpg", "in/deep/e.WEBP"]
    assert [line["args"]["output"] for line in sent][2:] == ["processed/in/d_flip.jpg", "processed/in/deep/e_flip.webp"]
    sent = streamq("produce", "**/*.*p*", "c.txt", "--operation", "grayscale", "--json").lines
    assert [line["args"]["source"] for line in sent] == ["a.jpg", "b.png", "in/d.jpg", "c.txt"]
    assert len(waiting(seed)) == 2 + 4 + len(sent)


def test_paths_on_stdin(streamq: Program) -> None:
    """A path a line, or with NUL behind each, as `find -print0` writes them; an empty stdin is nothing to do."""
    streamq.touch("a.jpg", "b c.jpg", "d\ne.jpg")
    sent = streamq("produce", "-", "--operation", "flip", "--json", stdin=b"a.jpg\n\nb c.jpg")
    assert [line["args"]["source"] for line in sent.lines] == ["a.jpg", "b c.jpg"]
    sent = streamq("produce", "-", "-0", "--operation", "flip", "--json", stdin=b"a.jpg\0d\ne.jpg\0")
    assert [line["args"]["source"] for line in sent.lines] == ["a.jpg", "d\ne.jpg"]
    nothing = streamq("produce", "-", "--operation", "flip")
    assert (nothing.status, nothing.out) == (0, "")


def test_what_comes_on_stdin_is_sent_at_once(streamq: Program, seed: Seed) -> None:
    """A path does not wait for the next one: `inotifywait … | streamq produce -` works."""
    streamq.touch("a.jpg")
    process = streamq.start("produce", "-", "--operation", "flip", "--json", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"a.jpg\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["args"]["source"] == "a.jpg"
    assert len(waiting(seed)) == 1
    process.communicate()
    assert process.returncode == 0


def test_a_source_that_cannot_be_sent_stops_no_other(streamq: Program, seed: Seed) -> None:
    """Missing, no file, outside of the roots, not UTF-8, the same result twice: each is told, exit status 1."""
    streamq.touch("a.jpg", "sub/a.jpg", "empty/x.txt")
    os.mkfifo(streamq.folder / "pipe.jpg")
    (streamq.folder / "link.jpg").symlink_to("/etc/hostname")
    os.close(os.open(os.fsencode(streamq.folder) + b"/\xff.jpg", os.O_CREAT))
    names = ["a.jpg", "no.jpg", "pipe.jpg", "link.jpg", "empty", "*.gif", "sub/a.jpg", "/etc/hostname"]
    ended = streamq("produce", *names, "--operation", "flip", "--name", "{stem}.{ext}", "--json")
    assert ended.status == 1
    errors = {line["source"]: line["error"] for line in ended.lines if "error" in line}
    assert errors.pop("link.jpg").startswith("source ")
    assert "lies outside of the image roots" in errors.pop("/etc/hostname")
    assert errors == {
        "no.jpg": "No such file or directory",
        "pipe.jpg": "is no ordinary file",
        "empty": "no image in this folder; --recursive looks into its folders",
        "*.gif": "nothing matches this pattern",
        "sub/a.jpg": "another task of this call has the result processed/a.jpg; --name tells them apart",
    }
    assert [args["source"] for args in waiting(seed)] == ["a.jpg"]
    ended = streamq("produce", "-", "--operation", "flip", stdin=b"\xff.jpg\n")
    assert (ended.status, ended.out) == (1, "")
    assert r"\udcff.jpg: its name cannot be sent: it is not UTF-8" in ended.err


def test_of_many_refused_sources_the_first_are_told(streamq: Program) -> None:
    """The others are counted; `--json` tells of each."""
    ended = streamq("produce", *(f"no{i}.jpg" for i in range(19)), "--operation", "flip")
    assert ended.status == 1
    assert ended.err.count("No such file or directory") == 5
    assert "streamq: … and 14 more cannot be sent; --json names them all" in ended.err
    assert "sent 0 tasks, 19 refused" in ended.err
    assert len(streamq("produce", *(f"no{i}.jpg" for i in range(19)), "--operation", "flip", "--json").lines) == 19


def test_an_unreadable_source_is_refused(streamq: Program) -> None:
    """Its permission is asked for before it is sent."""
    streamq.touch("a.jpg")
    (streamq.folder / "a.jpg").chmod(0)
    if os.access(streamq.folder / "a.jpg", os.R_OK):  # root may read everything
        ended = streamq("produce", "a.jpg", "--operation", "flip")
        assert ended.status == 0
    else:
        ended = streamq("produce", "a.jpg", "--operation", "flip")
        assert (ended.status, "a.jpg: Permission denied" in ended.err) == (1, True)


def test_a_result_never_replaces_its_source(streamq: Program) -> None:
    """However the names are chosen."""
    streamq.touch("a.jpg")
    ended = streamq("produce", "a.jpg", "--operation", "flip", "--output", ".", "--name", "{stem}.{ext}")
    assert ended.status == 1
    assert "its result would replace it" in ended.err


@pytest.mark.parametrize(
    ("options", "args", "name"),
    [
        (["--operation", "resize", "--width", "100"], {"operation": "resize", "width": 100}, "a_resize_100x.jpg"),
        (["--width", "9", "--fit", "inside"], {"operation": "resize", "width": 9, "fit": "inside"}, "a_resize_9x.jpg"),
        (["--format", "webp", "--quality", "9"], {"operation": "convert", "format": "webp", "quality": 9}, "a_convert.webp"),
        (["--operation", "crop", "--box", "0,0,5,6"], {"operation": "crop", "box": [0, 0, 5, 6]}, "a_crop_5x6.jpg"),
        (["--operation", "rotate", "--angle", "9"], {"operation": "rotate", "angle": 9}, "a_rotate.jpg"),
        (["--width", "9", "--no-enlarge"], {"operation": "resize", "width": 9, "enlarge": False}, "a_resize_9x.jpg"),
        (["--steps", '[{"operation": "flip"}]'], {"steps": [{"operation": "flip"}]}, "a_flip.jpg"),
        (["--preset", "card"], {"operation": "resize", "width": 40, "format": "png"}, "a_resize_40x.png"),
        (["--preset", "card", "--width", "8"], {"operation": "resize", "width": 8, "format": "png"}, "a_resize_8x.png"),
    ],
)  # fmt: skip
def test_what_is_done(streamq: Program, options: list[str], args: dict[str, Any], name: str) -> None:
    """Operations with their parameters, steps, presets with changes; the name says what was asked for."""
    streamq.touch("a.jpg")
    preset = "images: {presets: {card: {operation: resize, width: 40, format: png}}}\n"
    (streamq.folder / "config.yaml").write_text(preset, encoding="utf-8")
    [line] = streamq("produce", "a.jpg", "--json", "--dry-run", *options).lines
    assert line["args"] == {"source": "a.jpg", "output": f"processed/{name}"} | args
    assert (line["id"], line["state"]) == (None, None)


def test_the_output_folder_is_relative_to_where_the_command_is_typed(streamq: Program) -> None:
    """As every path on a command line is; the name template is the user's."""
    streamq.touch("in/a.jpg", "in/config.yaml")
    (streamq.folder / ".streamq").mkdir()
    (streamq.folder / "in/config.yaml").unlink()
    streamq.folder /= "in"
    options = ["--output", "out", "--name", "{stem}-{width}.{ext}", "--width", "7", "--json", "--dry-run"]
    [line] = streamq("produce", "a.jpg", *options).lines
    assert line["args"] == {"source": "in/a.jpg", "output": "in/out/a-7.jpg", "operation": "resize", "width": 7}


def test_the_configured_folder_is_relative_to_the_output_root(streamq: Program) -> None:
    """Which may lie inside of the folder that sources are relative to."""
    streamq.touch("a.jpg")
    (streamq.folder / "config.yaml").write_text("images: {output: results}\n", encoding="utf-8")
    [line] = streamq("produce", "a.jpg", "--operation", "flip", "--json", "--dry-run").lines
    assert line["args"]["output"] == "results/processed/a_flip.jpg"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["a.jpg", "--operation", "thumbnial"], "unknown operation 'thumbnial'"),
        (["a.jpg", "--width", "0"], "resize: width: expected `int` >= 1"),
        (["a.jpg", "--operation", "flip", "--width", "5"], "flip: it takes no `width`"),
        (["a.jpg", "--format", "xyz"], "unknown format 'xyz'"),
        (
            ["a.jpg", "--operation", "flip", "--direction", "up"],
            "flip: direction: expected one of horizontal, vertical, both, not 'up'",
        ),
        (["a.jpg", "--preset", "crad"], "no preset is named 'crad'"),
        (["a.jpg", "--steps", "{"], "--steps: expected JSON"),
        (["a.jpg", "--box", "1,2"], "--box: expected LEFT,TOP,RIGHT,BOTTOM"),
        (["a.jpg", "--name", "{stem}_{sise}"], "name template '{stem}_{sise}': unknown field {sise}"),
        (["a.jpg", "--output", "/etc"], "the folder of the results, /etc, lies outside of the output root"),
        (["a.jpg", "--unique", "k", "--delay", "5m", "--at", "+1h"], "delay and at say both when the task is due"),
        (["a.jpg", "b.jpg", "--unique", "k"], "--unique k would be the key of several tasks"),
        (["a.jpg", "--args", "{}"], "--args are those of a task"),
        (["-", "a.jpg"], "- stands for all sources"),
        (["--task", "mail", "a.jpg"], "SOURCE is for images, not for --task"),
        (["--task", "mail", "--width", "0"], "--width is for images, not for --task"),
        (["--task", "mail", "--no-enlarge"], "--enlarge is for images, not for --task"),
        (["--file", "x", "--name", "y"], "--name is for images, not for --file"),
        (["--task", "mail", "--args", "[]"], "field 'args': expected a JSON object"),
        (["--task", "image", "--args", '{"source": "a.jpg", "operation": "flap"}'], "unknown operation 'flap'"),
        (["--task", "image", "--args", "{}"], "an image task needs a source"),
        (["--task", "mail", "--file", "x"], "--task and --file cannot stand together"),
        (["--file", "no.jsonl"], "no.jsonl: No such file or directory"),
        (["--task", "mail", "--expires", "5m", "--delay", "10m"], "the task would expire before it is due"),
        (["--task", "mail", "--max-deliveries", "0"], "invalid value for '--max-deliveries'"),
    ],
)
def test_wrong_usage_sends_nothing(streamq: Program, seed: Seed, arguments: list[str], what: str) -> None:
    """Exit status 2, before anything is sent."""
    streamq.touch("a.jpg", "b.jpg")
    ended = streamq("produce", *arguments)
    assert (ended.status, ended.out) == (2, "")
    [error] = [line for line in ended.err.splitlines() if "error: " in line]
    assert error.startswith(f"streamq: error: {what}")
    assert waiting(seed) == []


def test_every_parameter_of_every_operation_has_an_option() -> None:
    """Those of the image task itself included, and no other."""
    fields = {name for kind in OPERATIONS.values() for name in kind.__struct_fields__}
    assert set(PARAMETERS) == fields | {"format", "quality", "background"}


def test_the_help_page_has_its_options_in_sections(alone: Program) -> None:
    """Each of its own below one heading, in a pipe and on a terminal; the fields of a file are named."""
    named = [name for names in SECTIONS.values() for name in names]
    own = {param.name for param in produce.params if isinstance(param, click.Option) and param.expose_value}
    assert len(named) == len(own)
    assert set(named) == own
    for page in (alone("produce", "--help").out, alone.on_terminal("produce", "--help", NO_COLOR="1").out):
        places = [page.index(title) for title in (*SECTIONS, "Options of every command")]
        assert places == sorted(places)
        assert "priority, delay, at," in page


def test_any_task_with_all_its_options(streamq: Program, seed: Seed) -> None:
    """What the options say stands in the entry."""
    options = ["--priority", "high", "--timeout", "30s", "--max-deliveries", "7", "--unique", "k", "--expires", "1h"]
    [line] = streamq("produce", "--task", "mail", "--args", '{"to": "x"}', *options, "--json").lines
    assert line == {"id": line["id"], "task": "mail", "priority": "high", "args": {"to": "x"}, "state": "waiting"}
    [(_, fields)] = seed.link.call("XRANGE", seed.keys["high"], "-", "+")
    entry = dict(zip(fields[::2], fields[1::2], strict=True))
    assert (entry[b"timeout"], entry[b"max"], entry[b"key"]) == (b"30000", b"7", b"k")
    assert abs(int(entry[b"expires"]) - seed.now() - 3_600_000) < 60_000


@pytest.mark.parametrize("when", [["--delay", "1h"], ["--at", "+1h"], ["--at", "2100-01-01"]])
def test_a_task_for_later(streamq: Program, seed: Seed, when: list[str]) -> None:
    """It is scheduled, with the priority that it will have."""
    [line] = streamq("produce", "--task", "mail", "--priority", "low", *when, "--json").lines
    assert (line["id"][0], line["state"]) == ("s", "scheduled")
    assert seed.link.call("ZCARD", seed.keys["scheduled:low"]) == 1


def test_a_unique_task_is_sent_once(streamq: Program, seed: Seed) -> None:
    """While it has not ended, another one is answered with its id and its state; each image can have a key of its own."""
    streamq.touch("a.jpg", "b.jpg")
    options = ["--operation", "flip", "--unique", "flip {source}", "--json"]
    first = streamq("produce", "a.jpg", "b.jpg", *options).lines
    seed.take("w1-a", 1)
    again = streamq("produce", "a.jpg", "b.jpg", *options)
    assert [line["id"] for line in again.lines] == [line["id"] for line in first]
    assert [line["state"] for line in again.lines] == ["running", "waiting"]
    assert "sent 0 tasks, 2 had been sent before" in again.err
    assert len(waiting(seed)) == 2


def test_a_file_of_tasks(streamq: Program, seed: Seed) -> None:
    """A JSON object a line; what a line does not say, the options do."""
    lines = [
        '{"task": "mail", "args": {"n": 1}}',
        "",
        '{"task": "mail", "args": {"n": 2}, "priority": "low", "timeout": "5s", "max": 3, "unique": "k"}',
        '{"task": "mail", "args": {"n": 3}, "delay": 3600}',
    ]
    (streamq.folder / "tasks.jsonl").write_text("\n".join(lines), encoding="utf-8")
    sent = streamq("produce", "--file", "tasks.jsonl", "--priority", "high", "--json").lines
    assert [(line["args"]["n"], line["priority"], line["state"]) for line in sent] == [
        (1, "high", "waiting"),
        (2, "low", "waiting"),
        (3, "high", "scheduled"),
    ]
    assert waiting(seed, "low") == [{"n": 2}]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_goes_away_stops_no_sending(streamq: Program, seed: Seed, options: list[str]) -> None:
    """`produce | head -1` sends everything, prints no more of it, and ends as if all had been read."""
    lines = "".join(f'{{"task": "mail", "args": {{"n": {n}}}}}\n' for n in range(5000))
    (streamq.folder / "tasks.jsonl").write_text(lines, encoding="utf-8")
    process = streamq.start("produce", "--file", "tasks.jsonl", *options)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert b"sent 5,000 tasks" in process.stderr.read()
    assert process.wait() == 0
    assert len(waiting(seed)) == 5000


def test_of_a_file_with_faults_nothing_is_sent(streamq: Program, seed: Seed) -> None:
    """Every fault with its line; from stdin the good lines are sent."""
    lines = ['{"task": "mail"}', '{"args": {}}', "nonsense", '{"task": "mail", "args": {}, "prioritty": "low"}']
    (streamq.folder / "tasks.jsonl").write_text("\n".join(lines), encoding="utf-8")
    ended = streamq("produce", "--file", "tasks.jsonl")
    assert (ended.status, ended.out, waiting(seed)) == (2, "", [])
    errors = [line for line in ended.err.splitlines() if "error: " in line]
    assert [line.split(": ")[2] for line in errors] == ["tasks.jsonl:2", "tasks.jsonl:3", "tasks.jsonl:4"]
    fields = "task, args, priority, delay, at, timeout, max, expires, unique"
    assert errors[-1].endswith(f"unknown field `prioritty`; did you mean `priority`? there are: {fields}")
    assert "hint: Nothing of the file was sent." in ended.err
    ended = streamq("produce", "--file", "-", "--json", stdin="\n".join(lines).encode())
    assert (ended.status, len(waiting(seed))) == (1, 1)
    assert {line.get("source") for line in ended.lines} == {None, "line 2", "line 3", "line 4"}


def test_a_full_queue_refuses_or_blocks(streamq: Program, seed: Seed) -> None:
    """`reject` ends with 1 and says how many were sent; `block` waits for room, and drops nothing."""
    streamq.touch("a.jpg", "b.jpg", "c.jpg")
    streamq.environment["STREAMQ_QUEUE__MAX_SIZE"] = "2"
    ended = streamq("produce", ".", "--operation", "flip", "--on-full", "reject", "--json")
    assert (ended.status, len(ended.lines)) == (1, 2)
    assert "streamq: sent 2 tasks" in ended.err
    assert f"streamq: error: queue {seed.keys.queue} is full" in ended.err
    process = streamq.start("produce", ".", "--operation", "blur", "--json")
    for _ in range(3):
        seed.finish("w1-a", wait_until(lambda: seed.take("w1-a", 1), "there is a task"))
    assert process.stdout is not None
    out, _ = process.communicate()
    assert (process.returncode, len(out.splitlines())) == (0, 3)


def test_wait_follows_the_tasks_to_their_ends(streamq: Program, seed: Seed, blocked: Callable[[], None]) -> None:
    """A second line each, as it ends; exit status 1 where one did not finish."""
    streamq.touch("a.jpg", "b.jpg")
    process = streamq.start("produce", ".", "--operation", "flip", "--wait", "--json")
    blocked()
    good, bad = seed.take("w1-a", 2)
    seed.finish("w1-a", [good])
    seed.bury("w1-a", bad)
    out, err = process.communicate()
    lines = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 1
    assert [(line["id"], line["state"], line["error"]) for line in lines[2:]] == [
        (good.address, "finished", None),
        (bad.address, "dead", "ValueError: no image"),
    ]
    assert [len(line["attempts"]) for line in lines[2:]] == [0, 1]
    assert b"1 task finished, 1 did not" in err


def test_an_interrupted_wait_leaves_the_tasks(streamq: Program, seed: Seed, blocked: Callable[[], None]) -> None:
    """Ctrl-C ends the command with 130; what was sent stays sent."""
    streamq.touch("a.jpg")
    process = streamq.start("produce", "a.jpg", "--operation", "flip", "--wait")
    blocked()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert out.startswith(b"d")
    assert b"Traceback" not in err
    assert len(waiting(seed)) == 1


def test_on_a_terminal(streamq: Program) -> None:
    """The first tasks are listed, the others counted; hostile names cannot move the cursor."""
    streamq.touch(*(f"{i:02}.jpg" for i in range(12)), "\x1b[2Jx.jpg")
    shown = streamq.on_terminal("produce", ".", "--operation", "flip").out
    assert "\x1b[2J" not in shown
    assert r"\x1b[2Jx.jpg" in shown
    assert "… and 3 more" in shown
    assert "sent 13 tasks" in shown


def test_a_wait_on_a_terminal_shows_a_bar(streamq: Program, seed: Seed) -> None:
    """When it lasts; what did not finish is named at the end."""
    streamq.touch("a.jpg", "b.jpg")
    ours, theirs = pty.openpty()
    process = streamq.start("produce", ".", "--operation", "flip", "--wait", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""

    def shows(text: bytes) -> bool:
        nonlocal shown
        shown += os.read(ours, 65536)
        return text in shown

    wait_until(lambda: shows(b"running"), "the bar is drawn")
    good, bad = seed.take("w1-a", 2)
    seed.finish("w1-a", [good])
    seed.bury("w1-a", bad)
    wait_until(lambda: shows(b"1 task finished, 1 did not"), "the end is told")
    assert process.wait() == 1
    os.close(ours)
    assert bad.address.encode() + b"  dead: ValueError: no image" in shown


def test_the_embedded_server_is_started_and_named(alone: Program) -> None:
    """With no configuration and no server, `produce` works, and says where its tasks are; a second call meets the first."""
    alone.touch("a.jpg")
    try:
        first = alone("produce", "a.jpg", "--operation", "flip", "--json")
        assert f"(embedded, data {alone.folder / '.streamq'}), queue images" in first.err
        assert alone("task", "show", first.lines[0]["id"], "--json").lines[0]["state"] == "waiting"
    finally:
        assert alone("server", "stop").status == 0


def test_many_sources_stream(streamq: Program, seed: Seed) -> None:
    """Ten thousand files go out in bulk, each with its own result."""
    streamq.touch(*(f"{i % 10}/{i}.jpg" for i in range(10_000)))
    ended = streamq("produce", ".", "-r", "--operation", "flip", "--json")
    assert ended.status == 0
    assert len({line["args"]["output"] for line in ended.lines}) == 10_000
    assert seed.link.call("XLEN", seed.keys["default"]) == 10_000
