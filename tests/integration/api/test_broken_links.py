"""Ten thousand sends over a link that breaks at any byte, both ways, are ten thousand tasks under the ids returned.

Each of these has its own way of sending. `SEED=…` repeats the breaks of a run, as far as threads let it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamq import App, QueueFull, ServerUnreachable, Unconfirmed
from streamq.keys import Keys
from streamq.prepared import PLAIN, Delivery, Prepared, prepare, resolve
from streamq.producer import CHUNK_TASKS
from streamq.server import embedded
from streamq.server.patience import waiting
from tests.conftest import wait_until
from tests.integration.api.conftest import MakeApp, settings, stored
from tests.integration.server.servers import kill_server
from tests.proxy import Proxy

if TYPE_CHECKING:
    import redis

SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1 << 32)
TASKS = 10_000
THREADS = 4


@pytest.fixture
def link(server: str, short_dir: Path, app: App) -> Iterator[Proxy]:
    """A link to the session's server, which knows the script; one in five connections is cut at a random byte."""
    print(f"SEED={SEED}")  # noqa: T201 - to repeat it
    with app.queue.transitions() as transitions:
        transitions.load("add")
        transitions.load("add_one")
    with Proxy(server, short_dir / "proxy.sock", seed=SEED) as proxy:
        proxy.share, proxy.within = 0.2, 1500
        yield proxy


@pytest.fixture
def sender(make_app: MakeApp, link: Proxy) -> App:
    """An app behind that link."""
    return make_app(server__url=link.url)


def numbered(n: int, delivery: Delivery = PLAIN) -> Prepared[Any]:
    """A task that is told apart."""
    return prepare("t", b'{"n":%d}' % n, delivery)


def present(client: redis.Redis, keys: Keys) -> dict[str, int]:
    """Id and number of the tasks that are in the queue, those of one stream in order."""
    return {task_id: json.loads(fields[b"args"])["n"] for task_id, fields in stored(client, keys)}


def once_each(client: redis.Redis, keys: Keys, sent: dict[str, int], tasks: int = TASKS) -> None:
    """Check that so many tasks were sent, and that what is in the queue is exactly that."""
    found = present(client, keys)
    assert len(found) == tasks, f"{len(found)} tasks; more than once: {Counter(found.values()).most_common(5)}"
    assert found == sent
    assert sorted(found.values()) == list(range(tasks))


