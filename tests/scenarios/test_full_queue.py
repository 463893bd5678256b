"""Queue overflow: a full queue blocks its producers or refuses them, as asked; what was accepted is never dropped."""

from __future__ import annotations

import json
import threading

import pytest

from streamq import QueueFull
from tests.conftest import wait_until
from tests.workshop import Workshop

BOUND = 50


@pytest.fixture
def full(shop: Workshop) -> Workshop:
    """A queue that holds 50 tasks."""
    shop.configure(queue={"max_size": BOUND})
    return shop


def test_a_full_queue_blocks_its_producers_until_there_is_room(full: Workshop) -> None:
    """Two producers, one of them in bulk, send four times what the queue holds; at no moment does it hold more."""
    singles = threading.Thread(target=lambda: [full.send("work", {"n": n}) for n in range(100)])
    bulk = threading.Thread(target=lambda: full.send_numbered("work", range(100, 200)))
    for producer in (singles, bulk):
        producer.start()
    wait_until(lambda: full.stats.waiting.total == BOUND, "the queue is full")
    assert singles.is_alive()
    assert bulk.is_alive()
    assert full.stats.waiting.total == BOUND
    full.start("w1", slots=4)
    most = 0
    while singles.is_alive() or bulk.is_alive():
        now = full.stats
        most = max(most, now.waiting.total + now.running + now.retrying)
    for producer in (singles, bulk):
        producer.join()
    assert most <= BOUND
    assert full.settled().finished_total == 200
    assert full.count("end") == dict.fromkeys(range(200), 1)


def test_a_full_queue_refuses_where_that_was_asked_for(full: Workshop) -> None:
    """The error tells what had been accepted; exactly that runs, be it waiting or scheduled."""
    later = full.send_numbered("work", range(100, 110), {"delay": "1ms"})
    with pytest.raises(QueueFull) as refused:
        full.app.enqueue_many([full.app.prepare("work", {"n": n}) for n in range(200)], on_full="reject")
    assert len(refused.value.ids) == BOUND - len(later)
    with pytest.raises(QueueFull):
        full.app.queue.send(full.app.prepare("work", {"n": 300}), on_full="reject")
    (full.folder / "more.jsonl").write_text(json.dumps({"task": "work", "args": {"n": 301}}))
    produced = full.streamq("produce", "--file", "more.jsonl", "--on-full", "reject")
    assert produced.returncode == 1
    assert "full" in produced.stderr
    full.start("w1", slots=4)
    assert full.settled().finished_total == BOUND
    assert full.count("end").keys() == {*range(40), *range(100, 110)}


def test_what_was_accepted_goes_through_a_full_queue(full: Workshop) -> None:
    """Retries, hand-backs and revivals need no room."""
    ids = full.send_numbered("fail", range(BOUND), times=1)
    worker = full.start("w1", "--prefetch", "8", slots=4)
    full.happened("start", 20)
    full.app.send_many("work", [{"n": 500 + n} for n in range(10)])
    assert worker.stop() == 0
    assert full.checked().sent_total == BOUND + 10
    full.start("w2", slots=4)
    figures = full.settled()
    assert figures.finished_total == BOUND + 10
    assert {full.locate(each)["deliveries"] for each in ids[:3]} == {2}


def test_workers_that_start_on_a_server_without_memory_empty_it(own: Workshop) -> None:
    """More workers are how such a server is helped; they need nothing that is not there."""
    own.send_numbered("work", range(50))
    used = own.link.call("INFO", "memory").partition(b"used_memory:")[2].partition(b"\r\n")[0]
    own.link.call("CONFIG", "SET", "maxmemory", int(used) // 2)
    own.start("w1", slots=4)
    own.start("w2", slots=4)
    assert own.settled().finished_total == 50
    for worker in own.workers:
        assert worker.stop() == 0
