"""Where a round happens: a folder, a server, a link that breaks, a small disk, a database, and those who work there."""

from __future__ import annotations

import contextlib
import json
import math
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
import redis

from streamq.keys import Keys, worker_of
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.server.probe import away
from streamq.stats import Stats, read
from streamq.transitions import Transitions
from tests.chaos.fleet import Fleet, Process, can, has_containers
from tests.chaos.kinds import LEASE
from tests.chaos.records import Records, Silence
from tests.chaos.server import Server
from tests.integration.catalogue.databases import Postgres
from tests.proxy import Proxy

#: The disk that pictures are written to holds so much.
_DISK = "24m"
#: Most tasks that the queue holds: producers wait where workers do not keep up.
_BOUND = 5000


class Place:
    """One round's place; in a `with` block.

    Args:
        folder: a new folder with a short path.
        queue: name of the queue; another one in each round, since all share a database.
        fsync: of the server: `always` or `everysec`.
        database: where the catalogue is.
        rng: where all chance comes from.
        through_link: whether everybody reaches the server through the link, since it will be another one.
    """

    def __init__(
        self, folder: Path, queue: str, fsync: str, database: Postgres, rng: random.Random, *, through_link: bool = False
    ) -> None:
        self.folder = folder
        self.queue = queue
        self.keys = Keys(queue)
        self.records = Records()
        self.rng = rng
        self.server = Server(folder / "server", fsync)
        self.database = database
        self.through_link = through_link
        #: Whether pictures are written to a disk of their own, which can be filled.
        self.has_disk = False
        self.fleet = Fleet(folder, queue, self.records, rng)
        self._strangers = 0
        #: Until when the link may keep heartbeats from arriving, by the monotonic clock.
        self.harmed_until = 0.0
        self._over = threading.Event()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._open.__enter__()
        self.server.start()
        self._open.callback(self.server.kill)
        self.link = self._open.enter_context(Proxy(self.server.tcp, seed=self.rng.getrandbits(32)))
        self._make_disk()
        self._configure()
        self._open.callback(self.fleet.close)
        watch = threading.Thread(target=self._watch, name="watch")
        watch.start()
        self._open.callback(watch.join)
        self._open.callback(self._over.set)
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def _make_disk(self) -> None:
        out = self.folder / "out"
        out.mkdir()
        self.has_disk = can("mount", "-t", "tmpfs", "-o", f"size={_DISK}", "streamq-chaos", str(out))
        if self.has_disk:
            self._open.callback(can, "umount", "--lazy", str(out))

    def _configure(self) -> None:
        from PIL import Image

        (self.folder / "photos").mkdir()
        for i in range(8):
            Image.effect_noise((160, 120), 20 + i).save(self.folder / f"photos/{i}.jpg")
        settings = {
            "queue": {"max_size": _BOUND},
            "worker": {"history": 1000, "results": "1m"},
            "images": {"roots": ["photos"], "output": "out"},
            "catalogue": {"url": self.database.url},
        }
        (self.folder / "config.yaml").write_text(json.dumps(settings))  # JSON is YAML

    # What is seen

    @contextlib.contextmanager
    def harming_link(self) -> Iterator[None]:
        """The link is harmed: a heartbeat that expires behind it is no fault of its worker's."""
        self.harmed_until = math.inf
        try:
            yield
        finally:
            self.harmed_until = time.monotonic() + LEASE

    def _watch(self) -> None:
        """Note whose heartbeat has expired behind a link that is harmed."""
        while not self._over.wait(0.1):
            if time.monotonic() > self.harmed_until:
                continue
            begin = time.monotonic()
            behind = {each.name for each in self.fleet.everybody if each.proxied}
            with contextlib.suppress(redis.RedisError), self.server.client() as client:
                seconds, micros = client.time()
                expired: Any = client.zrangebyscore(self.keys["workers"], "-inf", seconds * 1000 + micros // 1000)
                silent = {worker_of(consumer.decode()) for consumer in expired} & behind
                self.records.silences += [Silence(each, begin - 0.1, time.monotonic(), is_seen=True) for each in silent]

    # Who works there

    def start_worker(self) -> Process:
        """Start a worker of some kind."""
        proxied = self.through_link or self.rng.random() < 0.5
        clock = self.rng.choice((0, 0, 0, 3600, -3600))
        contained = self.rng.random() < 0.3 and has_containers()
        worker = self.fleet.start_worker(self.url(proxied=proxied), proxied=proxied, contained=contained, clock=clock)
        how = [word for word, holds in {"through the link": proxied, "contained": contained}.items() if holds]
        self.records.note(f"{worker.name} starts {', '.join(how)} clock {clock:+d} s")
        return worker

    def start_producer(self, pace: float) -> Process:
        """Start a producer that sends so many tasks a second."""
        proxied = self.through_link or not any(each.proxied for each in self.fleet.producers)
        return self.fleet.start_producer(self.url(proxied=proxied), pace, proxied=proxied)

    def url(self, *, proxied: bool) -> str:
        """Where the server is to be reached."""
        return self.link.url if proxied else self.server.url

    def keep(self, workers: int) -> None:
        """Have so many workers."""
        while len(self.fleet.workers) < workers:
            self.start_worker()

    def number(self) -> int:
        """A number for a task that no producer sends."""
        self._strangers += 1
        return self._strangers

    # What it looks like

    def stats(self) -> Stats:
        """The figures of the queue."""
        endpoint = Endpoint(self.server.url)
        with contextlib.closing(Link(endpoint)) as link:
            return read(Transitions(link, self.keys), away(endpoint))

    def letters(self) -> Mapping[int, list[int]]:
        """The dead letters: by number of the task, the deliveries that counted."""
        found: dict[int, list[int]] = {}
        with self.server.client() as client:
            for _, fields in _entries(client, self.keys["dead"]):
                n = msgspec.json.decode(fields[b"args"])["n"]
                found.setdefault(n, []).append(int(fields[b"deliveries"]))
        return found

    def examine(self) -> list[str]:
        """The faults that `streamq doctor` finds."""
        command = [sys.executable, "-m", "streamq", "doctor", "--json", "--url", self.server.url, "--queue", self.queue]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        findings = json.loads(done.stdout)["findings"]
        return [f"doctor: {each['what']}" for each in findings if each["level"] == "fault"]

    def heal(self) -> None:
        """End whatever is wrong with server, link, disk and database; workers are left as they are."""
        self.link.share, self.link.delay, self.link.refuse = 0.0, 0.0, False
        self.link.mute.clear()
        if self.server.process is None:
            self.server.start()
        with self.server.client() as client:
            client.config_set("maxmemory", 0)
        (self.folder / "out/ballast").unlink(missing_ok=True)
        self.database.start()


def _entries(client: redis.Redis, stream: str) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """All entries of a stream, in slices."""
    after = "-"
    while True:
        entries: Any = client.xrange(stream, after, "+", count=1000)
        if not entries:
            return
        yield from entries
        after = f"({entries[-1][0].decode()}"


def pause(rng: random.Random, least: float, most: float, end: float) -> None:
    """Wait a moment, not past the end."""
    time.sleep(max(0.0, min(rng.uniform(least, most), end - time.monotonic())))
