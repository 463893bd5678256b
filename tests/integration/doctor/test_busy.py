"""The doctor at a queue at work: nothing that is healthy is called ill, whatever happens to its workers meanwhile."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest

from streamq import stats
from streamq.server.connect import Link
from streamq.transitions import Transitions
from tests.integration.doctor.conftest import Doctor
from tests.workshop import Workshop

#: What a killed worker makes true for a moment.
TRUE_FOR_A_MOMENT = {"lost-workers", "stuck-tasks", "workers"}
LOOKS = 12
#: Tasks of one helping, and how few wait when the next one comes.
MANY, FEW = 1000, 500


class Feeder(threading.Thread):
    """Sends tasks of all kinds, a helping whenever few wait: however fast the machine, the queue is busy."""

    def __init__(self, shop: Workshop) -> None:
        super().__init__()
        self.shop = shop
        self.sent = 0
        self.fed = threading.Event()
        self.enough = threading.Event()

    def run(self) -> None:
        """Send until it is enough."""
        link = Link(self.shop.endpoint)
        transitions = Transitions(link, self.shop.keys)
        while not self.enough.wait(0.02):
            if stats.counts(transitions).waiting.total < FEW:
                self._send(self.sent)
                self.sent += MANY
                self.fed.set()
        link.close()

    def _send(self, first: int) -> None:
        """Short tasks, failing ones, scheduled ones, coroutines, unique ones."""
        send = self.shop.send_numbered
        send("work", range(first, first + 400), ms=10)
        send("fail", range(first + 400, first + 700), times=2)
        send("work", range(first + 700, first + 800), {"delay": "1s"}, ms=1)
        send("awork", range(first + 800, first + 980), {"priority": "high"}, ms=5)
        for n in range(first + 980, first + MANY):
            self.shop.send("work", {"n": n}, unique=f"key-{n}")


@pytest.fixture
def feeder(shop: Workshop) -> Iterator[Feeder]:
    """A feeder that has begun; it ends with the test."""
    shop.configure(worker={"backoff": {"base": 0.01, "cap": 0.05}, "lease": "2s"})
    feeder = Feeder(shop)
    feeder.start()
    feeder.fed.wait()
    yield feeder
    feeder.enough.set()
    feeder.join()


@pytest.mark.timeout(300)
def test_a_busy_queue_with_retries_and_kills_is_healthy(shop: Workshop, doctor: Doctor, feeder: Feeder) -> None:
    """A dozen examinations, every second one a repair, while workers fail, retry, die and come back."""
    chance = random.Random(4)  # noqa: S311 - whom to kill
    workers = [shop.start(f"w{i}", "--lease", "2s", processes=2, slots=4) for i in range(2)]
    busy = 0
    for look in range(LOOKS):
        if look % 4 == 2:
            chance.choice(workers).kill()
            workers.append(shop.start(f"w{len(workers)}", "--lease", "2s", processes=2, slots=4))
        found = doctor("--repair") if look % 2 else doctor()
        false = {name: what for name, what in found.worse.items() if name not in TRUE_FOR_A_MOMENT}
        assert not false, f"look {look}: {false}"
        mended = {name: each["mended"] for name, each in found.findings.items() if each["mended"]}
        assert not mended, f"look {look}: {mended}"
        busy += not shop.is_settled()
    assert busy > LOOKS // 2, "too many looks were at a queue that was not busy"
    feeder.enough.set()
    feeder.join()
    shop.settled(timeout=180)
    assert doctor().worse == {}
    assert set(shop.count("end")) == set(range(feeder.sent))
