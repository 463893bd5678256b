"""The commands that a queue needs: read from the scripts, complete, and enough."""

from __future__ import annotations

import ast
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from streamq.doctor.rights import NICE, OF_PROGRAM, example, needed, of_scripts, of_worker
from streamq.keys import Keys
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.server.reply import ReplyError
from tests.integration.doctor.conftest import run_doctor
from tests.integration.server.servers import Serve
from tests.workshop import Workshop

ROOT = Path(__file__).parents[3]
PACKAGE = Path(str(resources.files("streamq")))
#: Sent by the embedded server's keeper, the login of redis-py's dialling and `bench`, which no queue on a given server needs.
OF_OTHERS = {"AUTH", "EXPIRE", "SELECT", "SET", "SHUTDOWN", "SREM", "UNLINK"}
FULL = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def owner(serve: Serve) -> Link:
    """A server that promises all, and its owner."""
    return Link(Endpoint(f"redis://127.0.0.1:{serve(*FULL)}"))


def names_of(link: Link) -> set[str]:
    """All commands of a server."""
    reply: Any = link.call("COMMAND")
    return {each[0].decode().upper() for each in reply}


def user(owner: Link, *rights: str) -> str:
    """The URL of a user with these rights."""
    owner.call("ACL", "SETUSER", "queue", "reset", "on", ">secret", "~streamq:*", *rights)
    return owner.endpoint.masked.replace("redis://", "redis://queue:secret@")


def granted(commands: list[str]) -> list[str]:
    """Rights to commands and nothing else."""
    return [f"+{command.lower().replace(' ', '|')}" for command in commands]


def test_what_the_scripts_call_is_what_is_derived(owner: Link) -> None:
    """Every word in the texts of the scripts that is a command of a server, and is no argument of another."""
    words = {
        word
        for path in (PACKAGE / "lua").rglob("*.lua")
        for word in re.findall(r"'([A-Z]{3,})'", re.sub(r"--[^\n]*", "", path.read_text()))
    }
    assert words & names_of(owner) == {command.split()[0] for command in of_scripts()}


