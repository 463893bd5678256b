"""Two releases side by side, the newer with tasks that the older does not know, and workers restarted one by one under load."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.workshop import WorkerProcess, Workshop

OLD = "from streamq import App\nimport jobs\napp = App()\napp.task(jobs.work.__wrapped__)\n"
#: What only workers of the new release know.
NEW = (
    "from jobs import app, note, Context\n"
    "import time\n"
    "@app.task\n"
    "def fresh(n: int, ms: float = 0, *, ctx: Context) -> None:\n"
    "    note('start', n, ctx)\n"
    "    time.sleep(ms / 1000)\n"
    "    note('end', n, ctx)\n"
)


@pytest.fixture
def releases(shop: Workshop) -> Workshop:
    """A workshop with the tasks modules of both releases."""
    shop.module("old", OLD)
    shop.module("new", NEW)
    return shop


@pytest.fixture
def load(releases: Workshop) -> Iterator[Callable[[], list[int]]]:
    """Tasks that both releases know and tasks of the new one, sent until the returned function is called: it tells how many."""
    stop, sent = threading.Event(), [0, 0]

    def send() -> None:
        while not stop.wait(0.02):
            releases.send_numbered("work", range(sent[0], sent[0] + 4), ms=10)
            releases.send_numbered("fresh", [100_000 + sent[1]], ms=10)
            sent[0] += 4
            sent[1] += 1

    def end() -> list[int]:
        stop.set()
        sender.join()
        return sent

    sender = threading.Thread(target=send)
    sender.start()
    yield end
    end()


def by_hand(shop: Workshop, **fields: Any) -> str:
    """Add an entry as any client may; returns its id."""
    flat = [str(each) for pair in fields.items() for each in pair]
    entry = shop.link.call("XADD", shop.keys["default"], "*", "task", "work", "args", '{"n": 1}', *flat)
    return f"d{entry.decode()}"


@pytest.mark.timeout(600)
def test_workers_restarted_one_by_one_under_load_repeat_nothing(
    releases: Workshop,
    load: Callable[[], list[int]],
    tell: Callable[[str], None],
    is_long: bool,  # noqa: FBT001
) -> None:
    """From the old release to the new one and back, by SIGTERM: no task runs twice, is lost or fails, whoever knows it."""
    workers: dict[str, WorkerProcess] = {}
    for name in ("w1", "w2", "w3"):
        workers[name] = releases.start(name, slots=4, tasks="old")
    versions = ("new", "old") * (4 if is_long else 1) + ("new",)
    for version in versions:
        for name, worker in list(workers.items()):
            done = len(releases.lines("end"))
            wait_until(lambda done=done: len(releases.lines("end")) >= done + 30, f"tasks are run\n{releases.logs}")  # type: ignore[misc]
            assert worker.stop() == 0
            workers[name] = releases.start(name, slots=4, tasks=version)
    common, fresh = load()
    figures = releases.settled(120)
    numbers = [*range(common), *range(100_000, 100_000 + fresh)]
    assert releases.count("start") == releases.count("end") == dict.fromkeys(numbers, 1)
    assert (figures.finished_total, figures.failed_total, figures.dead_total) == (len(numbers), 0, 0)
    assert (figures.reaped_total, figures.fenced_total) == (0, 0)
    tell(f"{common + fresh} tasks, {fresh} of them of the new release, over {3 * len(versions)} restarts: each ran once")


def test_a_task_of_the_new_release_is_not_counted_against(releases: Workshop) -> None:
    """Handed to the old one many times it is parked each time; its first start is its first delivery, of one."""
    [task] = releases.send("fresh", {"n": 1}, max_deliveries=1)
    releases.start("w1", tasks="old")
    wait_until(lambda: b" 3 0 " in (releases.link.call("HGET", releases.keys["attempts"], task) or b""), "parked three times")
    assert not releases.ledger
    releases.start("w2", tasks="new")
    figures = releases.settled()
    assert [line.delivery for line in releases.lines("end", 1)] == [1]
    assert (figures.finished_total, figures.failed_total) == (1, 0)
    assert releases.locate(task)["deliveries"] == 1


def test_an_entry_of_a_newer_format_is_left_to_newer_workers(releases: Workshop) -> None:
    """It is no rubbish: parked, whatever else it holds, and not counted; revived after the limit it is whole."""
    releases.configure(worker={"unknown": 1.0})
    newer = by_hand(releases, v=2, timeout="whenever")
    older = by_hand(releases, v=1)
    worker = releases.start("w1", tasks="old")
    wait_until(lambda: newer in releases.dead, lambda: f"it is given up\n{worker.log}")
    letter = releases.dead[newer]
    assert (letter["reason"], letter["deliveries"]) == ("unknown-task", 0)
    assert letter["error"] == "no worker has known version 2 of the format for 1s"
    assert letter["fields"] == {"task": "work", "args": '{"n": 1}', "v": "2", "timeout": "whenever"}
    assert releases.locate(older)["state"] == "finished"
    assert releases.count("start") == {1: 1}


def test_draining_waits_for_a_worker_of_the_new_release(releases: Workshop) -> None:
    """What this worker does not know another one does; what none does is counted, however much it is, and said."""
    new = releases.start("w1", tasks="new")
    wait_until(lambda: releases.fleet, "the new release is at work")
    releases.send_numbered("fresh", range(40), ms=50)
    old = releases.start("w2", "--drain", slots=2, tasks="old")
    assert old.ended() == 0, releases.logs
    assert releases.settled().finished_total == 40
    assert new.stop() == 0
    releases.send_numbered("fresh", range(1500))
    last = releases.start("w3", "--drain", tasks="old")
    assert last.ended() == 1, last.log
    assert "1500 tasks are left that no worker knows" in last.log
    assert releases.checked().retrying == 1500
