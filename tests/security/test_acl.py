"""The users that the documentation makes: what each does works, nothing else does, and not one command too many is allowed."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from streamq.doctor.rights import OF_DOCTOR
from tests.cli.conftest import Ended, Program
from tests.security.conftest import Serve
from tests.security.roles import People, commands_of, documented

RULES = documented()
ROOT = ["on", "~*", "+@all"]
_numbers = itertools.count(1)


@pytest.fixture
def people(tmp_path: Path, streamq: Program, serve: Serve) -> Iterator[People]:
    """A server where everybody is made by the lines of the documentation."""
    port = serve("--requirepass", "admin")
    with redis.Redis(port=port, password="admin") as admin:  # noqa: S106 - of a server of the test's own
        people = People(streamq, admin, port, "images")
        for name, rules in RULES.items():
            people.user(name, rules)
        people.user("root", ROOT)
        yield people


def check(ended: list[Ended]) -> None:
    """Everything went well, and nothing was complained about."""
    for each in ended:
        assert each.status == 0, each
        assert "may not do" not in each.err, each


def failed(ended: list[Ended]) -> bool:
    """Whether something went wrong for want of a right."""
    return any(each.status or "may not do" in each.err for each in ended)


def ids(people: People, *command: str) -> list[str]:
    """The ids that a list shows to somebody who may see all."""
    return [task["id"] for task in people.run("root", *command, "--json").lines]


def sent(people: People, *options: str) -> str:
    """The id of a task that was sent."""
    task_id: str = json.loads(people.run("root", "produce", "--task", "work", "--args", '{"n":1}', *options, "--json").out)["id"]
    return task_id


def play(people: People, part: str, name: str, rules: list[str]) -> list[Ended]:
    """Have a user with these rights do his part of the play; the server counts from when he begins."""
    tasks: list[str] = []
    if part in ("look", "operate"):
        finished, dead = ids(people, "tasks", "--state", "finished"), ids(people, "dead", "list")
        tasks = (
            [finished[0], sent(people, "--delay", "1h"), dead[0], sent(people)] if part == "look" else [sent(people), *dead[:2]]
        )
    people.user(name, rules)
    if part == "produce":
        return people.produce(name)
    if part == "work":
        return people.work(name)
    if part == "look":
        return people.look(name, *tasks[:3])
    return people.operate(name, tasks[0], tasks[1:])


PARTS = {"producer": ["produce"], "worker": ["work"], "looker": ["look"], "everything": ["produce", "work", "look", "operate"]}
_BEFORE = {"produce": (), "work": ("produce",), "look": ("produce", "work"), "operate": ("produce", "work")}


def unused(name: str, called: set[str]) -> list[str]:
    """The commands that a user was allowed and did not need."""
    return [each for each in commands_of(RULES[name]) if not {each, each.partition("|")[0]} & called]


def test_the_document_has_all_of_them() -> None:
    """A line for each kind of user; keys of streamq alone, commands one by one."""
    assert RULES.keys() == PARTS.keys()
    for rules in RULES.values():
        assert [rule for rule in rules if not rule.startswith("+")] == ["on", "~streamq:*"]
        assert not [rule for rule in rules if "@" in rule]
    for name in ("producer", "worker", "looker"):
        assert set(RULES[name]) <= set(RULES["everything"])


@pytest.mark.parametrize("name", PARTS)
def test_what_a_user_does_works_and_uses_every_right(people: People, name: str) -> None:
    """A whole run: each command that is allowed was run, so taking it away would have made that run fail."""
    parts = PARTS[name]
    for before in _BEFORE[parts[0]]:
        check(play(people, before, "root", ROOT))
    called: set[str] = set()
    for part in parts:
        check(play(people, part, name, RULES[name]))
        called |= people.counted()
    assert not unused(name, called)
    if parts[-1] == "work":
        reasons = {letter["reason"] for letter in people.run("root", "dead", "list", "--json").lines}
        assert {"error", "invalid", "unknown-task", "expired"} <= reasons


@pytest.mark.parametrize("name", PARTS)
def test_without_any_one_command_something_fails(people: People, tmp_path: Path, *, name: str, is_long: bool) -> None:
    """The list is the smallest. A few at random, each of them in a long run; every try on a new queue."""
    commands = commands_of(RULES[name])
    if not is_long:
        commands = random.sample(commands, 2)
    for command in commands:
        again = Program(tmp_path / f"try-{next(_numbers)}", dict(people.program.environment))
        try:
            others = People(again, people.admin, people.port, again.folder.name)
            failures = _tried(others, name, command)
        finally:
            again.close()
        assert failures, command


def _tried(people: People, name: str, command: str) -> bool:
    for part in PARTS[name]:
        if part == PARTS[name][0]:
            for before in _BEFORE[part]:
                check(play(people, before, "root", ROOT))
        if failed(play(people, part, name, [*RULES[name], f"-{command}"])):
            return True
        if command in people.refused():
            return True  # and nobody complained: a script took it for something else, or what was left undone shows later
    return False


def test_the_doctor_says_what_it_needs_itself(people: People) -> None:
    """It looks over what a user with these rights may do, and names them to one who has not got them."""
    ended = people.run("everything", "doctor", "--json")
    rights = next(each for each in json.loads(ended.out)["findings"] if each["id"] == "rights")
    assert ended.status == 1
    assert OF_DOCTOR in rights["mend"]
    assert OF_DOCTOR in (Path(__file__).parents[2] / "docs/security.md").read_text(encoding="utf-8")
    people.user("everything", [*RULES["everything"], *OF_DOCTOR.split()])
    ended = people.run("everything", "doctor", "--json")
    assert ended.err == ""
    assert next(each["level"] for each in json.loads(ended.out)["findings"] if each["id"] == "rights") == "ok"


def test_nobody_may_touch_anything_else(people: People) -> None:
    """Neither other keys, nor the server: with a script neither."""
    for name in RULES:
        with redis.Redis(port=people.port, username=name, password=f"{name}-password", protocol=2) as client:
            for refused in (
                ("SET", "other", "1"),
                ("FLUSHALL",),
                ("CONFIG", "SET", "dir", "/tmp"),  # noqa: S108 - it is refused
                ("KEYS", "*"),
                ("ACL", "LIST"),
                ("SHUTDOWN",),
                ("EVAL", "return redis.call('SET', 'other', '1')", 0),
                ("EVAL", "return redis.call('FLUSHALL')", 0),
                ("EVALSHA", "x", 1, "other"),
            ):
                with pytest.raises(redis.ResponseError):
                    client.execute_command(*refused)
    assert people.admin.exists("other") == 0


def test_a_right_that_is_missing_is_told_as_such(people: People) -> None:
    """By a command and in a script alike: exit status 3, what the server refused, and what to do."""
    for missing in ("xadd", "time", "eval"):
        people.user("producer", [*RULES["producer"], f"-{missing}"])
        ended = people.run("producer", "produce", "--task", "work", "--args", '{"n":1}')
        assert ended.status == 3, ended
        assert "the user of the URL may not do what a queue needs" in ended.err
        assert "streamq doctor" in ended.err
