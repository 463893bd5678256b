"""The random test sees what it is there to see: each of these bugs, planted into a script, makes it fail."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from streamq import transitions
from streamq.errors import StreamqError
from streamq.scripts import Script, load
from tests.model.play import Play

#: Plays of so many steps are tried, one seed after the other.
STEPS = 400
SEEDS = range(1, 61)

#: What is wrong, and the text that is replaced in every script that has it.
BUGS: dict[str, list[tuple[str, str]]] = {
    "due tasks are claimed while a mark stands": [
        ("marks[of[2]] and 0 or top - got", "top - got"),
        ("if not marks[task[1]:sub(1, 1)] then claim_due", "if true then claim_due"),
    ],
    "park does not compare the count": [("row[4] == tonumber(count)", "true")],
    "park does not compare the consumer": [("row[2] == consumer and", "")],
    "settle does not compare the count": [
        ("local RANGE_FROM = 16", "local RANGE_FROM = 1"),
        ("counts[entry] == count or", "counts[entry] or"),
    ],
    "the count is not restored": [("\n  count = count + 1\n", "\n  count = 1\n")],
    "parked is not checked below the mark": [
        ("if parked_in(address, letter) then\n    redis.call('XACK'", "if false then\n    redis.call('XACK'")
    ],
    "later is not rebuilt": [("if marks.s then rebuild_later() end", "marks.s = false")],
    "the mark goes with the first read": [
        ("if #entries == 0 or at_or_below(marks[letter], entries[#entries][1]) then", "if true then")
    ],
    "reap forgets the count": [("local count = count_to_park(address, row[4], known)", "local count = known")],
    "reap does not count the crash": [("crashes = crashes + 1", "")],
    "a repeated number is accepted": [("if number == seen then return {'again', ids} end", "")],
    "a stale number is accepted": [("if number < seen then", "if false then")],
    "the bound is off by one": [("accepted >= room", "accepted > room")],
    "a unique key is taken twice": [("if holder then return nil, holder end", "")],
    "settle leaves the entry": [("redis.call('XDEL', stream, unpack(entries))", "")],
    "forgiven is overwritten": [("forgiven = forgiven + 1 end", "forgiven = 1 end")],
    "suspects wait among the others": [("if crashes >= SUSPECT_AFTER then zset = SUSPECTS[letter]\n  else", "if")],
    "a suspect is admitted beside others": [("if crashes >= SUSPECT_AFTER then\n", "if false then\n")],
    "a stray is forgotten when it is due": [
        ("redis.call('ZADD', zset, clock() + LOOK_AGAIN, address)", "redis.call('ZREM', zset, address)")
    ],
    "a stray that is handed back loses its count": [("if count > known then return count end", "if true then return count end")],
    "bury keeps the unique key": [
        ("local id, key = id_of(address, fields), field(fields, 'key')", "local id, key = id_of(address, fields)")
    ],
    "cancel leaves the task parked": [("redis.call('ZREM', zset, address) end\nredis.call('XDEL'", "end\nredis.call('XDEL'")],
    "purge takes running tasks": [
        ("if not pending_of(stream, entry) then\n    local address", "if true then\n    local address")
    ],
    "a pause stops nothing": [("if paused then return {'paused', now, parked, fresh, 0} end", "")],
    "a group is made from $": [("GROUP, '0', 'MKSTREAM'", "GROUP, '$', 'MKSTREAM'")],
    "leave throws pending entries away": [("if not reply.err and reply[1] then return false end", "")],
    "sweeps do not rest after a restart": [("if now < tonumber(control[2] or 0) or", "if")],
    "the history grows": [("if oldest and total - oldest < history then return end", "if oldest then return end")],
}


@pytest.fixture
def bug(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Plants a bug into all scripts that have its text; every text of it must be there."""
    found: set[str] = set()

    def planted(name: str) -> Script:
        script = load(name)
        source = script.source
        for old, new in BUGS[request.param]:
            if old in source:
                found.add(old)
            source = source.replace(old, new)
        return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), script.keys)

    monkeypatch.setattr(transitions, "load", planted)
    yield request.param
    assert found == {old for old, _ in BUGS[request.param]}, "the scripts have changed: the bug was not planted"


@pytest.mark.timeout(600)  # chance may need many plays; usually a few are enough
@pytest.mark.parametrize("bug", BUGS, indirect=True)
def test_a_planted_bug_is_found(play: Play, bug: str) -> None:
    """Within a few plays."""
    for seed in SEEDS:
        try:
            play.steps(seed, STEPS, patience=5)
        except (AssertionError, StreamqError, pytest.fail.Exception):
            return
    pytest.fail(f"not found: {bug}")
