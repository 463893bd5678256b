"""Task arguments are data: nothing in an entry names what is imported, called or unpacked."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import streamq
from tests.workshop import Workshop

PACKAGE = Path(streamq.__file__).parent
#: Modules that turn bytes into anything but data.
UNPACKERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle", "runpy", "code", "xmlrpc"}
#: Who imports by a name that is no constant: commands from their table, the public names of the package, and the modules that
#: whoever starts a worker names.
IMPORTERS = {"__init__.py", "cli/commands.py", "worker/handlers.py"}
#: What YAML's library has for files that may name classes.
LOADERS = {"unsafe_load", "full_load", "UnsafeLoader", "FullLoader"}
#: Built-in functions that run text.
RUNNERS = {"eval", "exec", "compile", "__import__", "breakpoint"}


def sources() -> list[tuple[str, ast.Module]]:
    """Every module of the package, parsed."""
    return [(path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text())) for path in sorted(PACKAGE.rglob("*.py"))]


def test_nothing_unpacks_or_runs_what_it_is_given() -> None:
    """No pickle and its like, no text that is run, no import by name but where the code or the user names it."""
    found = []
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found += [(name, each.name) for each in node.names if each.name.partition(".")[0] in UNPACKERS]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in UNPACKERS:
                found.append((name, node.module or ""))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RUNNERS:
                found.append((name, node.func.id))
            elif isinstance(node, ast.Attribute) and node.attr in (LOADERS if name in IMPORTERS else LOADERS | {"import_module"}):
                found.append((name, node.attr))
    assert not found


NAMES = (
    "os.system",
    "os:system",
    "builtins.eval",
    "subprocess.Popen",
    "jobs.work",
    "jobs:work",
    "__main__",
    "work.__globals__",
    "../jobs",
)


def test_a_task_is_run_by_its_registered_name_alone(shop: Workshop) -> None:
    """Names of modules and functions are names like others: nobody knows them."""
    shop.configure(worker={"unknown": "0s"})
    trap = shop.folder / "trap"
    for name in NAMES:
        shop.link.call("XADD", shop.keys["default"], "*", "task", name, "args", json.dumps({"command": f"touch {trap}", "n": 1}))
    shop.start()
    assert shop.settled().dead_total == len(NAMES)
    assert {letter["reason"] for letter in shop.dead.values()} == {"unknown-task"}
    assert not trap.exists()
    assert not shop.ledger


#: What other formats take for an instruction; to a handler it is a dict, a list or a text.
VALUES = (
    {"__reduce__": ["os.system", ["touch trap"]]},
    {"py/object": "subprocess.Popen", "args": ["touch", "trap"]},
    {"__class__": "os.system", "__init__": {"__globals__": {}}},
    {"$type": "System.Diagnostics.Process", "@type": "x"},
    "!!python/object/apply:os.system ['touch trap']",
    "cos\nsystem\n(S'touch trap'\ntR.",
    "{{ ''.__class__.__mro__ }} ${jndi:ldap://x} $(touch trap) `touch trap`",
    "=cmd|'/c touch trap'!A1",
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: str(value)[:12])
def test_arguments_are_handed_on_as_they_are(shop: Workshop, value: object) -> None:
    """The handler gets the very value, and nothing happens on the way."""
    shop.module(
        "echo", "from streamq import App\n\napp = App()\n\n\n@app.task\ndef echo(value: object) -> object:\n    return value\n"
    )
    shop.start(tasks="echo")
    [task_id] = shop.send("echo", {"value": value})
    shop.settled()
    assert shop.locate(task_id)["result"] == value
    assert not (shop.folder / "trap").exists()


HOSTILE = (
    [b"task", b"work", b"args", b'{"n":1}', b"id", b"d99999999999999999999-99999999999999999999"],
    [b"task", b"work", b"args", b'{"n":1}', b"id", b"h18446744073709551615-18446744073709551615"],
    [b"task", b"work", b"args", b'{"n":1}', b"expires", b"4503599627370496", b"timeout", b"4503599627370496"],
    [b"task", b"work", b"args", b'{"n":1}', b"due", b"4503599627370496", b"priority", b"x" * 1000],
    [b"task", b"nobody", b"args", b'{"a":"\\u001b]0;title\\u0007\\u001b[2J\\u202e\\u0000"}', b"\x1b[31m", b"\x00\xff"],
    [b"task", b"nobody", b"args", b'{"a":' + b'{"a":' * 98 + b"1" + b"}" * 98 + b"}"],
    [b"task", b"nobody", b"args", b'{"a":1e308,"b":' + b"9" * 4300 + b',"\\ud83d\\ude00":[]}'],
    [b"task", b"nobody", b"args", b'{"a":"' + b"x" * 1_000_000 + b'"}'],
    [b"task", b"\x1b[2J", b"args", b"\xff\xfe"],
    [b"args", b"1", b"\x00" * 1000, b"\x1b[2J" * 1000],
    [b"x", b"y" * 20_000_000],
    [part for number in range(5000) for part in (b"%d" % number, b"")],
)


def test_hostile_entries_can_be_looked_at_and_harm_no_terminal(shop: Workshop) -> None:
    """While they wait, while they are held, when they are dead: every list shows them, and control characters as text."""
    for fields in HOSTILE:
        shop.link.call("XADD", shop.keys["default"], "*", *fields)
    shown = ["tasks --state waiting --limit 100", "stats", "pending", "monitor --once"]
    look(shop, shown)
    shop.configure(worker={"unknown": "0s"})
    shop.start()
    shop.settled()
    look(shop, ["dead list --limit 100", "tasks --state dead --limit 100", "tasks --state finished", "stats", "workers"])
    for task_id in shop.dead:
        look(shop, [f"task show {task_id}", f"dead show {task_id}"])
    assert "Traceback" not in shop.logs
    assert "\x1b" not in shop.logs


def look(shop: Workshop, commands: list[str]) -> None:
    """Run commands that only look, for people and for programs."""
    for command in commands:
        done = shop.streamq(*command.split())
        assert done.returncode == 0, (command, done.stderr)
        assert not set(done.stdout + done.stderr) & {chr(code) for code in (*range(9), *range(11, 32), 127, 0x202E)}, command
        done = shop.streamq(*command.split(), "--json")
        assert done.returncode == 0, (command, done.stderr)
        for line in done.stdout.splitlines():
            json.loads(line)
