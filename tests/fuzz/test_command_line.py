"""Random command lines: an exit status that is documented, one line of error, and never a traceback."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import click
import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streamq.cli import main
from streamq.cli.commands import program

#: Commands that wait for ever when they are asked rightly, or start what goes on, are given only what they refuse.
_LASTING = {"consume", "monitor", "server start", "bench"}


def commands() -> dict[str, list[str]]:
    """Every command that ends by itself -> its options."""

    def walk(command: click.Command, name: str) -> Iterator[tuple[str, list[str]]]:
        if not isinstance(command, click.Group):
            yield name, [option for param in command.params if isinstance(param, click.Option) for option in param.opts]
            return
        ctx = click.Context(command)
        for each in command.list_commands(ctx):
            below = command.get_command(ctx, each)
            assert below is not None
            yield from walk(below, f"{name} {each}".strip())

    return dict(walk(program(), ""))


COMMANDS = commands()
_words = st.sampled_from(
    (
        *(
            "",
            "-",
            "--",
            "-h",
            "--help",
            "--json",
            "--debug",
            "--no-such",
            "-x",
            "0",
            "-1",
            "1e999",
            "nan",
            "9" * 400,
            "30s",
            "images",
        ),
        *(
            "d1764000000000-0",
            "d1764000000000-99999999999999999999",
            "s0-0",
            "x",
            "a=b",
            "=",
            "{}",
            "[",
            '{"a":1e400}',
            '{"a":1,"a":1}',
        ),
        *(
            "\udc80",
            "a\0b",
            "\x1b[2J",
            "\U0001f388",
            "*",
            "**",
            "?",
            "[a",
            "/",
            "/etc/passwd",
            "/dev/null",
            "~nobody/x",
            "../..",
            "%s",
            "{0}",
        ),
        *(
            "redis://h:x",
            "redis://127.0.0.1:1",
            "unix:///nowhere",
            "https://x",
            "2027-02-30",
            "+1s",
            "25:61",
            "all",
            "dead",
            "html",
        ),
    )
)
_texts = _words | st.text(max_size=12)


@st.composite
def _lines(draw: st.DrawFn) -> list[str]:
    """A command with some of its options, each with anything, and arguments that are anything."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    line = name.split()
    for option in draw(st.lists(st.sampled_from(COMMANDS[name] or ["--json"]), max_size=3)):
        line.append(option)
        if draw(st.booleans()):
            line.append(draw(_texts))
    line += draw(st.lists(_texts, max_size=3))
    if name in _LASTING:
        line.append("--no-such-option")
    return line


@contextmanager
def _somewhere(folder: Path, data: Path) -> Iterator[None]:
    """In a folder of its own, with a server that is there."""
    before = Path.cwd()
    kept = dict(os.environ)
    os.chdir(folder)
    os.environ |= {"STREAMQ_DATA": str(data), "STREAMQ_QUEUE": "fuzzed", "STREAMQ_SERVER__WAIT": "0s"}
    stdin = sys.stdin
    try:
        with Path(os.devnull).open(encoding="utf-8") as sys.stdin:  # a descriptor, as every stdin has one
            yield
    finally:
        sys.stdin = stdin
        os.chdir(before)
        os.environ.clear()
        os.environ.update(kept)


def run(line: list[str]) -> tuple[int, str]:
    """Run a command in this process; its exit status and all that it has written."""
    out, err = io.TextIOWrapper(io.BytesIO(), errors="surrogateescape"), io.TextIOWrapper(io.BytesIO(), errors="surrogateescape")
    with redirect_stdout(out), redirect_stderr(err):
        status = main(line)
    written = []
    for stream in (out, err):
        stream.flush()
        stream.seek(0)
        written.append(stream.read())
    return status, "".join(written)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the commands are run; servers that they have started below are ended."""
    folder = tmp_path_factory.mktemp("fuzzed")
    yield folder
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] and Path(process.info["cwd"]).is_relative_to(folder):
            process.kill()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(line=_lines() | st.lists(_texts, max_size=5).filter(lambda line: not line or line[0] not in _LASTING))
@example(line=["produce", "--task", "t", "--args", '{"a":1e400}'])
@example(line=["produce", "--task", "t", "--args", '{"a":' + "[" * 5000 + "]" * 5000 + "}"])
@example(line=["produce", "--steps", "[" * 5000])
@example(line=["produce", "--task", "t\udc80", "--args", '{"a":"\udc80"}'])
@example(line=["produce", "a\0b"])
@example(line=["produce", "-"])
@example(line=["produce", "--file", "a\0b"])
@example(line=["produce", "--task", "t", "--at", "9999-12-31T23:59:59"])
@example(line=["produce", "--task", "t", "--delay", "9" * 400])
@example(line=["produce", "--task", "t", "--unique", "\udc80"])
@example(line=["task", "show", "d99999999999999999999-99999999999999999999"])
@example(line=["tasks", "--where", "a\udc80=b"])
@example(line=["tasks", "--since", "9" * 400])
@example(line=["stats", "--config", "a\0b"])
@example(line=["stats", "--data", "a\0b"])
@example(line=["stats", "--data", "~nobody-of-that-name"])
@example(line=["stats", "--url", "redis://\udc80"])
@example(line=["stats", "--url", "redis://a\0b"])
@example(line=["stats", "--url", "unix://a\0b"])
@example(line=["stats", "--url", "redis://[::1"])
@example(line=["stats", "--url", "rediss://127.0.0.1:1?ssl_ca_certs=a%00b"])
@example(line=["config", "show", "\udc80"])
@example(line=["config", "init", "a\0b"])
@example(line=["\udc80"])
def test_any_command_line_ends_cleanly(folder: Path, line: list[str]) -> None:
    """0, 1, 2 or 3, and no traceback but where it was asked for; on a server of its own, since `server stop` is a command too."""
    with _somewhere(folder, folder / ".streamq"):
        status, written = run(line)
    assert status in (0, 1, 2, 3), written
    assert "this is a defect of streamq" not in written, written
    if "--debug" not in line:
        assert "Traceback" not in written, written
