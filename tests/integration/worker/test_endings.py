"""What becomes of a task: by its handler's verdict, by what is wrong with it, by its time."""

from __future__ import annotations

from tests.conftest import wait_until
from tests.workshop import Workshop


def test_a_verdict_is_carried_out(shop: Workshop) -> None:
    """Retry and errors count, Snooze does not, Discard buries at once; attempts tell all of it."""
    [retried] = shop.send("steer", {"n": 1, "how": "retry"})
    [snoozed] = shop.send("steer", {"n": 2, "how": "snooze"})
    [discarded] = shop.send("steer", {"n": 3, "how": "discard"})
    [failed_twice] = shop.send("fail", {"n": 4, "times": 2})
    [failed] = shop.send("fail", {"n": 5}, max_deliveries=3)
    shop.start(slots=2)
    figures = shop.settled()
    assert (figures.finished_total, figures.dead_total, figures.failed_total, figures.retried_total) == (3, 2, 7, 5)
    assert [line.delivery for line in shop.lines("start", 1)] == [1, 2]
    assert [line.delivery for line in shop.lines("start", 2)] == [1, 1]
    dead = shop.dead
    assert dead.keys() == {discarded, failed}
    assert dead[discarded]["reason"] == "error"
    assert dead[discarded]["error"] == "never"
    assert dead[discarded]["deliveries"] == 1
    assert dead[failed]["deliveries"] == 3
    assert [attempt["delivery"] for attempt in dead[failed]["attempts"]] == [1, 2, 3]
    assert dead[failed]["error"] == "ValueError: no luck with 5"
    assert "jobs.py" in dead[failed]["traceback"]
    assert [shop.locate(each)["deliveries"] for each in (retried, snoozed, failed_twice)] == [2, 1, 3]
    assert len(shop.locate(failed_twice)["attempts"]) == 2


def test_a_plain_xadd_is_a_task(shop: Workshop) -> None:
    """As CONTRACT's example: any client may add one, with fields of its own that the handler may see."""
    entry = shop.link.call("XADD", shop.keys["default"], "*", "task", "work", "args", '{"n": 1}', "shade", "blue")
    shop.start()
    shop.settled()
    assert shop.locate(f"d{entry.decode()}")["result"] == 1
    assert shop.count("end") == {1: 1}


def test_what_is_no_task_is_a_dead_letter_whole(shop: Workshop) -> None:
    """It harms nobody, is not tried again, and keeps every byte."""
    garbage: list[list[str | bytes]] = [
        ["a", "b"],
        ["task", "work"],
        ["task", "work", "args", "{"],
        ["task", "work", "args", "[1]"],
        ["task", b"\xff\xfe", "args", "{}"],
        ["task", "work", "args", b'{"n": "\xff"}'],
        ["task", "work", "args", '{"n": 1}', "max", "many"],
        ["task", "work", "args", '{"n": 1}', "task", "twice"],
        ["task", "work", "args", '{"n": 1}', "id", "nonsense"],
        ["task", "work", "args", '{"n": 1}', "v", "first"],
        ["task", "", "args", "{}"],
        ["", ""],
        ["task", "work", "args", '{"n": ' + "[" * 100_000 + "]" * 100_000 + "}"],
        ["task", "work", "args", '{"n": "one"}'],
        ["task", "work", "args", "{}"],
        ["task", "work", "args", '{"n": 1, "m": 2}'],
    ]
    ids = [f"d{shop.link.call('XADD', shop.keys['default'], '*', *entry).decode()}" for entry in garbage]
    [good] = shop.send("work", {"n": 1})
    worker = shop.start(slots=2)
    figures = shop.settled()
    assert (figures.finished_total, figures.dead_total) == (1, len(garbage))
    assert shop.locate(good)["state"] == "finished"
    dead = shop.dead
    assert [dead[each]["reason"] for each in ids] == ["invalid"] * len(garbage), worker.log
    whole = [flat[16:] for _, flat in shop.link.call("XRANGE", shop.keys["dead"], "-", "+")]
    sent = [[value if isinstance(value, bytes) else value.encode() for value in entry] for entry in garbage]
    assert sorted(whole) == sorted(sent)
    assert shop.lines("start") == shop.lines("start", 1)


def test_a_task_that_expired_is_not_started(shop: Workshop) -> None:
    """It lies in the dead letters as `expired`, and counts there only."""
    [late] = shop.send("work", {"n": 1}, expires="1ms")
    [in_time] = shop.send("work", {"n": 2}, expires="1h")
    shop.start()
    figures = shop.settled()
    assert (figures.finished_total, figures.expired_total, figures.dead_total) == (1, 1, 0)
    assert shop.dead[late]["reason"] == "expired"
    assert shop.locate(late)["state"] == "expired"
    assert shop.locate(in_time)["state"] == "finished"
    assert not shop.lines("start", 1)


def test_an_unknown_task_waits_for_a_worker_that_knows_it(shop: Workshop) -> None:
    """Forgiven each time, so that its one delivery is still ahead of it."""
    shop.module("others", "from streamq import App\napp = App()\n@app.task\ndef rare(n: int) -> int:\n    return n\n")
    [rare] = shop.send("rare", {"n": 1}, max_deliveries=1)
    shop.start("w1")
    wait_until(lambda: shop.stats.retrying == 1, "a worker has put it off")
    shop.start("w2", tasks="others")
    shop.settled()
    shown = shop.locate(rare)
    assert (shown["state"], shown["result"], shown["deliveries"]) == ("finished", 1, 1)


def test_a_task_that_nobody_ever_knows_is_dead_after_the_limit_of_time(shop: Workshop) -> None:
    """With its reason, and without a delivery."""
    shop.configure(worker={"unknown": 0.2})
    [nobodys] = shop.send("nobodys", {"n": 1})
    shop.start()
    shop.settled()
    assert shop.dead[nobodys]["reason"] == "unknown-task"
    assert shop.dead[nobodys]["deliveries"] == 0
    assert "nobodys" in shop.dead[nobodys]["error"]


def test_handlers_may_start_processes_and_threads(shop: Workshop) -> None:
    """By fork and exec and by a bare fork; and a thread that never ends keeps no worker from ending."""
    [spawned] = shop.send("spawn", {"n": 1})
    shop.send("thread", {"n": 2})
    worker = shop.start(slots=2)
    shop.settled()
    assert shop.locate(spawned)["result"] == "child 7"
    assert worker.stop() == 0


def test_what_handlers_print_is_not_lost(shop: Workshop) -> None:
    """What stands in the buffer of a pipe when the worker is asked to stop is still written."""
    shop.module("talk", "from streamq import App\napp = App()\n@app.task\ndef say(n: int) -> None:\n    print(f'said {n}')\n")
    shop.send("say", {"n": 1})
    worker = shop.start(tasks="talk")
    shop.settled()
    assert worker.stop() == 0
    assert "said 1" in worker.log
