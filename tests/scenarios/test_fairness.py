"""Fairness: workers end what was sent when an ideal scheduler would; none sits idle while another holds what has not started.

Compared is with the same runs as an ideal scheduler would have placed them (`schedule.py`), never with a clock.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from streamq.worker.prefetch import SOON
from tests.conftest import wait_until
from tests.scenarios.schedule import Watch, ideal, spans, took, wasted
from tests.workshop import Workshop

#: So much later than the ideal, as a share of it, and so many hand-outs of one task.
LATER = 0.1
HAND_OUTS = 12
NAMES = ("w1", "w2")

SHARES = """
import asyncio, json, os, time
from streamq import App, Context

app = App()
ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

def note(event, n, ctx):
    run = {"delivery": ctx.delivery, "count": ctx.count, "worker": ctx.worker}
    line = json.dumps({"event": event, "n": n, "pid": os.getpid(), "at": time.monotonic(), **run})
    os.write(ledger, line.encode() + b"\\n")

def make(name):
    def sync(n: int, ms: float = 0, *, ctx: Context) -> None:
        note("start", n, ctx)
        time.sleep(ms / 1000)
        note("end", n, ctx)

    async def loop(n: int, ms: float = 0, *, ctx: Context) -> None:
        note("start", n, ctx)
        await asyncio.sleep(ms / 1000)
        note("end", n, ctx)

    if "sync" in KINDS:
        app.task(name=name)(sync)
    if "async" in KINDS:
        app.task(name="a" + name)(loop)

for name in ("tiny", "small", "long"):
    make(name)
"""
#: In order of sending: task, how many, how long each takes in ms.
SHAPES = {
    "long ones first": [("long", 10, 500), ("tiny", 1000, 3)],
    "long ones in between": [("tiny", 500, 3), ("long", 10, 500), ("tiny", 500, 3)],
    "long ones of the same name": [("tiny", 500, 3), ("tiny", 10, 500), ("tiny", 500, 3)],
    "one long in a hundred": [("tiny", 99, 3), ("long", 1, 500)] * 10,
    "three lengths": [("tiny", 60, 2), ("small", 10, 30), ("long", 1, 500)] * 10,
}


@pytest.fixture
def shares(shop: Workshop) -> Workshop:
    """A workshop with tasks of several lengths, sync and async."""
    for name, kinds in (("both", ("sync", "async")), ("sync", ("sync",)), ("async", ("async",))):
        shop.module(f"{name}_shares", f"KINDS = {kinds}\n{SHARES}")
    return shop


def begin(shop: Workshop, slots: int, *options: str, kinds: str = "both") -> Watch:
    """Two workers that wait for tasks, and have handlers of these kinds."""
    for name in NAMES:
        shop.start(name, *options, slots=slots, tasks=f"{kinds}_shares")
    wait_until(lambda: len(shop.fleet) == len(NAMES), f"both wait for tasks\n{shop.logs}", 60)
    return Watch(shop)


def judge(shop: Workshop, watch: Watch, slots: int, kinds: dict[int, str], tell: Callable[[str], None]) -> None:
    """What was sent ended when it should, and nobody was idle for want of what another held."""
    first = min(kinds)
    done = spans(shop, first)
    took_s, ideal_s = took(done), ideal(done, len(NAMES) * slots, kinds)
    held = [each for each in watch.held if each.n >= first]
    lost = wasted(done, held, dict.fromkeys(NAMES, slots)) / (len(NAMES) * slots * took_s)
    most = max(watch.hand_outs[n] for n in kinds)
    tell(f"{took_s:.2f} s, ideal {ideal_s:.2f} s; idle beside held tasks {lost:.1%} of all slot time; at most {most} hand-outs")
    assert took_s <= ideal_s * (1 + LATER), shop.logs
    assert lost <= LATER
    assert most <= HAND_OUTS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every shape with every kind of handlers with `--long`; else each kind alone with two of the shapes."""
    if {"shape", "handlers"} <= {*metafunc.fixturenames}:
        alone = SHAPES if metafunc.config.getoption("--long") else ("long ones in between", "one long in a hundred")
        pairs = [(shape, "both") for shape in SHAPES] + [(shape, kind) for shape in alone for kind in ("sync", "async")]
        metafunc.parametrize(("shape", "handlers"), pairs)


@pytest.mark.timeout(300)
def test_workers_end_when_an_ideal_scheduler_would(
    shares: Workshop, shape: str, handlers: str, tell: Callable[[str], None]
) -> None:
    """A thousand tiny tasks and ten long ones on two workers."""
    watch = begin(shares, slots=3, kinds=handlers)
    numbers, kinds = itertools.count(), dict[int, str]()
    for task, many, ms in SHAPES[shape]:
        some = list(itertools.islice(numbers, many))
        watch.send("a" * (handlers == "async") + task, some, ms)
        kinds |= dict.fromkeys(some, f"{task} {ms}")
    watch.until_ended()
    judge(shares, watch, 3, kinds, tell)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("then", ["tiny", "long"])