def test_what_the_program_sends_is_what_is_listed(owner: Link) -> None:
    """Every command at the beginning of a list, a tuple or a call in the text of the program."""
    commands = names_of(owner)
    sent = set()
    for path in PACKAGE.rglob("*.py"):
        if "images" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            of = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.List | ast.Tuple) else []
            words = [each.value for each in of[:2] if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            if len(of) and words[:1] and isinstance(of[0], ast.Constant) and words[0] in commands:
                sent.add(words[0])
    listed = {name.split()[0] for name in OF_PROGRAM | NICE | OF_OTHERS}
    assert sent == listed


def test_every_example_is_a_command_that_servers_take(owner: Link) -> None:
    """Queued in a transaction that is thrown away, none is refused for its form."""
    owner.call("MULTI")
    for command in needed():
        assert owner.call(*example(command, Keys("q"))) == b"QUEUED", command
    owner.call("DISCARD")


def test_a_right_that_is_missing_is_named(owner: Link, tmp_path: Path) -> None:
    """With what grants it; whether ACL DRYRUN may be asked or not."""
    for more in ((), ("+acl",)):
        url = user(owner, "+@all", "-@dangerous", "+info", "-xautoclaim", "-zadd", *more)
        found = run_doctor(tmp_path, "--url", url)
        assert found.level("rights") == "fault"
        assert found.findings["rights"]["subjects"] == ["XAUTOCLAIM", "ZADD"]
        assert found.findings["rights"]["mend"] == "ACL SETUSER queue ~streamq:* +xautoclaim +zadd"
        owner.call("ACL", "SETUSER", "queue", "+xautoclaim", "+zadd")
        assert run_doctor(tmp_path, "--url", url).level("rights") == "ok"
        assert owner.call("DBSIZE") == 0, "nothing of what was tried is executed"


def test_what_a_worker_needs_is_what_is_documented() -> None:
    """`docs/security.md` has the smallest rights of a worker, and its tests show that they suffice."""
    text = (ROOT / "docs" / "security.md").read_text()
    rights = text.partition("ACL SETUSER worker")[2].partition("\n\n")[0]
    assert sorted(granted(list(of_worker()))) == sorted(re.findall(r"\+[a-z|]+", rights))


def test_a_worker_of_the_smallest_rights_is_no_fault(owner: Link, tmp_path: Path) -> None:
    """What it lacks for other commands is a note, and the queue is not looked over."""
    url = user(owner, *granted(sorted(of_worker())), "+multi", "+discard")
    found = run_doctor(tmp_path, "--url", url)
    assert (found.status, found.level("rights")) == (0, "note")
    assert {"XINFO STREAM", "ZSCAN"} < set(found.findings["rights"]["subjects"])
    assert "may work on the queue" in found.findings["rights"]["what"]
    assert "orphaned-entries" not in found.findings


def test_keys_that_are_out_of_reach_are_named(owner: Link, tmp_path: Path) -> None:
    """A pattern that leaves the queue out: nothing can be done, and the queue is not looked at."""
    url = user(owner, "+@all", "resetkeys", "~other:*")
    found = run_doctor(tmp_path, "--url", url)
    assert found.level("rights") == "fault"
    assert "~streamq:*" in found.findings["rights"]["mend"]
    assert "orphaned-entries" not in found.findings


def test_a_user_who_may_try_nothing_is_noted(owner: Link, tmp_path: Path) -> None:
    """Neither ACL DRYRUN nor a transaction; and nothing of it is executed."""
    url = user(owner, *granted(needed()))
    found = run_doctor(tmp_path, "--url", url)
    assert found.level("rights") == "note"
    assert found.level("orphaned-entries") == "ok"
    assert owner.call("DBSIZE") == 0


def test_a_user_who_may_try_nothing_and_see_nothing_is_a_fault(owner: Link, tmp_path: Path) -> None:
    """With five commands nobody works on a queue, and it is not looked over: that is told, and not passed over."""
    url = user(owner, "+eval", "+evalsha", "+time", "+get", "+xlen")
    found = run_doctor(tmp_path, "--url", url)
    assert (found.status, found.level("rights")) == (1, "fault")
    assert "the queue was not looked over" in found.findings["rights"]["what"]


def test_a_command_that_is_missing_is_named(serve: Serve, tmp_path: Path) -> None:
    """Renamed, for one; the queue is looked at as far as that goes."""
    port = serve(*FULL, "--rename-command", "HVALS", "")
    found = run_doctor(tmp_path, "--url", f"redis://127.0.0.1:{port}")
    assert found.level("commands") == "fault"
    assert found.findings["commands"]["subjects"] == ["HVALS"]
    port = serve(*FULL, "--rename-command", "XINFO", "")
    found = run_doctor(tmp_path, "--url", f"redis://127.0.0.1:{port}")
    assert found.findings["commands"]["subjects"] == ["XINFO"]
    assert "orphaned-entries" not in found.findings


def test_the_rights_that_are_needed_are_enough(owner: Link, shop: Workshop) -> None:
    """A real worker, a sender and the commands work with them, and with none more."""
    url = user(owner, *granted(needed()), "+multi", "+discard")
    assert run_doctor(shop.folder, "--url", url, "--queue", shop.queue).level("rights") == "ok"
    worker = shop.start("w1", "--drain", "--url", url)
    assert worker.ended() == 0, worker.log
    for command in (
        ("produce", "--task", "fail", "--args", '{"n": 1, "times": 1}'),
        ("stats",),
        ("pending",),
        ("tasks",),
        ("queues",),
    ):
        done = shop.streamq(*command, "--url", url)
        assert done.returncode == 0, done.stderr
    worker = shop.start("w2", "--drain", "--url", url)
    assert worker.ended() == 0, worker.log
    assert "may not" not in worker.log
    shop.happened("end", 1)
    with pytest.raises(ReplyError):
        owner.call("ACL", "SETUSER", "queue", "+nonsense")