def in_threads(work: Callable[[range], None], tasks: int = TASKS) -> None:
    """Share the numbers of the tasks out to threads, and wait until all are sent."""
    shares = [range(i * tasks // THREADS, (i + 1) * tasks // THREADS) for i in range(THREADS)]
    failed: list[BaseException] = []

    def run(share: range) -> None:
        try:
            work(share)
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=run, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def chunks(numbers: Sequence[int], draw: random.Random, most: int) -> Iterator[Sequence[int]]:
    """Numbers in pieces of random length."""
    while numbers:
        size = draw.randint(1, most)
        yield numbers[:size]
        numbers = numbers[size:]


def test_ten_thousand_single_sends_over_new_connections_are_ten_thousand_tasks(
    sender: App, link: Proxy, client: redis.Redis, keys: Keys, tell: Callable[[str], None]
) -> None:
    """From threads, each with a new connection every few sends; one in five of them is cut."""
    sent: dict[str, int] = {}

    def work(share: range) -> None:
        for few in chunks(share, random.Random(SEED), 10):  # noqa: S311
            for n in few:
                sent[sender.queue.send(numbered(n)).id] = n
            sender.close()

    in_threads(work)
    once_each(client, keys, sent)
    assert link.cuts > 100, "too few connections were cut for this to mean anything"
    tell(f"{TASKS:,} single sends, {link.cuts:,} connections cut at a random byte: {TASKS:,} tasks, under the ids returned")


def test_ten_thousand_tasks_in_bulk_over_connections_that_all_break(
    sender: App, link: Proxy, client: redis.Redis, keys: Keys, tell: Callable[[str], None]
) -> None:
    """Bulks of all sizes, delayed tasks among them, in order; no connection lives for long."""
    link.share, link.within = 1.0, 15_000
    draw = random.Random(SEED)  # noqa: S311
    sent: dict[str, int] = {}
    for bulk in chunks(range(TASKS), draw, 2 * CHUNK_TASKS):
        delivery = resolve({"delay": "1h"}) if draw.random() < 0.2 else PLAIN
        tasks = [numbered(n, delivery) for n in bulk]
        sent |= zip([each.id for each in sender.queue.send_many(tasks)], bulk, strict=True)
    assert {each[0] for each in sent} == {"d", "s"}
    once_each(client, keys, sent)
    for letter in "ds":
        order = [n for task_id, n in present(client, keys).items() if task_id[0] == letter]
        assert order == sorted(order)
    assert link.cuts > 10
    tell(f"{TASKS:,} sends in bulk, {link.cuts:,} connections cut at a random byte: {TASKS:,} tasks, in order")


def test_sends_of_coroutines_are_tasks_once(sender: App, link: Proxy, client: redis.Redis, keys: Keys) -> None:
    """Single ones beside each other, and bulks."""
    link.share, link.within = 1.0, 6000
    sent: dict[str, int] = {}

    async def send(numbers: Sequence[int]) -> None:
        if len(numbers) > 1:
            jobs = await sender.aenqueue_many(numbered(n) for n in numbers)
            sent.update(zip([job.id for job in jobs], numbers, strict=True))
        else:
            sent[(await sender.aenqueue(numbered(numbers[0]))).id] = numbers[0]

    async def main() -> None:
        limit = asyncio.Semaphore(8)

        async def within(numbers: Sequence[int]) -> None:
            async with limit:
                await send(numbers)

        async with asyncio.TaskGroup() as group:
            for numbers in chunks(range(2000), random.Random(SEED), 4):  # noqa: S311
                group.create_task(within(numbers))

    asyncio.run(main())
    once_each(client, keys, sent, 2000)
    assert link.cuts > 10


def test_unique_keys_over_a_broken_link(sender: App, link: Proxy, client: redis.Redis, keys: Keys) -> None:
    """Each key has one task, whoever of the threads sent it first; who did is told so although the reply was lost."""
    link.share, link.within = 1.0, 8000
    first: list[int] = []
    ids: list[set[str]] = [set() for _ in range(500)]

    def work(_: range) -> None:
        for n in random.Random(SEED).sample(range(500), 500):  # noqa: S311
            sent = sender.queue.send(numbered(n, resolve({"unique": f"k{n}"})))
            ids[n].add(sent.id)
            first.extend([n] * sent.is_new)

    in_threads(work)
    found = present(client, keys)
    assert sorted(found.values()) == sorted(first) == list(range(500))
    assert ids == [{task_id} for task_id, _ in sorted(found.items(), key=lambda each: each[1])]
    assert link.cuts > 10


def test_a_bound_over_a_broken_link(make_app: MakeApp, link: Proxy, client: redis.Redis, keys: Keys) -> None:
    """What was refused is not there, what was accepted in part is told exactly, and the bound is never passed."""
    link.share, link.within = 1.0, 6_000
    app = make_app(server__url=link.url, queue__max_size=1000, queue__on_full="reject")
    accepted: list[str] = []
    draw = random.Random(SEED)  # noqa: S311
    for bulk in chunks(range(1100), draw, 60):
        try:
            accepted += [each.id for each in app.queue.send_many(numbered(n) for n in bulk)]
        except QueueFull as error:
            accepted += error.ids
    assert list(present(client, keys)) == accepted
    assert len(accepted) == 1000
    assert link.cuts > 5


def test_a_fork_in_the_middle_of_sending_over_a_broken_link(
    make_app: MakeApp, link: Proxy, client: redis.Redis, keys: Keys
) -> None:
    """Parent and child go on with the same bulk, each on its own lane and connection: its tasks are there once for each."""
    link.share, link.within = 1.0, 100_000
    app = make_app(server__url=link.url)
    sending = app.queue.send_each(numbered(n) for n in range(10 * CHUNK_TASKS))
    before = [next(sending).id for _ in range(CHUNK_TASKS)]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            ids = [each.id for each in sending]
            with os.fdopen(writer, "w") as pipe:
                json.dump(ids, pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    parents = [each.id for each in sending]
    with os.fdopen(reader) as pipe:
        childs = json.load(pipe)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    everything = [*before, *parents, *childs]
    assert len(set(everything)) == len(everything) == 19 * CHUNK_TASKS
    found = present(client, keys)
    assert found.keys() == set(everything)
    for ids in (parents, childs):
        assert [found[task_id] for task_id in ids] == list(range(CHUNK_TASKS, 10 * CHUNK_TASKS))


def test_a_sender_gives_up_after_its_bound_and_goes_on_when_there_is_a_link(
    make_app: MakeApp, link: Proxy, client: redis.Redis, keys: Keys
) -> None:
    """A partition that lasts: unreachable where nothing was sent, unconfirmed where a reply was lost; neither is sent later."""
    link.share = 0
    app = make_app(server__url=link.url, server__wait=0.3)
    app.queue.send(numbered(0))
    link.cut("reply", 0, duty="send")
    link.refuse = True
    with pytest.raises(Unconfirmed, match="may have been accepted, or not") as caught:
        app.queue.send(numbered(1))
    assert caught.value.hint
    with pytest.raises(ServerUnreachable, match=r"proxy\.sock") as unreachable:
        app.queue.send(numbered(2))
    assert not isinstance(unreachable.value, Unconfirmed)
    link.refuse = False
    app.queue.send(numbered(3))
    assert list(present(client, keys).values()) == [0, 1, 3]


def test_a_server_that_is_killed_again_and_again_while_the_link_breaks(short_dir: Path, keys: Keys) -> None:
    """One that writes before it answers: what was accepted is there once, across its deaths."""
    data, tasks = short_dir / "data", 2000
    url = f"unix://{embedded.ensure(data)}"
    embedded.set_durability(data, "always")
    sent: dict[str, int] = {}
    with Proxy(url, short_dir / "proxy.sock", seed=SEED) as link:
        link.share, link.within = 1.0, 20_000
        app = App(settings=settings({"server.url": link.url, "queue.name": keys.queue, "server.data": str(data)}, short_dir))

        def work(share: range) -> None:
            for bulk in chunks(share, random.Random(SEED), 20):  # noqa: S311
                sent.update(zip([each.id for each in app.queue.send_many(map(numbered, bulk))], bulk, strict=True))

        sending = threading.Thread(target=in_threads, args=(work, tasks))
        try:
            sending.start()
            for many in (tasks // 5, tasks // 2, tasks * 4 // 5):
                wait_until(lambda many=many: len(sent) >= many, f"{many} are sent")  # type: ignore[misc]
                kill_server(data)
                embedded.ensure(data)
            sending.join()
            with app.queue.transitions() as transitions:
                link.share = 0
                link.sever()
                entries = waiting(lambda: transitions.link.call("XRANGE", keys["default"], "-", "+"), 60)
            found = {f"d{entry.decode()}": json.loads(fields[3])["n"] for entry, fields in entries}
            assert found == sent
            assert sorted(found.values()) == list(range(tasks))
        finally:
            sending.join()
            app.close()
            kill_server(data)
