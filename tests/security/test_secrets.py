"""No password in anything that is shown: output, errors, tracebacks, JSON, logs, dead letters, command lines of processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from streamq.cli.commands import program
from tests.cli.conftest import Program
from tests.conftest import wait_until
from tests.security.conftest import Serve

#: Of the server's URL, of a parameter of it, and of the catalogue's URL.
SECRETS = ("geheim-1", "geheim-2", "geheim-3")
ID = "d1764000000000-0"

#: Each command, with what it needs. One that is missing here fails a test.
COMMANDS = {
    "produce": ["--task", "boom", "--args", '{"n": 1}'],
    "consume": ["--drain", "--tasks", "jobs", "--processes", "1"],
    "pending": [],
    "monitor": ["--once"],
    "stats": [],
    "task show": [ID],
    "task wait": ["--timeout", "0.1s", ID],
    "task cancel": [ID],
    "task retry": [ID],
    "tasks": ["--state", "dead"],
    "dead list": [],
    "dead show": [ID],
    "dead retry": ["--all", "--yes"],
    "dead discard": ["--all", "--yes"],
    "workers": [],
    "queues": [],
    "queue pause": ["images"],
    "queue resume": ["images"],
    "queue purge": ["--yes", "images"],
    "server start": [],
    "server stop": [],
    "server status": [],
    "config show": [],
    "config check": [],
    "config init": ["new.yaml"],
    "config schema": [],
    "completion": ["bash"],
    "doctor": [],
    "bench": ["send", "latency", "--seconds", "50ms"],
}

JOBS = """
import os
from streamq import App, Context
app = App()

@app.task(retries=0)
def boom(n: int, ctx: Context) -> None:
    try:
        raise OSError(f"no answer from {os.environ['STREAMQ_URL']}")
    except OSError as error:
        raise RuntimeError(f"cannot reach <{os.environ['STREAMQ_URL']}>, {app.settings!r}") from error
"""


def leaves(command: click.Command, name: str = "") -> Iterator[str]:
    """The full names of all commands."""
    if not isinstance(command, click.Group):
        yield name
        return
    ctx = click.Context(command)
    for each in command.list_commands(ctx):
        below = command.get_command(ctx, each)
        assert below is not None
        yield from leaves(below, f"{name} {each}".strip())


def test_every_command_is_tested() -> None:
    """What is new has to be tried with a password too."""
    assert set(leaves(program())) == COMMANDS.keys()


def leaked(text: str) -> list[str]:
    """The secrets in a text."""
    return [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("state", ["right", "wrong", "away", "unreadable", "parameter", "scheme", "alone", "misplaced"])
def test_no_command_tells_a_password(streamq: Program, serve: Serve, state: str) -> None:
    """With the right one, a wrong one, a server that is away, and URLs that make no sense."""
    port = serve("--requirepass", SECRETS[0]) if state in ("right", "wrong", "parameter") else 1
    streamq.environment |= {
        "STREAMQ_URL": {
            "right": f"redis://:{SECRETS[0]}@127.0.0.1:{port}",
            "wrong": f"redis://nobody:{SECRETS[0]}@127.0.0.1:{port}",
            "away": f"redis://user:{SECRETS[0]}@127.0.0.1:{port}",
            "unreadable": f"redis://user:{SECRETS[0]}/{SECRETS[1]}@127.0.0.1:6379",
            "parameter": f"redis://127.0.0.1:{port}?password={SECRETS[1]}&pasword={SECRETS[1]}",
            "scheme": f"user:{SECRETS[0]}@127.0.0.1:6379",
            "alone": SECRETS[0],
            "misplaced": f"redis://127.0.0.1:{SECRETS[0]}/{SECRETS[1]}?{SECRETS[1]}#{SECRETS[1]}",
        }[state],
        "STREAMQ_CATALOGUE__URL": f"postgresql://user:{SECRETS[2]}@127.0.0.1:1/db?sslpassword={SECRETS[1]}",
        "STREAMQ_SERVER__WAIT": "0s",
        "STREAMQ_WORKER__PATIENCE": "0s",
    }
    (streamq.folder / "jobs.py").write_text(JOBS)
    expected = {"right": {0, 1, 2}}.get(state, {0, 1, 2, 3})
    for name, arguments in COMMANDS.items():
        ended = streamq(*name.split(), *arguments, "--debug", *(["--json"] if name not in ("monitor", "completion") else []))
        assert not leaked(ended.out + ended.err), (name, ended)
        assert ended.status in expected, (name, ended)


def test_no_process_carries_a_password(streamq: Program, serve: Serve) -> None:
    """A worker, its children, and the dead letter of a handler whose error quotes the address; a log of all of it."""
    port = serve("--requirepass", SECRETS[0])
    streamq.environment |= {"STREAMQ_URL": f"redis://:{SECRETS[0]}@127.0.0.1:{port}", "STREAMQ_LOG__LEVEL": "debug"}
    (streamq.folder / "jobs.py").write_text(JOBS)
    log = streamq.folder / "log"
    with log.open("wb") as output:
        worker = streamq.start("consume", "--tasks", "jobs", "--processes", "2", "--debug", stdout=output, stderr=output)
    [sent] = streamq("produce", "--task", "boom", "--args", '{"n": 1}', "--wait", "--json").lines[:1]
    wait_until(lambda: '"dead"' in streamq("task", "show", "--json", sent["id"]).out, "the task is dead")
    lines = {path: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if readable(path)}
    ours = [line for line in lines.values() if b"streamq" in line]
    assert len(ours) >= 3, ours
    assert not any(leaked(line.decode(errors="replace")) for line in ours)
    for name in ("dead list", f"dead show {sent['id']}", f"task show {sent['id']}"):
        for more in ([], ["--json"]):
            shown = streamq(*name.split(), *more)
            assert shown.status == 0
            assert not leaked(shown.out + shown.err), name
    letter = streamq("dead", "show", "--json", sent["id"]).lines[0]
    assert f"cannot reach <redis://:***@127.0.0.1:{port}>" in letter["error"]
    assert f"no answer from redis://:***@127.0.0.1:{port}" in letter["traceback"]
    worker.terminate()
    worker.wait()
    assert not leaked(log.read_text())


def readable(path: Path) -> bool:
    """Whether the process is still there."""
    try:
        return bool(path.read_bytes())
    except OSError:
        return False
