"""A send is one task, whatever happens to its connection; a lane's number is what makes it so."""

from __future__ import annotations

import itertools
import json
import os
import random
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamq import App, QueueFull, ServerUnreachable, Unconfirmed, producer
from streamq.keys import LETTERS, STREAMS, Keys
from streamq.prepared import Options, Prepared, prepare, resolve
from streamq.producer import CHUNK_TASKS, Sent
from streamq.server import embedded
from streamq.server.reply import MemoryFull, ReplyError
from tests.conftest import wait_until
from tests.integration.api.conftest import MakeApp, settings, stored
from tests.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1 << 32)


def numbered(n: int) -> Prepared[Any]:
    """A task that is told apart."""
    return prepare("t", b'{"n":%d}' % n)


def numbers(client: redis.Redis, keys: Keys) -> list[int]:
    """The numbers of the tasks that are in the queue, in order."""
    return [json.loads(fields[b"args"])["n"] for _, fields in stored(client, keys)]


def test_two_thousand_sends_over_a_connection_that_breaks_anywhere_are_two_thousand_tasks(
    server: str, make_app: MakeApp, client: redis.Redis, keys: Keys, short_dir: Path
) -> None:
    """Single and bulk sends, cut at any byte of request or reply: each task is there once, in order, under the id returned."""
    print(f"SEED={SEED}")  # noqa: T201 - to repeat it
    draw = random.Random(SEED)  # noqa: S311
    ids: list[str] = []
    with Proxy(server, short_dir / "proxy.sock", seed=SEED) as proxy:
        proxy.share, proxy.within = 1.0, 9000
        app = make_app(server__url=proxy.url)
        while len(ids) < 2000:
            if draw.random() < 0.9:
                ids.append(app.queue.send(numbered(len(ids))).id)
            else:
                bulk = [numbered(len(ids) + i) for i in range(draw.randint(2, 60))]
                ids += [sent.id for sent in app.queue.send_many(bulk)]
        app.close()
    assert numbers(client, keys) == list(range(len(ids)))
    assert [task_id for task_id, _ in stored(client, keys)] == ids
    assert proxy.cuts > 50, "the proxy broke too few connections for this to mean anything"


def test_a_request_that_arrives_after_its_repetition_is_no_second_task(
    server: str, make_app: MakeApp, client: redis.Redis, keys: Keys, short_dir: Path
) -> None:
    """It lay in a buffer while the sender had given its connection up, and had its answer by another."""
    with Proxy(server, short_dir / "proxy.sock") as proxy:
        app = make_app(server__url=proxy.url)
        app.queue.send(numbered(0))
        proxy.hold = b"EVALSHA"
        done = threading.Thread(target=lambda: app.queue.send(numbered(1)))
        done.start()
        wait_until(lambda: proxy.holds, "a request is held back")
        proxy.hold = None
        done.join()
        assert b"again" in proxy.release()
    assert numbers(client, keys) == [0, 1]


def test_a_request_that_arrives_after_the_next_one_is_refused(
    server: str, make_app: MakeApp, client: redis.Redis, keys: Keys, short_dir: Path
) -> None:
    """The sender has given it up, and the lane has gone on."""
    with Proxy(server, short_dir / "proxy.sock") as proxy:
        app = make_app(server__url=proxy.url, server__wait=0)
        app.queue.send(numbered(0))
        proxy.hold = b"EVALSHA"
        with pytest.raises(Unconfirmed):
            app.queue.send(numbered(1))
        proxy.hold = None
        app.queue.send(numbered(2))
        assert b"STALE" in proxy.release()
    assert numbers(client, keys) == [0, 2]


