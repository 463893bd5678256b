"""Dead letters are found, put back and thrown away, many at once."""

from __future__ import annotations

import pytest

from streamq import dead, stats
from streamq.dead import Outcome, Wanted
from streamq.server.probe import probe
from tests.seeds import Seed


def ids(seed: Seed, wanted: Wanted | None = None) -> list[str]:
    """The ids of the letters that are wanted."""
    return [letter.id for letter in dead.letters(seed.run, wanted or Wanted())]


def test_a_letter_is_whole(seed: Seed) -> None:
    """The task, why it died, and every attempt."""
    [first] = seed.send(key="a", args='{"width": 5}')
    [task] = seed.take("w1-a")
    seed.park("w1-a", task, error="OSError: full")
    [task] = seed.take("w1-b")
    seed.bury("w1-b", task, "error", "ValueError: no image")
    [letter] = dead.letters(seed.run, Wanted())
    assert (letter.id, letter.task, letter.args, letter.priority, letter.unique) == (first, "image", {"width": 5}, "default", "a")
    assert (letter.reason, letter.error, letter.deliveries, letter.worker) == ("error", "ValueError: no image", 2, "w1")
    assert letter.traceback is not None
    assert letter.traceback.endswith("ValueError: no image")
    assert [(attempt["delivery"], attempt["error"]) for attempt in letter.attempts] == [
        (1, "OSError: full"),
        (2, "ValueError: no image"),
    ]
    assert letter.sent_ms is not None
    assert letter.sent_ms <= letter.died_ms <= seed.now()
    assert dead.find(seed.run, ["d1-0", first]) == [None, letter]


def test_letters_come_newest_first_page_by_page(seed: Seed) -> None:
    """All of them."""
    sent = seed.dead(250)
    assert ids(seed) == sent[::-1]


def test_filters(seed: Seed) -> None:
    """By name, reason and time of death."""
    [image] = seed.dead()
    [late] = seed.dead(reason="deliveries", task="video.cut")
    died = next(dead.letters(seed.run, Wanted())).died_ms
    assert ids(seed, Wanted(task="video.*")) == [late]
    assert ids(seed, Wanted(reason="error")) == [image]
    assert ids(seed, Wanted(task="image", reason="deliveries")) == []
    assert late in ids(seed, Wanted(since_ms=died))
    assert ids(seed, Wanted(since_ms=seed.now() + 1)) == []


def test_an_entry_that_was_no_task_is_kept_whole(seed: Seed) -> None:
    """Whatever it held, bytes that are no text included."""
    seed.client.xadd(seed.keys["default"], {b"what": b"\xff", b"args": b"[1"})
    [task] = seed.take("w1-a")
    seed.bury("w1-a", task, "invalid", "field 'args': expected a JSON object")
    [letter] = dead.letters(seed.run, Wanted(reason="invalid"))
    assert (letter.task, letter.args) == ("?", {"what": "\\xff", "args": "[1"})


def test_revived_letters_wait_again(seed: Seed) -> None:
    """Under their first ids, and each says what came of it."""
    letters = seed.dead(450)
    outcomes = list(dead.act(seed.run, "revive", [*letters, "d1-0"]))
    assert outcomes == [
        *(Outcome(each, done=True, result="ok") for each in letters),
        Outcome("d1-0", done=False, result="unknown"),
    ]
    figures = stats.read(seed.run, probe(seed.link))
    assert (figures.waiting.default, figures.dead, figures.revived_total) == (450, 0, 450)


def test_a_letter_whose_unique_key_was_given_away_stays_dead(seed: Seed) -> None:
    """And keeps no other from being revived."""
    [first] = seed.dead(key="a")
    [other] = seed.dead()
    [holder] = seed.send(1, "d;;;u", key="a")
    assert list(dead.act(seed.run, "revive", [first, other])) == [
        Outcome(first, done=False, result=f"taken by {holder}"),
        Outcome(other, done=True, result="ok"),
    ]
    assert ids(seed) == [first]


def test_discarded_letters_are_gone(seed: Seed) -> None:
    """The others stay."""
    kept, gone = seed.dead(2)
    assert [outcome.result for outcome in dead.act(seed.run, "discard", [gone, gone])] == ["ok", "unknown"]
    assert ids(seed) == [kept]
    assert dead.find(seed.run, [gone, kept])[0] is None


@pytest.mark.parametrize("deed", ["revive", "discard"])
def test_a_server_that_has_forgotten_the_scripts_is_told_them(seed: Seed, deed: dead.Deed) -> None:
    """As after a restart."""
    letters = seed.dead(2)
    seed.client.script_flush()
    assert all(outcome.done for outcome in dead.act(seed.run, deed, letters))
