"""The faults: what goes wrong with workers, with the link, the server, the disk and the database, and what each may explain.

A fault is a function of the place that does its harm, lasts, and mends what would not mend itself. Those of workers and those of
everything else happen side by side, each one after another.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable

import psutil
import redis

from streamq.keys import STREAMS
from tests.chaos import disk
from tests.chaos.kinds import LEASE
from tests.chaos.ledger import Accepted, Ledger, Send, Unknown
from tests.chaos.place import Place
from tests.chaos.server import Server
from tests.conftest import wait_until
from tests.proxy import Proxy

Fault = Callable[[Place, random.Random], None]

#: What is acknowledged under `everysec` may be lost for so long, in seconds: an fsync a second, and one that is slow.
EVERYSEC = 2.5
#: A server may see an fsync that is under way so much later than it began, in seconds.
_NOTICED = 0.5
#: Tasks a second of one producer; a queue that is full slows it down.
PACE = 400


# Of workers and producers


def kill_worker(place: Place, rng: random.Random) -> None:
    """All processes of a worker are killed."""
    place.fleet.kill(rng.choice(place.fleet.workers))


def kill_child(place: Place, rng: random.Random) -> None:
    """A process that runs tasks is killed."""
    place.fleet.kill_child(rng.choice(place.fleet.workers))


def kill_supervisor(place: Place, rng: random.Random) -> None:
    """The process that looks after a worker's others is killed."""
    place.fleet.kill_supervisor(rng.choice(place.fleet.workers))


def halt_worker(place: Place, rng: random.Random) -> None:
    """A worker stands still past its lease, and goes on as if nothing had been."""
    with place.fleet.halted(rng.choice(place.fleet.workers)):
        time.sleep(LEASE * rng.uniform(0.2, 2))


def halt_child(place: Place, rng: random.Random) -> None:
    """One process of a worker stands still past its lease."""
    worker = rng.choice(place.fleet.workers)
    if children := worker.children():
        child = rng.choice(children)
        with place.records.silence([worker.name]), contextlib.suppress(psutil.NoSuchProcess):
            child.send_signal(signal.SIGSTOP)
            time.sleep(LEASE * rng.uniform(0.5, 2))
            child.send_signal(signal.SIGCONT)


def deploy(place: Place, rng: random.Random) -> None:
    """A new worker starts, an old one is asked to stop and finishes what it runs."""
    old = rng.choice(place.fleet.workers)
    place.start_worker()
    status = place.fleet.retire(old, 60)
    place.records.note(f"{old.name} ended with {status}")
    place.records.faults[f"worker asked to stop, ended with {status}"] += 1


def kill_producer(place: Place, rng: random.Random) -> None:
    """A producer is killed in the middle of whatever it does, and another one starts."""
    producer = rng.choice(place.fleet.producers)
    place.fleet.producers.remove(producer)
    producer.kill()
    place.start_producer(PACE)


# Of the link


def cut_link(place: Place, rng: random.Random) -> None:
    """Connections break at any byte, in the middle of requests and replies."""
    with place.harming_link():
        place.link.share, place.link.within = rng.choice((0.2, 0.5)), rng.choice((2_000, 64_000))
        time.sleep(rng.uniform(1, 4))
        place.link.share = 0.0


def lose_replies(place: Place, rng: random.Random) -> None:
    """The server executes, and nobody is told."""
    with place.harming_link():
        place.link.mute.set()
        time.sleep(rng.uniform(0.05, 0.5))
        place.link.mute.clear()


def slow_link(place: Place, rng: random.Random) -> None:
    """Everything takes longer."""
    place.link.delay = rng.choice((0.002, 0.02, 0.1))
    time.sleep(rng.uniform(1, 4))
    place.link.delay = 0.0


def part_network(place: Place, rng: random.Random) -> None:
    """Half of everybody cannot reach the server, for longer than a lease or not."""
    cut_off = [each.name for each in place.fleet.everybody if each.proxied and each.alive]
    with place.harming_link(), place.records.silence(cut_off):
        place.link.refuse = True
        place.link.sever()
        time.sleep(LEASE * rng.uniform(0.1, 1.5))
        place.link.refuse = False
        time.sleep(LEASE / 4)  # the first heartbeats after it


# Of the server


def kill_server(place: Place, rng: random.Random) -> None:
    """The server is killed and is back soon, or later; under `everysec` it may forget its last moments."""
    begin = time.monotonic()
    place.server.kill()
    if place.server.fsync != "always":
        place.records.loss("a killed server under everysec", begin - EVERYSEC, tasks=True)
    time.sleep(rng.choice((0.0, 0.5, LEASE * 1.5)))
    place.server.start()


def halt_server(place: Place, rng: random.Random) -> None:
    """The server stands still."""
    with place.server.stopped():
        time.sleep(rng.choice((0.2, 1.0, LEASE * 1.5)))


def fill_memory(place: Place, rng: random.Random) -> None:
    """The server has no memory left; what ends frees some."""
    with place.server.client() as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"])
        time.sleep(rng.uniform(0.5, 3))
        client.config_set("maxmemory", 0)


def flush_scripts(place: Place, rng: random.Random) -> None:
    """The server forgets all scripts."""
    with place.server.client() as client:
        for _ in range(rng.randrange(1, 5)):
            client.script_flush()