def test_a_send_that_stays_without_a_reply_is_unconfirmed(
    server: str, make_app: MakeApp, client: redis.Redis, keys: Keys, short_dir: Path
) -> None:
    """It may have been accepted, and here it was: the error says that nobody knows, and what was sent before."""
    with Proxy(server, short_dir / "proxy.sock") as proxy:
        app = make_app(server__url=proxy.url, server__wait=0.2)
        first = app.queue.send(numbered(0)).id

        def tasks() -> Any:
            for n in itertools.count(1):
                if n == 2 * CHUNK_TASKS + 1:
                    proxy.mute.set()
                if n > 3 * CHUNK_TASKS:
                    return
                yield numbered(n)

        with pytest.raises(Unconfirmed, match="300 tasks may have been accepted, or not") as caught:
            app.queue.send_many(tasks())
    assert len(caught.value.ids) == CHUNK_TASKS or len(caught.value.ids) == 2 * CHUNK_TASKS
    found = [task_id for task_id, _ in stored(client, keys)]
    assert [first, *caught.value.ids] == found[: 1 + len(caught.value.ids)]
    assert numbers(client, keys) == list(range(len(found)))


def test_a_server_that_was_never_reached_is_unreachable(make_app: MakeApp, short_dir: Path) -> None:
    """Nothing was sent, so nothing is in doubt."""
    with pytest.raises(ServerUnreachable) as caught:
        make_app(server__url=f"unix://{short_dir}/none.sock", server__wait=0.1).queue.send(numbered(0))
    assert not isinstance(caught.value, Unconfirmed)


def test_tasks_keep_their_order(app: App, client: redis.Redis, keys: Keys) -> None:
    """Over all chunks, and the ids come back in it."""
    ids = [sent.id for sent in app.queue.send_many(numbered(n) for n in range(1000))]
    assert numbers(client, keys) == list(range(1000))
    assert [task_id for task_id, _ in stored(client, keys)] == ids


def test_large_tasks_are_sent_in_small_chunks(app: App, client: redis.Redis, keys: Keys) -> None:
    """No call carries much more than a megabyte, so the server never stands still for long."""
    large = [prepare("t", b'{"n":%d,"x":"%s"}' % (n, b"x" * 400_000)) for n in range(7)]
    app.queue.send_many(large)
    assert numbers(client, keys) == list(range(7))
    lanes = client.hgetall(keys["producers"])
    assert [int(value.split()[0]) for value in lanes.values()] == [4]


def test_a_full_queue_refuses_and_tells_what_it_took(make_app: MakeApp, client: redis.Redis, keys: Keys) -> None:
    """The bound holds exactly, in the middle of a chunk too."""
    app = make_app(queue__max_size=450, queue__on_full="reject")
    with pytest.raises(QueueFull, match="is full: it holds 450 tasks") as caught:
        app.queue.send_many(numbered(n) for n in range(1000))
    assert numbers(client, keys) == list(range(450))
    assert caught.value.ids == [task_id for task_id, _ in stored(client, keys)]
    with pytest.raises(QueueFull):
        app.queue.send(numbered(450))
    assert len(stored(client, keys)) == 450


def test_a_sender_that_waits_for_room_goes_on_when_tasks_end(make_app: MakeApp, client: redis.Redis, keys: Keys) -> None:
    """It never puts more than the bound into the queue, and loses nothing on the way."""
    app = make_app(queue__max_size=10)
    most = 0
    seen: set[int] = set()
    sender = threading.Thread(target=lambda: app.queue.send_many(numbered(n) for n in range(100)))
    sender.start()
    while len(seen) < 100:
        entries = wait_until(lambda: stored(client, keys), "there is room, and so there are tasks")
        most = max(most, len(entries))
        for task_id, fields in entries:
            seen.add(json.loads(fields[b"args"])["n"])
            app.queue.cancel(task_id)
    sender.join()
    assert most <= 10
    assert seen == set(range(100))


def test_waiting_for_room_ends_when_asked(make_app: MakeApp, client: redis.Redis) -> None:
    """By a time limit, or from outside."""
    app = make_app(queue__max_size=1)
    app.queue.send(numbered(0))
    with pytest.raises(QueueFull):
        app.queue.send(numbered(1), timeout=0.05)
    stop = threading.Event()
    failed: list[QueueFull] = []

    def send() -> None:
        try:
            app.queue.send_many([numbered(1), numbered(2)], stop=stop)
        except QueueFull as error:
            failed.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    wait_until(lambda: any("b" in each["flags"] for each in client.client_list()), "it waits for room")
    stop.set()
    sender.join()
    assert [error.ids for error in failed] == [[]]


