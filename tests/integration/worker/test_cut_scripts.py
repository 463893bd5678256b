"""The connection breaks in the middle of a script's request or of its reply, at many a byte, for every script there is.

Whoever calls it finds out, repeats it or tells what is not known; no task is lost, none ends twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Final, NamedTuple

import pytest

from streamq import App, Unconfirmed, dead
from streamq.errors import ServerError
from streamq.scripts import load
from streamq.server.patience import waiting
from streamq.transitions import Bury, Transitions
from tests.conftest import wait_until
from tests.proxy import Direction, Proxy
from tests.workshop import Workshop

NAMES: Final = sorted(
    file.name.removesuffix(".lua") for file in (resources.files("streamq") / "lua").iterdir() if file.name.endswith(".lua")
)
#: After so many bytes; whatever is shorter arrives whole, and then the connection breaks.
REQUEST: Final = (0, 1, 3, 15, 60, 150, 400, 900, 5000)
REPLY: Final = (0, 1, 2, 3, 5, 8, 20, 60, 5000)
#: Of what comes by a clock of its own, the tests that are not long take few.
RARE: Final = {"beat", "renew", "sweep", "reap", "open", "remains"}
#: Who ends what the tests begin by hand.
HAND: Final = "hand-a"


class Stage(NamedTuple):
    """A workshop whose workers and senders are behind a proxy."""

    shop: Workshop
    proxy: Proxy
    #: Behind the proxy.
    app: App
    name: str
    is_long: bool

    def orders(self) -> list[tuple[Direction, int]]:
        """Where to cut."""
        step = 4 if self.name in RARE and not self.is_long else 1
        more = range(25, 1500, 25) if self.is_long and self.name not in RARE else ()
        cuts: list[tuple[Direction, int]] = [("request", after) for after in (*REQUEST[::step], *more)]
        return cuts + [("reply", after) for after in REPLY[::step]]

    def order(self, direction: Direction, after: int) -> None:
        """Cut the next request of the script, or the reply to it."""
        sha = load(self.name).sha.encode()
        if direction == "request":
            self.proxy.cut(direction, after, holding=sha)
        else:
            self.proxy.cut(direction, after, answering=sha)

    def each(self) -> Iterator[int]:
        """Number each cut; it is ordered before and has happened when the next one is asked for."""
        for n, (direction, after) in enumerate(self.orders()):
            self.app.close()  # one that was cut behind a whole reply would be found out by the next call, before that is sent
            self.order(direction, after)
            yield n
            what = f"{self.name}: the {direction} is cut after {after} bytes\n{self.shop.logs}"
            wait_until(lambda: not self.proxy.orders, what)


@pytest.fixture
def make_stage(shop: Workshop, server: str, is_long: bool) -> Iterator[Callable[[str], Stage]]:  # noqa: FBT001
    """Makes the stage for a script, which the server knows."""
    with contextlib.ExitStack() as stack:

        def make(name: str) -> Stage:
            for each in NAMES:
                shop.run.load(each)
            shop.run.open()
            proxy = stack.enter_context(Proxy(server, shop.folder / "proxy.sock"))
            app = App(shop.queue, url=proxy.url)
            stack.callback(app.close)
            return Stage(shop, proxy, app, name, is_long)

        yield make
        for worker in shop.workers:
            worker.kill()


# What a worker calls by itself


def _work(shop: Workshop, n: int) -> None:
    shop.send("work", {"n": n})


def _is_blocked(shop: Workshop) -> bool:
    clients: bytes = shop.link.call("CLIENT", "LIST")
    taking = [line for line in clients.splitlines() if any(b" name=streamq-take-" + name.encode() in line for name in shop.fleet)]
    return any(b" flags=b" in line for line in taking)


def _at_a_mark(shop: Workshop, n: int) -> None:
    """A task comes to a worker that waits for it, and with it a mark, as of a group that somebody has just made anew."""
    control, stream = shop.keys["control"], shop.keys["default"]
    args = f'{{"n": {n}}}'
    commands: list[list[str]] = [["MULTI"], ["HSET", control, "d", f"{(1 << 50) + n}-0"]]
    commands += [["XADD", stream, "*", "task", "work", "args", args], ["HINCRBY", shop.keys["stats"], "sent", "1"], ["EXEC"]]
    wait_until(lambda: not shop.link.call("HEXISTS", control, "d"), "the mark before is gone")
    wait_until(lambda: _is_blocked(shop), "the worker waits for a task")
    shop.link.batch(commands)


def _crash(shop: Workshop, n: int) -> None:
    """A task that its worker dies with, once, and alone."""
    if n:
        shop.happened("end", n - 1)
    shop.send("die", {"n": n, "how": "kill", "times": 1})


def _suspect(shop: Workshop, n: int) -> None:
    """A task that two workers have died with."""
    [task] = shop.send("work", {"n": n}, delay="1h")
    shop.link.batch([
        ["MULTI"],
        ["ZREM", shop.keys["scheduled:default"], task],
        ["HSET", shop.keys["attempts"], task, "2 0 2 0"],
        ["ZADD", shop.keys["suspects:later"], shop.run.now_ms(), task],
        ["EXEC"],
    ])  # fmt: skip


class Worked(NamedTuple):
    """What brings a worker to call a script, and how often the task of each cut starts and ends then."""

    begin: Callable[[Workshop, int], object]
    starts: int = 1
    ends: int = 1


WORKED: Final = {
    "take": Worked(_work),
    "settle": Worked(_work),
    "beat": Worked(_work),
    "renew": Worked(_work),
    "sweep": Worked(_work),
    "admit": Worked(_at_a_mark),
    "quarantine": Worked(_suspect),
    "park": Worked(lambda shop, n: shop.send("fail", {"n": n, "times": 1}), starts=2),
    "bury": Worked(lambda shop, n: shop.send("fail", {"n": n}, max_deliveries=1), ends=0),
    "reap": Worked(_crash, starts=2),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", WORKED)
def test_a_worker_whose_call_is_cut(make_stage: Callable[[str], Stage], name: str) -> None:
    """It goes on, and each task has the starts and the end that it has without a cut."""
    stage, of = make_stage(name), WORKED[name]
    shop = stage.shop
    worker = shop.start("w1", "--lease", "1s", "--url", stage.proxy.url)
    wait_until(lambda: shop.fleet, "the worker waits for tasks")
    tasks = len(stage.orders())
    for n in stage.each():
        of.begin(shop, n)
    figures = shop.settled()
    assert shop.count("start") == dict.fromkeys(range(tasks), of.starts), worker.log
    assert shop.count("end") == (dict.fromkeys(range(tasks), 1) if of.ends else {})
    assert (figures.finished_total, figures.dead_total) == (tasks * of.ends, tasks * (1 - of.ends))
    assert figures.failed_total == tasks * max(of.starts - 1, 1 - of.ends)
    assert stage.proxy.cuts == tasks
    assert worker.stop() == 0


@pytest.mark.parametrize(("name", "option"), [("open", "--max-tasks=5"), ("remains", "--drain")])
def test_a_worker_that_begins_or_ends_by_a_call_that_is_cut(make_stage: Callable[[str], Stage], name: str, option: str) -> None:
    """Again and again: it begins all the same, and ends when there is nothing left."""
    stage = make_stage(name)
    shop = stage.shop
    for direction, after in stage.orders():
        stage.order(direction, after)
    shop.send_numbered("work", range(5))
    worker = shop.start("w1", option, "--url", stage.proxy.url)
    assert worker.ended() == 0, worker.log
    assert stage.proxy.cuts == len(stage.orders())
    assert shop.settled().finished_total == 5
    assert set(shop.count("start").values()) == {1}


# What people and programs ask for


def _dead_letter(shop: Workshop, n: int) -> str:
    [task] = shop.send("work", {"n": n})
    [handed] = shop.run.take(HAND, 1, 1, "d").tasks
    shop.run.bury(HAND, "hand", Bury(handed.address, handed.count, "error", "", "", b"", failed=True, not_started=0, task="work"))
    return task


@contextlib.contextmanager
def _behind(app: App) -> Iterator[Transitions]:
    """Transitions behind the proxy, for calls that may be repeated by hand."""
    with app.queue.transitions() as transitions, contextlib.suppress(ServerError):
        yield transitions


def _add(stage: Stage, n: int) -> None:
    assert stage.app.send("work", n=n).state() == "waiting"


def _add_many(stage: Stage, n: int) -> None:
    jobs = stage.app.send_many("work", [{"n": 2 * n}, {"n": 2 * n + 1}])
    assert [job.state() for job in jobs] == ["waiting"] * 2


def _cancel(stage: Stage, n: int) -> None:
    [task] = stage.shop.send("work", {"n": n})
    with contextlib.suppress(Unconfirmed):
        assert stage.app.queue.cancel(task) == "cancelled"
    assert stage.shop.app.queue.cancel(task) in {"cancelled", "unknown"}
    assert stage.shop.app.job(task).state() == "cancelled"
    assert stage.shop.checked().cancelled_total == n + 1


def _hasten(stage: Stage, n: int) -> None:
    [task] = stage.shop.send("work", {"n": n}, delay="1h")
    assert stage.app.queue.hasten(task) == "ok"


def _pause(stage: Stage, n: int) -> None:
    changed = stage.app.queue.resume() if n % 2 else stage.app.queue.pause()
    assert changed in {True, False}
    assert stage.shop.stats.paused == (n % 2 == 0)


def _purge(stage: Stage, n: int) -> None:
    stage.shop.send_numbered("work", [n], {"delay": "1h"})
    with contextlib.suppress(Unconfirmed):
        stage.app.queue.purge()
    stage.shop.app.queue.purge()
    assert stage.shop.checked().purged_total == n + 1


def _revive(stage: Stage, n: int) -> None:
    task = _dead_letter(stage.shop, n)
    with contextlib.suppress(Unconfirmed):
        assert stage.app.queue.revive(task)[0] == "ok"
    assert stage.shop.app.queue.revive(task)[0] in {"ok", "unknown"}
    assert stage.shop.checked().revived_total == n + 1
    stage.shop.app.queue.cancel(task)


def _discard(stage: Stage, n: int) -> None:
    task = _dead_letter(stage.shop, n)
    with _behind(stage.app) as run:
        list(dead.act(run, "discard", [task]))
    list(dead.act(stage.shop.run, "discard", [task]))
    assert not stage.shop.dead


def _claim(stage: Stage, n: int) -> None:
    stage.shop.send("work", {"n": n})
    [handed] = stage.shop.run.take(HAND, 1, 0, "d").tasks
    for door in (stage.app, stage.shop.app):
        with _behind(door) as run:
            run.claim("by hand", [(handed.address, HAND, handed.count)])
    figures = stage.shop.checked()
    assert (figures.running, figures.retrying, figures.reaped_total) == (0, n + 1, n + 1)


def _mend(stage: Stage, n: int) -> None:
    task = stage.shop.send("work", {"n": n})
    for door in (stage.app, stage.shop.app):
        with _behind(door) as run:
            run.run("mend", "orphaned-entries", *task)


def _reading(call: Callable[[Transitions], object]) -> Callable[[Stage, int], None]:
    """What only reads is asked again."""

    def ask(stage: Stage, n: int) -> None:
        stage.shop.send("work", {"n": n})
        with stage.app.queue.transitions() as run:
            waiting(lambda: call(run), 60)

    return ask


ASKED: Final[dict[str, Callable[[Stage, int], None]]] = {
    "add": _add_many,
    "add_one": _add,
    "cancel": _cancel,
    "claim": _claim,
    "discard": _discard,
    "hasten": _hasten,
    "locate": _reading(lambda run: run.locate("d1-0")),
    "mend": _mend,
    "parked": _reading(lambda run: run.run("parked", 10)),
    "pause": _pause,
    "purge": _purge,
    "remains": _reading(lambda run: run.remains()),
    "revive": _revive,
    "stats": _reading(lambda run: run.stats(5)),
    "survey": _reading(lambda run: run.run("survey", "entries", "d", "", "+", 10)),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ASKED)
def test_somebody_whose_call_is_cut(make_stage: Callable[[str], Stage], name: str) -> None:
    """Has an answer, or an error that says that nobody knows; what is in the queue then runs once."""
    stage = make_stage(name)
    shop = stage.shop
    for n in stage.each():
        ASKED[name](stage, n)
    shop.app.queue.resume()
    sent = shop.checked()
    shop.start("w1")
    figures = shop.settled()
    gone = figures.cancelled_total + figures.purged_total + figures.dead_total
    assert figures.finished_total == sent.sent_total + sent.revived_total - gone
    assert list(shop.count("end").values()) == [1] * figures.finished_total


def test_every_script_is_cut_somewhere() -> None:
    """A script that is new has to be added above."""
    assert {*WORKED, *ASKED, "open"} == set(NAMES)