def add_as_stranger(place: Place, rng: random.Random) -> None:
    """Another program adds entries: as they are documented, and as the first release wrote them."""
    with contextlib.closing(Ledger(place.folder / "ledger")) as ledger, place.server.client() as client:
        for _ in range(rng.randrange(1, 30)):
            n = place.number()
            ledger.write(Send, n, "w")
            fields = {"task": "work", "args": f'{{"n": {n}, "ms": 1}}', "max": 40} | rng.choice(({}, {"v": 1}, {"colour": "red"}))
            name = rng.choice(("high", "default", "low"))
            try:
                entry: bytes = client.xadd(place.keys[name], fields)
                ledger.write(Accepted, n, [name[0] + entry.decode()])
            except redis.RedisError as error:
                ledger.write(Unknown, n, 1, str(error))


# Of what surrounds it


def fill_disk(place: Place, rng: random.Random) -> None:
    """The disk to which pictures are written is full."""
    ballast = place.folder / "out/ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    time.sleep(rng.uniform(1, 3))
    ballast.unlink()


def stop_database(place: Place, rng: random.Random) -> None:
    """The catalogue's database is down."""
    place.database.stop()
    time.sleep(rng.uniform(1, 3))
    place.database.start()


# What makes the server forget


def flush_all(place: Place, rng: random.Random) -> None:
    """Somebody deletes everything."""
    with place.server.client() as client:
        client.flushall()
    place.records.loss("FLUSHALL", 0.0, tasks=True)


def delete_stream(place: Place, rng: random.Random) -> None:
    """Somebody deletes a stream of tasks, with all that is in it."""
    with place.server.client() as client:
        client.delete(place.keys[rng.choice(list(STREAMS.values()))])
    place.records.loss("a deleted stream", 0.0, tasks=True)


def destroy_group(place: Place, rng: random.Random) -> None:
    """Somebody destroys the consumer group of a stream: the server forgets who holds what, and no task."""
    begin = time.monotonic()
    with place.server.client() as client, contextlib.suppress(redis.ResponseError):
        client.xgroup_destroy(place.keys[rng.choice(list(STREAMS.values()))], "workers")
    place.records.loss("a destroyed group", begin, tasks=False)


def cut_power(place: Place, rng: random.Random) -> None:
    """The machine of the server loses power: what was not synced is gone."""
    kept = place.server.cut_power(rng.uniform(0.1, 0.9))
    place.records.loss("a power cut under everysec", kept - EVERYSEC, tasks=True)
    place.server.start()


def kill_with_slow_fsync(place: Place, rng: random.Random) -> None:
    """The server is killed while an fsync takes long: what it had kept back for it is gone."""
    kept = place.server.end_with_slow_disk(rng.uniform(0.5, 1.8), power=False)
    place.records.loss("a killed server whose fsync was slow", kept - _NOTICED, tasks=True)
    place.server.start()


def cut_power_with_slow_fsync(place: Place, rng: random.Random) -> None:
    """The machine of the server loses power when an fsync has taken long: all that was written since it began is gone."""
    kept = place.server.end_with_slow_disk(rng.uniform(1, 4), power=True)
    place.records.loss("a power cut while fsync was slow", kept - EVERYSEC, tasks=True)
    place.server.start()


def fail_over(place: Place, rng: random.Random) -> None:
    """The server dies and its replica, which lags behind, takes its place."""
    old = place.server
    with Proxy(old.tcp) as lag:
        lag.delay = 0.2
        new = Server(old.folder.with_name(f"{old.folder.name}x"), old.fsync)
        new.start()
        with new.client() as replica, old.client() as master:
            replica.replicaof("127.0.0.1", lag.url.rpartition(":")[2])
            wait_until(lambda: replica.info("replication")["master_link_status"] == "up", "the replica is linked", 60)
            end = time.monotonic() + rng.uniform(1, 3)
            offsets: list[tuple[float, int]] = []
            while time.monotonic() < end:
                offsets.append((time.monotonic(), master.info("replication")["master_repl_offset"]))
                time.sleep(0.02)
            old.kill()
            reached: int = replica.info("replication")["slave_repl_offset"]
            replica.replicaof("NO", "ONE")
            kept = max((moment for moment, offset in offsets if offset <= reached), default=0.0)
        place.server = new
        place.link.lead_to(new.tcp)
        place.link.sever()
        place.records.loss("a failover to a replica that lagged", kept, tasks=True)


WORKER_FAULTS = (kill_worker, kill_child, kill_supervisor, halt_worker, halt_child, deploy, kill_producer)
LINK_FAULTS = (cut_link, lose_replies, slow_link, part_network)
SERVER_FAULTS = (kill_server, halt_server, fill_memory, flush_scripts, add_as_stranger)
OTHER_FAULTS = (fill_disk, stop_database)
#: Those for which a thread of the server has to be held.
OF_SLOW_FSYNC = (kill_with_slow_fsync, cut_power_with_slow_fsync)
LOSSES = (flush_all, delete_stream, destroy_group, cut_power, kill_server, fail_over, *OF_SLOW_FSYNC)

#: Losses of a server that syncs each second; the others happen to one that syncs each write.
OF_EVERYSEC = (cut_power, kill_server, *OF_SLOW_FSYNC)


def losses() -> list[Fault]:
    """What can make the server forget on this machine."""
    return [each for each in LOSSES if each not in OF_SLOW_FSYNC or disk.can_hold()]


def title(fault: Fault) -> str:
    """What a fault is called in a report."""
    return fault.__name__.replace("_", " ")
