"""Worker failure: workers are killed and stopped in the middle, and no task is lost or counted twice."""

from __future__ import annotations

import itertools
import re
import signal
import time
from collections.abc import Callable

import pytest

from tests.conftest import wait_until
from tests.workshop import Workshop


@pytest.mark.timeout(600)
def test_workers_killed_again_and_again_lose_nothing(
    shop: Workshop,
    tell: Callable[[str], None],
    is_long: bool,  # noqa: FBT001
) -> None:
    """Whole process groups die by SIGKILL under load and are started again; all that ran twice is explained by a kill."""
    tasks, kills = (5000, 10) if is_long else (600, 4)
    shop.send_numbered("work", range(tasks), ms=20)
    names = itertools.cycle(["w1", "w2", "w3"])
    workers = {name: shop.start(name, slots=2) for name in ("w1", "w2", "w3")}
    killed: set[int] = set()
    for kill in range(1, kills + 1):
        due = kill * tasks // (kills + 1)
        wait_until(lambda due=due: len(shop.lines("end")) >= due, f"{due} tasks have run\n{shop.logs}", 300)  # type: ignore[misc]
        name = next(names)
        killed |= {child.pid for child in workers[name].children}
        workers[name].kill()
        workers[name] = shop.start(name, slots=2)
    figures = shop.settled(300)
    assert figures.finished_total == figures.sent_total == tasks
    assert figures.dead_total == 0
    assert shop.count("end").keys() == set(range(tasks))
    last = {line.n: line for line in shop.lines("start")}
    assert all(line is last[line.n] or line.pid in killed for line in shop.lines("start"))
    assert shop.streamq("pending", "--json").stdout == ""
    repeated = len(shop.lines("start")) - tasks
    tell(f"{tasks:,} tasks, {kills} workers killed: each finished, {repeated} runs repeated, all of killed processes")


def test_the_tasks_of_a_killed_worker_run_again_within_seconds(shop: Workshop, tell: Callable[[str], None]) -> None:
    """On the same machine its process is seen to be gone, long before any lease has run out (30 s)."""
    shop.send_numbered("hold", range(8))
    first = shop.start("w1", processes=2, slots=4)
    wait_until(lambda: len(shop.lines("start")) == 8, "all run")
    shop.start("w2", processes=2, slots=4)
    wait_until(lambda: any(card.name == "w2" for card in shop.fleet.values()), "another worker waits for tasks")
    killed_at = time.monotonic()
    first.kill()
    wait_until(lambda: len(shop.lines("start")) == 16, "all run again")
    took = max(line.at for line in shop.lines("start")) - killed_at
    tell(f"the tasks of a killed worker ran again after {took:.2f} s")
    assert took < 10
    shop.open()
    figures = shop.settled()
    assert (figures.finished_total, figures.failed_total, figures.reaped_total) == (8, 8, 8)


def refused(log: str) -> int:
    """How many late results a worker says were refused, one in a line or several together."""
    together = re.findall(r"(\d+) tasks: leases lost, each result refused", log)
    return log.count("lease lost, result refused: another worker has the task") + sum(map(int, together))


def test_a_worker_that_was_paused_for_longer_than_its_lease_cannot_finish(shop: Workshop) -> None:
    """SIGSTOP for the whole group; another worker takes over; after SIGCONT each late result is refused, and one is accepted."""
    ids = shop.send_numbered("hold", range(4))
    late = shop.start("w1", "--lease", "1s", slots=4)
    wait_until(lambda: len(shop.lines("start")) == 4, "all run")
    late.signal_group(signal.SIGSTOP)
    shop.start("w2", "--lease", "1s", slots=4)
    wait_until(lambda: len(shop.lines("start")) == 8, f"another worker has them\n{shop.logs}")
    late.signal_group(signal.SIGCONT)
    shop.open()
    figures = shop.settled()
    wait_until(lambda: refused(late.log) == 4, lambda: f"four late results are refused\n{late.log}")
    assert set(shop.count("end").values()) == {2}
    shown = [shop.locate(each) for each in ids]
    assert [each["worker"] for each in shown] == ["w2"] * 4
    assert [len(each["attempts"]) for each in shown] == [1] * 4
    assert figures.finished_total == 4
    assert shop.stats.fenced_total == 4
    [good] = shop.send("work", {"n": 9})
    shop.settled()
    assert shop.locate(good)["state"] == "finished"
    assert late.stop() == 0


def test_what_a_paused_worker_had_not_started_it_does_not_start_late(shop: Workshop) -> None:
    """It goes on past its lease with a buffer full of tasks that another has run meanwhile: it hands them back unseen."""
    shop.send_numbered("hold", [0])
    late = shop.start("w1", "--lease", "1s", "--prefetch", "20")
    shop.happened("start", 0)
    shop.send_numbered("work", range(1, 16))
    wait_until(lambda: shop.stats.running == 16, lambda: f"it holds them all\n{late.log}")
    late.signal_group(signal.SIGSTOP)
    shop.start("w2", "--lease", "1s", slots=4)
    wait_until(lambda: len(shop.lines("end")) == 15, f"another worker runs them\n{shop.logs}")
    shop.open()
    late.signal_group(signal.SIGCONT)
    shop.settled()
    wait_until(lambda: "refused: another worker has the task" in late.log, f"the late result is refused\n{late.log}")
    assert shop.count("start") == {0: 2} | dict.fromkeys(range(1, 16), 1)


def test_a_killed_worker_that_is_alone_goes_on_where_it_was(shop: Workshop) -> None:
    """Started again under the same name it recovers its own tasks at once."""
    shop.send_numbered("hold", range(4))
    worker = shop.start("w1", slots=2)
    wait_until(lambda: len(shop.lines("start")) == 2, "two run")
    worker.kill()
    shop.open()
    shop.start("w1", slots=2)
    figures = shop.settled()
    assert figures.finished_total == 4
    assert shop.count("start") == {0: 2, 1: 2, 2: 1, 3: 1}
