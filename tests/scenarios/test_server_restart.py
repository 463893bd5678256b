"""Redis restart: the server dies, is stopped, is paused; producers and workers go on by themselves as soon as it is back."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from streamq.server import embedded
from tests.conftest import wait_until
from tests.integration.server.servers import kill_server, servers_of
from tests.lua.servers import Server
from tests.workshop import Workshop


@pytest.fixture
def durable(own: Workshop) -> Workshop:
    """A server that writes before it answers: not even its own death makes it forget."""
    own.configure(server={"durability": "always"}, worker={"lease": 1.0})
    embedded.set_durability(own.data, "always")
    return own


def test_a_server_killed_under_load_is_revived_by_whoever_needs_it(durable: Workshop) -> None:
    """Three times, with producers and workers at work: every task that was accepted runs, and runs once."""
    accepted: list[str] = []

    def produce(start: int) -> None:
        for n in range(start, start + 200):
            accepted.extend(durable.send("work", {"n": n, "ms": 2}))

    producers = [threading.Thread(target=produce, args=(start,)) for start in (0, 1000)]
    for name in ("w1", "w2"):
        durable.start(name, slots=2)
    wait_until(lambda: len(durable.fleet) == 2, "both workers wait for tasks")
    for producer in producers:
        producer.start()
    for done in (60, 160, 260):
        wait_until(lambda done=done: len(durable.lines("end")) >= done, f"{done} tasks have run\n{durable.logs}")  # type: ignore[misc]
        killed = servers_of(durable.data)
        for server in killed:
            server.kill()
        wait_until(lambda killed=killed: not any(map(psutil.Process.is_running, killed)), "it is gone")  # type: ignore[misc]
    for producer in producers:
        producer.join()
    figures = durable.settled()
    assert len(set(accepted)) == 400
    assert figures.sent_total == figures.finished_total == 400
    assert durable.count("end") == dict.fromkeys([*range(200), *range(1000, 1200)], 1), durable.logs


def test_a_server_that_was_stopped_on_purpose_is_waited_for(own: Workshop) -> None:
    """Workers do not start it again; when it is started, they go on with what they have, and so does a handler that asks it."""
    own.send_numbered("hold", [1, 2])
    own.send_numbered("guarded", [3])
    own.send_numbered("work", range(10, 20))
    worker = own.start("w1", slots=3)
    for n in (1, 2, 3):
        own.happened("start", n)
    assert own.streamq("server", "stop").returncode == 0
    own.open()
    own.happened("end", 1)
    own.happened("end", 2)
    worker.said("server away")
    assert not servers_of(own.data)
    assert not own.lines("end", 3)
    assert own.streamq("server", "start").returncode == 0
    figures = own.settled()
    assert (figures.finished_total, figures.failed_total) == (13, 0)
    assert set(own.count("start").values()) == {1}
    assert worker.stop() == 0


@pytest.mark.parametrize("twice", [True, False], ids=["a second Ctrl-C", "the grace time is over"])
def test_a_worker_can_be_stopped_while_the_server_is_away(own: Workshop, twice: bool) -> None:  # noqa: FBT001
    """It cannot hand back what it holds, and says so: exit status 3. Another worker has its tasks once the server is back."""
    own.send_numbered("hold", [1])
    worker = own.start("w1", "--grace", "600s" if twice else "0.5s")
    own.happened("start", 1)
    assert own.streamq("server", "stop").returncode == 0
    worker.said("dead workers cannot be looked for")
    worker.signal(signal.SIGINT)
    if twice:
        worker.said("stopping: 1 running")
        worker.signal(signal.SIGINT)
    assert worker.ended() == 3
    assert "what it held is left to other workers" in worker.log
    assert "was stopped" in worker.log.splitlines()[-2]
    assert own.streamq("server", "start").returncode == 0
    own.open()
    own.start("w2")
    own.settled()
    assert own.count("start") == {1: 2}


def test_a_worker_waits_only_so_long(own: Workshop) -> None:
    """`worker.patience`; then it ends with exit status 3."""
    own.configure(worker={"patience": 0.5, "grace": 0.5})
    worker = own.start("w1")
    wait_until(lambda: own.fleet, "the worker waits for tasks")
    assert own.streamq("server", "stop").returncode == 0
    assert worker.ended() == 3, worker.log
    assert "streamq: error:" in worker.log


def test_a_server_of_ones_own_is_waited_for(own: Workshop) -> None:
    """Named by its URL nobody may start it; killed and started again, it is used again, by sender and worker alike."""
    url = f"unix://{own.data / 'server.sock'}"
    own.send_numbered("hold", [1])
    worker = own.start("w1", "--url", url)
    own.happened("start", 1)
    kill_server(own.data)
    own.open()
    own.happened("end", 1)
    worker.said("server away")
    assert not servers_of(own.data)
    embedded.ensure(own.data)
    own.send_numbered("work", [2])
    figures = own.settled()
    assert figures.finished_total == 2
    assert own.count("start") == {1: 1, 2: 1}
    assert worker.stop() == 0


def test_a_server_that_stands_still_for_longer_than_the_leases_takes_no_task_from_anybody(durable: Workshop) -> None:
    """When it goes on all workers look idle to it: nothing is recovered by time alone for a while."""
    durable.send_numbered("hold", [1, 2])
    for name in ("w1", "w2"):
        durable.start(name)
    durable.happened("start", 1)
    durable.happened("start", 2)
    [server] = servers_of(durable.data)
    os.kill(server.pid, signal.SIGSTOP)
    for worker in durable.workers:
        worker.said("leases cannot be renewed")
    os.kill(server.pid, signal.SIGCONT)
    since = durable.run.now_ms()
    wait_until(
        lambda: int(durable.link.call("HGET", durable.keys["control"], "sweep")) > since + 2000, "two leases' worth of sweeps"
    )
    durable.open()
    figures = durable.settled()
    assert durable.count("start") == {1: 1, 2: 1}
    assert (figures.finished_total, figures.reaped_total, figures.fenced_total) == (2, 0, 0)


def test_a_server_that_loads_for_long_is_waited_for(shop: Workshop) -> None:
    """Workers that wait for a task when it dies meet a server that answers, and says that it is still loading."""
    with tempfile.TemporaryDirectory(prefix="sq") as folder:
        server = Server(Path(folder), "--appendonly", "yes")
        server.start()
        try:
            with server.client() as client:
                for n in range(6000):
                    client.set(f"ballast:{n}", n)
                workers = [shop.start(f"w{i}", "--url", server.url, slots=2) for i in range(3)]
                wait_until(lambda: client.zcard(shop.keys["workers"]) == 3, f"all wait for tasks\n{shop.logs}")
            server.kill()
            server.options += ("--key-load-delay", "300", "--loading-process-events-interval-bytes", "1024")
            server.start()
            with server.client() as client:
                client.xadd(shop.keys["default"], {"task": "work", "args": '{"n": 1}'})
            shop.happened("end", 1)
            for worker in workers:
                worker.said("server back after")
                assert worker.stop() == 0
        finally:
            server.kill()


def test_a_worker_whose_servers_directory_is_deleted_says_so_and_ends(own: Workshop) -> None:
    """`rm -rf .streamq`: nobody else finds its server. What runs ends, the rest is handed back, exit status 3."""
    own.send_numbered("work", [0])
    worker = own.start("w1", "--prefetch", "5")
    own.settled()
    own.send_numbered("hold", [1, 2])
    own.happened("start", 1)
    wait_until(lambda: own.stats.running == 2, "both have been handed out")
    [server] = servers_of(own.data)
    shutil.rmtree(own.data)
    worker.said("was deleted while its server runs")
    wait_until(lambda: own.run.remains().running == 1, "what had not started is handed back")
    own.open()
    assert worker.ended() == 3, worker.log
    assert "streamq: error: the data directory" in worker.log
    left = own.run.remains()
    assert (left.running, left.retrying) == (0, 1)
    assert own.count("end") == {0: 1, 1: 1}
    server.kill()
    wait_until(lambda: not server.is_running(), "the server is gone")


@pytest.mark.parametrize(
    ("harm", "mend", "said"),
    [
        (("CONFIG", "SET", "min-replicas-to-write", 1), ("CONFIG", "SET", "min-replicas-to-write", 0), "too few replicas"),
        (("REPLICAOF", "127.0.0.1", 1), ("REPLICAOF", "NO", "ONE"), "read-only replica"),
    ],
)
def test_a_server_that_takes_no_writes_for_a_while_is_waited_for(
    own: Workshop, harm: tuple[str | int, ...], mend: tuple[str | int, ...], said: str
) -> None:
    """As in a failover: what runs ends and is settled afterwards, what waits is run, and senders wait as workers do."""
    own.send_numbered("hold", range(4))
    own.send_numbered("work", range(10, 20))
    worker = own.start("w1", slots=4)
    wait_until(lambda: len(own.lines("start")) == 4, "four run")
    own.link.call(*harm)
    own.open()
    sender = threading.Thread(target=own.send_numbered, args=("work", range(20, 30)))
    sender.start()
    worker.said(said)
    assert worker.process.poll() is None
    own.link.call(*mend)
    sender.join()
    wait_until(lambda: own.stats.finished_total == 24, lambda: f"all are finished\n{worker.log}")
    assert own.settled().finished_total == 24
    assert own.count("start") == dict.fromkeys([*range(4), *range(10, 30)], 1)
    assert worker.stop() == 0
