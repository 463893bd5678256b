"""`streamq consume` as it is typed: what it says, and what it refuses."""

from __future__ import annotations

import pytest

from tests.conftest import wait_until
from tests.workshop import Workshop


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--name", "two words"], "--name: 'two words' is no name of a worker"),
        (["--lease", "0.5s"], "--lease: at least 1s"),
        (["--grace", "soon"], "--grace: 'soon' is not a duration"),
        (["--processes", "0"], "--processes"),
        (["--max-tasks", "0"], "--max-tasks"),
    ],
)
def test_wrong_usage_is_one_error(shop: Workshop, options: list[str], said: str) -> None:
    """Exit status 2, before anything is started."""
    refused = shop.streamq("consume", *options)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert refused.stdout == ""
    assert not shop.fleet


def test_it_says_which_server_and_queue_it_works_on(shop: Workshop) -> None:
    """On stderr, so that a sender that does not meet it can be told why; its name is host and process id where none is given."""
    shop.configure(worker={"tasks": ["jobs"], "processes": 1, "concurrency": 2})
    done = shop.streamq("consume", "--drain")
    assert done.returncode == 0
    assert f"streamq: server unix://{shop.data}/server.sock (embedded, data {shop.data}), queue {shop.queue}" in done.stderr
    assert "1 process; Ctrl-C stops it" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_its_processes_show_themselves_to_the_fleet(shop: Workshop) -> None:
    """What `workers` tells of them, until they have left."""
    worker = shop.start("w1", processes=2, slots=3)
    wait_until(lambda: len(shop.fleet) == 2, "both have beaten")
    assert {card.pid for card in shop.fleet.values()} == {child.pid for child in worker.children}
    for consumer, card in shop.fleet.items():
        assert consumer.startswith("w1-")
        assert (card.name, card.supervisor, card.concurrency, card.quarantine) == ("w1", worker.pid, 6, False)
        assert {"work", "awork", "image"} <= set(card.tasks)
    assert worker.stop() == 0
    assert not shop.fleet