def test_a_bulk_that_is_stopped_reads_and_sends_no_more(app: App, client: redis.Redis, keys: Keys) -> None:
    """What had been sent is told of; what was read and not sent is not sent."""
    stop = threading.Event()
    read = []

    def tasks() -> Iterator[Prepared[Any]]:
        for n in range(3 * CHUNK_TASKS):
            if n == CHUNK_TASKS + 5:
                stop.set()
            read.append(n)
            yield numbered(n)

    sent = app.queue.send_many(tasks(), stop=stop)
    assert len(read) == CHUNK_TASKS + 6
    assert [each.id for each in sent] == [task_id for task_id, _ in stored(client, keys)]
    assert numbers(client, keys) == list(range(CHUNK_TASKS))


def test_a_unique_key_gives_the_task_that_holds_it(app: App, client: redis.Redis, keys: Keys) -> None:
    """Until that one has ended; a bulk send may hold both kinds."""
    unique = prepare("t", b'{"n":0}', resolve({"unique": "k"}))
    first = app.queue.send(unique)
    assert first.is_new
    assert app.queue.send(unique) == Sent(first.id, is_new=False, task="t")
    many = app.queue.send_many([numbered(1), unique, numbered(2)])
    assert [sent.is_new for sent in many] == [True, False, True]
    assert many[1].id == first.id
    assert app.queue.cancel(first.id) == "cancelled"
    assert app.queue.send(unique).is_new


def test_a_full_queue_still_gives_the_holder_of_a_unique_key(make_app: MakeApp) -> None:
    """Joining a task needs no room."""
    app = make_app(queue__max_size=2, queue__on_full="reject")
    unique = prepare("t", b"{}", resolve({"unique": "k"}))
    first = app.queue.send(unique)
    app.queue.send(numbered(1))
    with pytest.raises(QueueFull):
        app.queue.send(numbered(2))
    assert app.queue.send(unique).id == first.id


