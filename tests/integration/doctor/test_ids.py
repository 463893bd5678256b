"""Streams whose ids have run out, or away from the clock: what another program does with one XADD."""

from __future__ import annotations

import pytest

from streamq.server.reply import ReplyError
from tests.integration.doctor.conftest import Doctor
from tests.workshop import Workshop

HIGHEST = (1 << 64) - 1


@pytest.mark.parametrize("name", ["default", "ended"])
def test_a_stream_without_ids_is_a_fault_and_can_be_made_anew(shop: Workshop, doctor: Doctor, name: str) -> None:
    """Nothing can be added to it, also when its last entry has gone; deleted when it is empty, it takes entries again."""
    last = f"{HIGHEST}-{HIGHEST}"
    shop.link.call("XADD", shop.keys[name], last, "task", "work", "args", "{}")
    shop.link.call("XDEL", shop.keys[name], last)
    with pytest.raises(ReplyError, match="exhausted"):
        shop.link.call("XADD", shop.keys[name], "*", "task", "work", "args", "{}")
    found = doctor()
    assert found.status == 1
    assert found.findings["stream-ids"]["subjects"] == [name]
    assert found.worse["stream-ids"] == f"1 stream has no id left to give: {name}; nothing can be added there"
    assert "`DEL` it" in found.findings["stream-ids"]["mend"]
    assert shop.link.call("XLEN", shop.keys[name]) == 0
    shop.link.call("DEL", shop.keys[name])
    assert doctor().level("stream-ids") == "ok"
    shop.send("work", {"n": 1})
    shop.start("w1")
    shop.settled()
    assert shop.count("end") == {1: 1}


def test_the_last_ids_of_all_are_a_fault_before_they_are_used_up(shop: Workshop, doctor: Doctor) -> None:
    """A stranger who added the highest time leaves the numbers within it."""
    shop.link.call("XADD", shop.keys["high"], f"{HIGHEST}-{HIGHEST - 5}", "task", "work", "args", "{}")
    assert doctor().findings["stream-ids"]["level"] == "fault"


def test_ids_that_are_ahead_of_the_clock_are_a_warning(shop: Workshop, doctor: Doctor) -> None:
    """Whatever is sent now seems to have been sent in two hours; a few seconds are nothing."""
    now = shop.run.now_ms()
    shop.link.call("XADD", shop.keys["low"], f"{now + 5_000}-0", "task", "work", "args", "{}")
    assert doctor().level("stream-ids") == "ok"
    shop.link.call("XADD", shop.keys["low"], f"{now + 7_200_000}-0", "task", "work", "args", "{}")
    found = doctor()
    assert found.level("stream-ids") == "warning"
    assert "low; tasks seem sent then" in found.worse["stream-ids"]
