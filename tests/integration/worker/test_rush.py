"""A priority that gives the largest takes is read on from plainly, ahead of what is needed: no promise is weaker for that."""

from __future__ import annotations

import pytest

from streamq.keys import GROUP
from tests.conftest import wait_until
from tests.proxy import Proxy
from tests.workshop import Workshop

MANY = 12_000
#: Deep enough for the largest takes, however long the tasks last on the machine at hand.
DEEP = ("--prefetch", "4000")
#: What only the plain reads hold that are made in a rush: the largest number, and no wait.
PLAIN = b"COUNT\r\n$3\r\n500\r\n$7\r\nSTREAMS\r\n"


def begun(shop: Workshop, number: int) -> None:
    """Wait until so many tasks have begun."""
    wait_until(lambda: len(shop.lines("start")) >= number, lambda: f"{number} have begun\n{shop.logs}")


def ran_once(shop: Workshop) -> None:
    """Every task has run, and none of them twice."""
    figures = shop.settled()
    assert shop.count("start") == dict.fromkeys(range(MANY), 1)
    assert (figures.finished_total, figures.reaped_total) == (MANY, 0)


@pytest.mark.parametrize("direction", ["request", "reply"])
def test_a_link_that_breaks_loses_nothing(shop: Workshop, proxy: Proxy, direction: str) -> None:
    """Reads that were under way are found by the renewal, and handed back: they had not begun."""
    for _ in range(3):
        if direction == "request":
            proxy.cut("request", 40, duty="take", holding=PLAIN)
        else:
            proxy.cut("reply", 2000, duty="take", answering=PLAIN)
    shop.send_numbered("work", range(MANY))
    shop.start("w1", *DEEP, "--lease", "1s", "--url", proxy.url, slots=10)
    ran_once(shop)
    assert proxy.cuts == 3


def test_a_pause_holds(shop: Workshop, proxy: Proxy) -> None:
    """What was read ahead is handed back, as what was buffered is."""
    proxy.cut("request", 40, duty="take", holding=PLAIN)
    shop.send_numbered("work", range(MANY))
    shop.start("w1", *DEEP, "--url", proxy.url, slots=10)
    wait_until(lambda: proxy.cuts == 1, "it has read on plainly")
    shop.app.queue.pause()
    wait_until(lambda: not shop.stats.running, "nothing runs any more")
    before, figures = len(shop.lines("start")), shop.checked()
    assert before == figures.finished_total < MANY
    shop.app.queue.resume()
    ran_once(shop)


def test_others_have_their_turn(shop: Workshop) -> None:
    """A task of a higher priority, and one that is due, start long before the last of those that are read on."""
    shop.send_numbered("work", range(MANY))
    shop.start("w1", *DEEP, slots=10)
    begun(shop, 500)
    shop.send_numbered("work", [MANY], {"priority": "high"})
    shop.send_numbered("work", [MANY + 1], {"delay": 0.001})
    shop.settled()
    order = [line.n for line in shop.lines("start")]
    assert order.index(MANY) < MANY - 500
    assert order.index(MANY + 1) < MANY - 500


def test_a_destroyed_group_loses_nothing(shop: Workshop) -> None:
    """The next take makes it anew, and looks at what was known before."""
    shop.send_numbered("work", range(MANY))
    shop.start("w1", *DEEP, "--lease", "1s", slots=10)
    begun(shop, 1000)
    shop.link.call("XGROUP", "DESTROY", shop.keys["default"], GROUP)
    figures = shop.settled()
    assert figures.finished_total == MANY
    assert shop.count("end").keys() == set(range(MANY))
