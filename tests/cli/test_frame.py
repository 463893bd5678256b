"""What all commands have in common: options, help, errors, exit statuses, and a quick start."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version

import pytest

from streamq.cli.commands import COMMANDS
from tests.cli.conftest import Program
from tests.commands import PROGRAM
from tests.seeds import Seed

#: Modules that a short command must not load: each costs more than the command's own work.
HEAVY = {"rich", "rich_click", "PIL", "sqlite3", "psycopg", "redis", "asyncio", "textual", "yaml", "pydantic"}


@pytest.mark.parametrize("arguments", [["--json", "stats"], ["stats", "--json"]])
def test_options_stand_before_and_after_the_name(streamq: Program, arguments: list[str]) -> None:
    """`--json` means the same in both places; so do the others, which are made by the same lines."""
    assert streamq(*arguments).lines[0]["queue"] == streamq.environment["STREAMQ_QUEUE"]


def test_an_option_beats_the_environment_and_the_one_nearer_to_the_end_the_other(streamq: Program) -> None:
    """Flag over environment; said twice, the last word counts."""
    assert streamq("--queue", "a", "stats", "--json").lines[0]["queue"] == "a"
    assert streamq("--queue", "a", "stats", "--json", "--queue", "b").lines[0]["queue"] == "b"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_is_listed_has_a_help_page(alone: Program, name: str) -> None:
    """Each line of the table leads to a command; its page names the options of every command, and is plain in a pipe."""
    page = alone(name, "-h")
    assert (page.status, page.err) == (0, "")
    assert "\x1b" not in page.out
    assert page.out.startswith(f"Usage: streamq {name}")
    for option in ("--config", "--url", "--queue", "--data", "--json", "--debug", "--help"):
        assert option in page.out
    assert list(alone.folder.iterdir()) == []


def test_the_first_page_lists_every_command(alone: Program) -> None:
    """From the table, without loading one; without any argument too, which is wrong usage."""
    page = alone("--help")
    for name, place in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(place.help[:30])}", page.out, re.MULTILINE)
    bare = alone()
    assert (bare.status, bare.out, bare.err) == (2, "", page.out)


def test_help_on_a_terminal_is_drawn_in_colour_unless_no_color_says_so(alone: Program) -> None:
    """The same page, by rich-click; every command and every option is on it."""
    page = alone.on_terminal("--help")
    assert "\x1b[" in page.out
    places = [page.out.index(place.help) for place in COMMANDS.values()]
    assert places == sorted(places)
    assert "Options of every command" in alone.on_terminal("task", "show", "--help").out
    plain = alone.on_terminal("--help", NO_COLOR="1").out
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", plain)


def test_version(alone: Program) -> None:
    """The version of the package that is installed."""
    assert alone("--version") == (0, f"streamq {version('streamq')}\n", "")


@pytest.mark.parametrize(
    ("arguments", "what", "hint"),
    [
        (["prodce"], "no such command 'prodce'", "did you mean produce?"),
        (["stats", "--jsn"], "no such option '--jsn'", "did you mean --json?"),
        (["tasks", "--state", "x"], "invalid value for '--state': 'x' is not one of 'running', ", "`streamq tasks --help`"),
        (["task", "show"], "missing argument 'ID...'", "`streamq task show --help` shows what it takes"),
        (["task", "show", "d1"], "ID: 'd1' is not the id of a task", "An id looks like"),
        (["task", "wait", "d1-1", "--timeout", "x"], "--timeout: 'x' is not a duration", "Write it as 30s"),
        (["stats", "--queue", "a b"], "option: queue.name: expected 1 to 64 letters", None),
        (["stats", "--url", "http://x"], "the server's URL must begin with redis://", "such as redis://"),
        (["stats", "--config", "no.yaml"], "no.yaml: no such configuration file", "`streamq config init`"),
    ],
)
def test_wrong_usage_is_one_line_and_a_hint(streamq: Program, arguments: list[str], what: str, hint: str | None) -> None:
    """Exit status 2, nothing on stdout, and how to mend it."""
    ended = streamq(*arguments)
    assert (ended.status, ended.out) == (2, "")
    first, *rest = ended.err.splitlines()
    assert first.startswith(f"streamq: error: {what}")
    assert [line[: len(f"hint: {hint}")] for line in rest] == ([f"hint: {hint}"] if hint else [])


def test_every_fault_of_the_configuration_is_told(streamq: Program) -> None:
    """A line each, exit status 2."""
    (streamq.folder / "config.yaml").write_text("queue: {nam: x}\nlog: {level: loud}\n", encoding="utf-8")
    ended = streamq("stats")
    assert ended.status == 2
    assert [line.split(": ")[2:4] for line in ended.err.splitlines()] == [
        ["config.yaml:1", "queue.nam"],
        ["config.yaml:2", "log.level"],
    ]


@pytest.mark.parametrize("command", [["stats"], ["tasks"], ["task", "show", "d1-1"], ["pending"], ["produce"]])
def test_a_server_that_is_away_is_exit_status_3(streamq: Program, command: list[str]) -> None:
    """One line that says where nothing answers, never a word of redis-py; no traceback without `--debug`."""
    ended = streamq(*command, STREAMQ_URL="redis://:geheim@127.0.0.1:1", STREAMQ_SERVER__WAIT="0")
    assert ended.status == 3
    [line] = [line for line in ended.err.splitlines() if line.startswith("streamq: error: ")]
    assert "127.0.0.1:1" in line
    assert "geheim" not in ended.err
    assert "Traceback" not in ended.err
    assert "Traceback" in streamq(*command, "--debug", STREAMQ_URL="redis://127.0.0.1:1", STREAMQ_SERVER__WAIT="0").err


def test_a_reader_that_goes_away_ends_the_program_quietly(streamq: Program) -> None:
    """`streamq … | head` prints no complaint."""
    streamq.touch(*(f"{i}.jpg" for i in range(2000)))
    process = streamq.start("produce", ".", "--dry-run", "--operation", "flip")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 1
    assert "error" not in err
    assert "Traceback" not in err


def test_ctrl_c_is_exit_status_130_without_a_traceback(streamq: Program, seed: Seed, blocked: Callable[[], None]) -> None:
    """In the middle of a wait, too."""
    process = streamq.start("task", "wait", *seed.send())
    blocked()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")


def test_completion_knows_commands_and_options(alone: Program) -> None:
    """The script of each shell, and what it asks the program; no server is started."""
    for shell in ("bash", "zsh", "fish"):
        assert "_STREAMQ_COMPLETE" in alone("completion", shell).out
    alone.environment |= {"_STREAMQ_COMPLETE": "bash_complete", "COMP_WORDS": "streamq produce --un", "COMP_CWORD": "2"}
    assert alone().out == "plain,--unique\n"
    alone.environment |= {"COMP_WORDS": "streamq pr", "COMP_CWORD": "1"}
    assert alone().out == "plain,produce\n"
    assert list(alone.folder.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["produce", "--help"], ["produce", "a.jpg"], ["pending"], ["tasks"], ["task", "show", "d1-1"], ["stats"]],
)
def test_a_short_command_loads_nothing_heavy(streamq: Program, arguments: list[str]) -> None:
    """In a pipe, with a server at a Unix socket and no `config.yaml`, neither Rich nor redis-py nor Pillow is loaded."""
    streamq.touch("a.jpg")
    command = [PROGRAM[0], "-X", "importtime", *PROGRAM[1:], *arguments]
    ended = subprocess.run(command, cwd=streamq.folder, env=streamq.environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr
    loaded = set(re.findall(r"\| +(\w+)(?:\.\w+)*$", ended.stderr, re.MULTILINE))
    assert "streamq" in loaded
    assert loaded & HEAVY == set()


def test_a_terminal_without_unicode_shows_numbers_and_json_stays_utf_8(streamq: Program, seed: Seed) -> None:
    """An old locale breaks no command."""
    [task_id] = seed.send(1, args='{"source": "\u5199.jpg"}')
    assert r"source=\u5199.jpg" in streamq("task", "show", task_id, PYTHONIOENCODING="latin-1", PYTHONUTF8="0").out
    shown = streamq("task", "show", task_id, "--json", PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert shown.lines[0]["args"] == {"source": "\u5199.jpg"}


def test_main_can_be_called_by_a_program(server: str, queue_name: str) -> None:
    """The entry point takes arguments and returns the exit status."""
    code = f"from streamq.cli import main; raise SystemExit(main(['stats', '--url', {server!r}, '--queue', {queue_name!r}]) + 7)"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 7
