"""`dead` as people and programs see it."""

from __future__ import annotations

import pytest

from streamq import dead
from tests.cli.conftest import Ended, Program
from tests.seeds import Seed

FIELDS = {"id", "task", "args", "priority", "reason", "error", "traceback", "deliveries", "attempts", "died_ms"}


def left(seed: Seed) -> list[str]:
    """The letters that are there, the oldest first."""
    return [letter.id for letter in dead.letters(seed.run, dead.Wanted())][::-1]


def ids(done: Ended) -> list[str]:
    """The ids of JSON lines."""
    return [line["id"] for line in done.lines]


def test_list(streamq: Program, seed: Seed) -> None:
    """One object a line, the newest first, with every field of CONTRACT; a line for people."""
    one, other = seed.dead(2)
    done = streamq("dead", "list", "--json")
    assert (done.status, ids(done)) == (0, [other, one])
    assert all(line.keys() >= FIELDS for line in done.lines)
    assert done.lines[0]["attempts"][0].keys() == {"delivery", "worker", "started_ms", "ended_ms", "error"}
    heading, first, _ = streamq("dead", "list").out.splitlines()
    assert heading.split() == ["ID", "TASK", "REASON", "TRIES", "DIED", "WORKER", "ARGUMENTS", "ERROR"]
    assert first.startswith(other)
    assert first.endswith("ValueError: no image")


def test_no_letters(streamq: Program, queue_name: str) -> None:
    """It says so, on stderr."""
    done = streamq("dead", "list")
    assert done == (0, "", f"streamq: no such dead letters in queue {queue_name}\n")


def test_list_is_filtered(streamq: Program, seed: Seed) -> None:
    """By name, reason, time and number."""
    first, second = seed.dead(2)
    [video] = seed.dead(reason="timeout", task="video")
    assert ids(streamq("dead", "list", "--json", "--task", "vid*")) == [video]
    assert ids(streamq("dead", "list", "--json", "--reason", "error")) == [second, first]
    assert ids(streamq("dead", "list", "--json", "--since", "1h")) == [video, second, first]
    assert ids(streamq("dead", "list", "--json", "--since", "+1h")) == []
    done = streamq("dead", "list", "--limit", "2", "--json")
    assert ids(done) == [video, second]
    assert done.err == "streamq: there are more than these 2; --limit shows more\n"


def test_show(streamq: Program, seed: Seed) -> None:
    """The whole letter, with traceback and attempts."""
    [one] = seed.dead(args='{"source": "b.jpg"}')
    done = streamq("dead", "show", one)
    assert (done.status, done.err) == (0, "")
    for part in (one, "source=b.jpg", "reason       error", "attempt 1 on w1", "Traceback (most recent call last):"):
        assert part in done.out
    [letter] = streamq("dead", "show", one, "--json").lines
    assert letter["traceback"].startswith("Traceback")


def test_show_of_an_unknown_letter(streamq: Program, seed: Seed) -> None:
    """Exit status 1; the others are shown."""
    [one] = seed.dead()
    done = streamq("dead", "show", "d1-0", one, "--json")
    assert (done.status, ids(done)) == (1, [one])
    assert "no dead letter of d1-0" in done.err


def test_retry_by_id(streamq: Program, seed: Seed) -> None:
    """What came of each is told; some failed: exit status 1."""
    one, other = seed.dead(2)
    done = streamq("dead", "retry", one, "d1-0", "--json")
    assert done.status == 1
    assert done.lines == [{"id": one, "done": True, "result": "ok"}, {"id": "d1-0", "done": False, "result": "unknown"}]
    assert left(seed) == [other]
    assert streamq("dead", "retry", other) == (0, f"{other}  back in its queue\n", "")


def test_retry_of_a_letter_whose_key_is_taken(streamq: Program, seed: Seed) -> None:
    """By whom is told."""
    [one] = seed.dead(key="a")
    [holder] = seed.send(1, "d;;;u", key="a")
    done = streamq("dead", "retry", one)
    assert (done.status, done.out) == (1, f"{one}  taken by {holder}\n")
    assert done.err == "streamq: 1 of 1 could not be put back\n"


def test_retry_by_filter_asks_nobody(streamq: Program, seed: Seed) -> None:
    """The oldest goes back first; a limit means the newest."""
    letters = seed.dead(3)
    [video] = seed.dead(task="video")
    assert ids(streamq("dead", "retry", "--task", "image", "--limit", "2", "--json")) == letters[1:]
    assert left(seed) == [letters[0], video]


@pytest.mark.parametrize("deed", ["retry", "discard"])
def test_all_of_them_need_a_yes(streamq: Program, seed: Seed, deed: str) -> None:
    """Where nobody can be asked, nothing is done."""
    letters = seed.dead(3)
    done = streamq("dead", deed, "--all")
    assert (done.status, done.out, left(seed)) == (2, "", letters)
    assert "3 dead letters" in done.err
    assert "--yes" in done.err
    done = streamq("dead", deed, "--all", "--yes", "--json")
    assert (done.status, ids(done), left(seed)) == (0, letters, [])


def test_a_terminal_is_asked(streamq: Program, seed: Seed) -> None:
    """Enter means no."""
    letters = seed.dead(2)
    no = streamq.on_terminal("dead", "discard", "--all", answer="\n")
    assert "throw 2 dead letters away for good? [y/N]" in no.out
    assert (no.status, left(seed)) == (1, letters)
    assert streamq.on_terminal("dead", "discard", "--all", answer="y\n").status == 0
    assert left(seed) == []


def test_discard(streamq: Program, seed: Seed) -> None:
    """By id at once; by a filter only with a yes."""
    one, other = seed.dead(2)
    assert streamq("dead", "discard", one, "--yes") == (0, f"{one}  thrown away\n", "")
    assert streamq("dead", "discard", "--reason", "error").status == 2
    assert left(seed) == [other]
    assert streamq("dead", "discard", "--reason", "error", "--yes").status == 0
    assert left(seed) == []


@pytest.mark.parametrize(
    "wrong",
    [[], ["--all", "--task", "image"], ["d1-0", "--all"], ["d1-0", "--reason", "error"], ["nonsense"], ["--reason", "bad"]],
)
def test_wrong_usage(streamq: Program, wrong: list[str]) -> None:
    """It has to be clear which letters are meant."""
    done = streamq("dead", "retry", *wrong)
    assert (done.status, done.out) == (2, "")
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["streamq", "hint"]