def test_tasks_that_turn_out_to_be_long_are_shared(shares: Workshop, then: str, tell: Callable[[str], None]) -> None:
    """After thousands of tiny ones, few long ones come, of the same name or of one that was never measured: they go to both."""
    watch = begin(shares, slots=3)
    watch.send("tiny", range(3000), 0.1)
    watch.until_ended()
    kinds = dict.fromkeys(range(3000, 3012), "long")
    watch.send(then, list(kinds), 1500)
    watch.until_ended()
    judge(shares, watch, 3, kinds, tell)
    by_worker = [[span for span in spans(shares, 3000) if span.worker == name] for name in NAMES]
    assert [len(each) for each in by_worker] == [6, 6]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("long", "tiny"), [("long", "atiny"), ("along", "tiny")])
def test_one_kind_of_handlers_does_not_keep_the_other_from_its_slots(
    shares: Workshop, long: str, tiny: str, tell: Callable[[str], None]
) -> None:
    """Long tasks of one kind stand before tiny ones of the other, which have slots of their own: they are not waited for."""
    watch = begin(shares, slots=3)
    watch.send(long, range(18), 1000)
    watch.send(tiny, range(100, 600), 3)
    watch.until_ended()
    done = spans(shares)
    last_long = max(span.start for span in done if span.n < 100)
    late = sum(span.end > last_long for span in done if span.n >= 100)
    most = max(watch.hand_outs.values())
    tell(f"{late} of 500 tiny tasks ended after the last long one had begun; at most {most} hand-outs")
    assert late == 0
    assert most <= 2 * HAND_OUTS


@pytest.mark.timeout(300)
def test_two_workers_do_not_hold_what_only_the_other_has_a_slot_for(shares: Workshop) -> None:
    """Sync slots are free here, async ones there: whoever takes the wrong task hands it back, and not both for ever."""
    shares.send_numbered("hold", range(8))
    shares.send_numbered("ahold", range(100, 108))
    for name in NAMES:
        shares.start(name, processes=2, slots=2)  # of the workshop's own tasks
    wait_until(lambda: len(shares.lines("start")) == 16, f"sixteen tasks run\n{shares.logs}", 60)
    hand_outs = [line.hand_out for line in shares.lines("start")]
    shares.open()
    shares.settled()
    assert max(hand_outs) <= HAND_OUTS


@pytest.mark.timeout(300)
def test_an_urgent_task_starts_before_what_has_not_been_handed_out(shares: Workshop) -> None:
    """Buffers are full of tiny tasks: what it waits for is their depth, not the thousands behind them."""
    watch = begin(shares, slots=2)
    watch.send("tiny", range(4000), 2)
    wait_until(lambda: len(shares.lines("start")) > 500, "buffers are full", 60)
    sent = time.monotonic()
    watch.send("tiny", [9999], 2, priority="high")
    watch.until_ended()
    starts = [line.n for line in shares.lines("start")]
    at = starts.index(9999)
    before = sum(line.at < sent for line in shares.lines("start"))
    assert at - before < len(NAMES) * 2 * SOON / 0.002 * 3
    assert at < len(starts) - 1000


@pytest.mark.timeout(300)
def test_due_tasks_are_shared_as_new_ones_are(shares: Workshop, tell: Callable[[str], None]) -> None:
    """Half of what is there was sent with a delay that is over, long ones among them."""
    watch = begin(shares, slots=3)
    kinds = dict[int, str]()
    for first, options in ((0, {"delay": "1ms"}), (1000, {})):
        watch.send("long", range(first, first + 5), 200, **options)
        watch.send("tiny", range(first + 5, first + 400), 3, **options)
        kinds |= dict.fromkeys(range(first, first + 5), "long") | dict.fromkeys(range(first + 5, first + 400), "tiny")
    watch.until_ended()
    judge(shares, watch, 3, kinds, tell)


@pytest.mark.timeout(300)
def test_a_depth_that_was_asked_for_is_held(shares: Workshop) -> None:
    """Never more than that waits beyond what runs, and it is not handed back, however long it takes."""
    watch = begin(shares, 2, "--prefetch", "3", kinds="sync")
    watch.send("long", range(30), 200)
    watch.until_ended()
    events = sorted(event for each in watch.held for event in ((each.since, each.worker, 1), (each.until, each.worker, -1)))
    for name in NAMES:
        waiting = list(itertools.accumulate(step for _, worker, step in events if worker == name))
        assert max(waiting) <= 3 + 2
    assert set(watch.hand_outs.values()) == {1}