def test_threads_send_at_the_same_time_each_on_its_lane(app: App, client: redis.Redis, keys: Keys) -> None:
    """None waits for another, and none disturbs another."""
    barrier = threading.Barrier(8)

    def send(start: int) -> None:
        barrier.wait()
        for n in range(start, start + 100):
            app.queue.send(numbered(n))

    threads = [threading.Thread(target=send, args=(1000 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers(client, keys)) == sorted(1000 * i + n for i in range(8) for n in range(100))
    assert 2 <= client.hlen(keys["producers"]) <= 8


def test_after_a_fork_parent_and_child_have_lanes_of_their_own(app: App, client: redis.Redis, keys: Keys) -> None:
    """Also in the middle of a bulk send, which both go on with: each task is what its sender believes it to be."""
    app.queue.send(numbered(0))
    sending = app.queue.send_each(numbered(n) for n in range(1, 1 + 2 * CHUNK_TASKS))
    for _ in range(CHUNK_TASKS):
        next(sending)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            rest = [sent.id for sent in sending]
            own = app.queue.send(prepare("t", b'{"n":-1}')).id
            status = 0 if len({*rest, own}) == CHUNK_TASKS + 1 else 2
        finally:
            os._exit(status)
    rest = [sent.id for sent in sending]
    app.queue.send(prepare("t", b'{"n":-2}'))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    found = numbers(client, keys)
    assert len(set(rest)) == CHUNK_TASKS
    assert len(found) == 1 + CHUNK_TASKS + 2 * CHUNK_TASKS + 2
    assert {-1, -2} <= set(found)
    assert client.hlen(keys["producers"]) >= 2


def test_a_bulk_is_read_on_while_the_server_is_busy(
    server: str, make_app: MakeApp, client: redis.Redis, keys: Keys, short_dir: Path
) -> None:
    """The second chunk is read before the first one is answered; here it is not answered at all, and repeated."""
    with Proxy(server, short_dir / "proxy.sock") as proxy:
        app = make_app(server__url=proxy.url)
        app.queue.send(numbered(0))

        def tasks() -> Any:
            for n in range(1, 1 + 2 * CHUNK_TASKS):
                if n == 2 * CHUNK_TASKS:
                    wait_until(lambda: proxy.holds, "the first chunk is under way")
                    proxy.hold = None
                yield numbered(n)

        proxy.hold = b"EVALSHA"
        ids = [sent.id for sent in app.queue.send_many(tasks())]
    assert numbers(client, keys) == list(range(1 + 2 * CHUNK_TASKS))
    assert [task_id for task_id, _ in stored(client, keys)][1:] == ids


def test_whoever_asks_for_each_task_waits_for_no_other(app: App) -> None:
    """Nothing is read ahead of what is told: the source may be a pipe."""
    read = []

    def tasks() -> Any:
        for n in range(2 * CHUNK_TASKS):
            read.append(n)
            yield numbered(n)

    sending = app.queue.send_each(tasks())
    next(sending)
    assert len(read) == CHUNK_TASKS


def test_what_failed_while_a_chunk_was_under_way_tells_of_it(app: App, client: redis.Redis, keys: Keys) -> None:
    """It was accepted, and so are its ids."""

    def tasks() -> Any:
        yield from map(numbered, range(CHUNK_TASKS))
        raise QueueFull("no more", ids=[], hint="")

    with pytest.raises(QueueFull) as caught:
        app.queue.send_many(tasks())
    assert caught.value.ids == [task_id for task_id, _ in stored(client, keys)]
    assert len(caught.value.ids) == CHUNK_TASKS


def test_a_bulk_that_is_left_while_a_chunk_is_under_way_leaves_no_reply_behind(app: App) -> None:
    """Ctrl-C, or the like: what the server answers to that chunk is no answer to the next send."""

    def tasks() -> Any:
        yield from map(numbered, range(CHUNK_TASKS))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        app.queue.send_many(tasks())
    [sent] = app.queue.send_many([numbered(-1)])
    assert app.job(sent.id).record().args == {"n": -1}


def test_a_fork_while_a_chunk_is_under_way(app: App, client: redis.Redis, keys: Keys) -> None:
    """Parent and child go on; the child does not see the parent's replies, and knows what it sent, or that it does not know."""
    children = []

    def tasks() -> Any:
        for n in range(3 * CHUNK_TASKS):
            if n == CHUNK_TASKS + 5:
                children.append(os.fork())
            yield numbered(n)

    def sent_as_told(ids: list[str]) -> bool:
        found = {task_id: json.loads(fields[b"args"])["n"] for task_id, fields in stored(client, keys)}
        return [found.get(task_id) for task_id in ids] == list(range(3 * CHUNK_TASKS))

    try:
        ids = [sent.id for sent in app.queue.send_many(tasks())]
        status = 0 if sent_as_told(ids) else 1
    except Unconfirmed:
        status = 0
    except BaseException:  # noqa: BLE001 - the child must not come back into the tests
        status = 2
    if children == [0]:
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    assert status == 0
    assert sent_as_told(ids)
    assert len(numbers(client, keys)) in {3 * CHUNK_TASKS, 5 * CHUNK_TASKS}


def test_tasks_of_all_kinds_in_one_bulk(app: App, client: redis.Redis, keys: Keys) -> None:
    """Neighbours that differ in more than their arguments, and those that do not: each with its own fields, under its own id."""
    kinds: list[Options] = [{}, {"priority": "high"}, {"delay": "1h"}, {"timeout": 5}, {"max_deliveries": 2, "priority": "low"}]
    draw = random.Random(SEED)  # noqa: S311
    chosen = [kind for _ in range(CHUNK_TASKS) for kind in [draw.choice(kinds)] * draw.randint(1, 4)]
    tasks = [prepare(f"t{n % 3 // 2}", b'{"n":%d}' % n, resolve(kind)) for n, kind in enumerate(chosen)]
    sent = app.queue.send_many(tasks)
    entries: dict[str, dict[bytes, bytes]] = {}
    for letter, stream in STREAMS.items():
        found: Any = client.xrange(keys[stream])
        entries |= {letter + entry.decode(): fields for entry, fields in found}
    assert len(entries) == len(tasks)
    for told, task, kind in zip(sent, tasks, chosen, strict=True):
        fields = entries[told.id]
        assert (fields[b"task"], fields[b"args"]) == (task.name.encode(), task.args)
        assert told.id[0] == ("s" if "delay" in kind else LETTERS[kind.get("priority") or "default"])
        assert fields.get(b"timeout") == (b"5000" if "timeout" in kind else None)
        assert fields.get(b"max") == (b"2" if "max_deliveries" in kind else None)


def test_a_lane_that_somebody_else_goes_by_is_left(app: App, client: redis.Redis, keys: Keys) -> None:
    """A machine that was cloned has two processes with one lane; the one that is behind learns it, and takes a new one."""
    app.queue.send(numbered(0))
    [lane] = client.hkeys(keys["producers"])
    client.hset(keys["producers"], lane, "99 0 d1-0+0")
    with pytest.raises(ReplyError, match="STALE"):
        app.queue.send(numbered(1))
    app.queue.send(numbered(2))
    assert numbers(client, keys) == [0, 2]


def test_a_queue_is_known_from_its_first_task_on(app: App, client: redis.Redis, queue_name: str) -> None:
    """`queues` lists it."""
    app.queue.send(numbered(0))
    assert client.sismember("streamq:queues", queue_name)


def test_what_gave_the_tasks_may_fail(app: App, client: redis.Redis, keys: Keys) -> None:
    """What had been accepted is told, and the lane goes on."""

    def tasks() -> Any:
        for n in range(CHUNK_TASKS + 5):
            yield numbered(n)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        app.queue.send_many(tasks())
    assert caught.value.__notes__[0].startswith(f"{CHUNK_TASKS} tasks had been accepted before: d")
    app.queue.send(numbered(CHUNK_TASKS))
    assert numbers(client, keys) == list(range(CHUNK_TASKS + 1))


def test_a_lost_reply_is_asked_for_a_minute_at_most(
    server: str, make_app: MakeApp, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the sender would wait for its server: an hour later the server has forgotten the lane."""
    assert producer.REPEAT_MOST == 60
    monkeypatch.setattr(producer, "REPEAT_MOST", 0.05)
    with Proxy(server, short_dir / "proxy.sock") as proxy:
        app = make_app(server__url=proxy.url, server__wait="10d")
        app.queue.send(numbered(0))
        proxy.mute.set()
        with pytest.raises(Unconfirmed, match="a task may have been accepted"):
            app.queue.send(numbered(1))


def test_a_server_whose_memory_is_full_refuses_for_certain(short_dir: Path, keys: Keys) -> None:
    """At once, with what to do; nothing is in doubt then, and when there is memory again, the lane goes on."""
    data = short_dir / "data"
    app = App(settings=settings({"server.data": str(data), "queue.name": keys.queue}, short_dir))
    try:
        app.queue.send(numbered(0))
        with app.queue.transitions() as transitions:
            transitions.link.call("CONFIG", "SET", "maxmemory", 1)
            with pytest.raises(MemoryFull, match="memory is full") as full:
                app.queue.send_many([numbered(1), numbered(2)])
            assert "raise its maxmemory, or let workers empty the queue, then send again" in (full.value.hint or "")
            transitions.link.call("CONFIG", "SET", "maxmemory", 0)
            app.queue.send(numbered(3))
            entries = transitions.link.call("XRANGE", keys["default"], "-", "+")
        assert [json.loads(fields[3])["n"] for _, fields in entries] == [0, 3]
    finally:
        app.close()
        embedded.stop(data)
