"""The doctor at a queue at work: nothing that is healthy is called ill, whatever happens to its workers meanwhile."""

from __future__ import annotations

import random

from tests.integration.doctor.conftest import Doctor
from tests.workshop import Workshop

#: What a killed worker makes true for a moment.
TRUE_FOR_A_MOMENT = {"lost-workers", "stuck-tasks", "workers", "bound"}
LOOKS = 20
#: Tasks that come before each look.
MANY = 1000


def send(shop: Workshop, first: int) -> None:
    """Tasks of all kinds: short ones, failing ones, scheduled ones, coroutines, unique ones."""
    shop.send_numbered("work", range(first, first + 400), ms=10)
    shop.send_numbered("fail", range(first + 400, first + 700), times=2)
    shop.send_numbered("work", range(first + 700, first + 800), {"delay": "1s"}, ms=1)
    shop.send_numbered("awork", range(first + 800, first + 980), {"priority": "high"}, ms=5)
    for n in range(first + 980, first + MANY):
        shop.send("work", {"n": n}, unique=f"key-{n}")


def test_a_busy_queue_with_retries_and_kills_is_healthy(shop: Workshop, doctor: Doctor) -> None:
    """Twenty examinations, every second one a repair, while workers fail, retry, die and come back."""
    chance = random.Random(4)  # noqa: S311 - whom to kill
    shop.configure(worker={"backoff": {"base": 0.01, "cap": 0.05}, "lease": "2s"})
    workers = [shop.start(f"w{i}", "--lease", "2s", processes=2, slots=4) for i in range(2)]
    for look in range(LOOKS):
        send(shop, look * MANY)
        if look % 4 == 2:
            chance.choice(workers).kill()
            workers.append(shop.start(f"w{len(workers)}", "--lease", "2s", processes=2, slots=4))
        found = doctor("--repair") if look % 2 else doctor()
        false = {name: what for name, what in found.worse.items() if name not in TRUE_FOR_A_MOMENT}
        assert not false, f"look {look}: {false}"
        mended = {name: each["mended"] for name, each in found.findings.items() if each["mended"]}
        assert not mended, f"look {look}: {mended}"
        assert not shop.is_settled(), "the queue was busy at every look"
    shop.settled(timeout=180)
    assert doctor().worse == {}
    assert set(shop.count("end")) == set(range(LOOKS * MANY))
