"""`streamq bench` removes what runs that are gone have left, and nothing that anybody uses."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from streamq.bench import ground
from streamq.bench.claim import LASTS, Claim, sweep
from streamq.errors import StreamqError
from streamq.keys import BENCHES, QUEUES, Keys
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from tests.cli.conftest import Program
from tests.conftest import wait_until

if TYPE_CHECKING:
    import redis

SHORT = ("bench", "send", "--seconds", "50ms", "--processes", "1")


@pytest.fixture
def link(server: str) -> Iterator[Link]:
    """A connection to the session's server."""
    made = Link(Endpoint(server))
    yield made
    made.close()


def queues(client: redis.Redis) -> set[str]:
    """The queues of runs of which something is there."""
    return {key.decode().partition("{")[2].partition("}")[0] for key in client.scan_iter("streamq:{bench-*", 1000)}


def started(streamq: Program, client: redis.Redis) -> tuple[subprocess.Popen[bytes], str]:
    """A run that goes on, and the queue that it has made, in which something waits."""
    before = queues(client)
    process = streamq.start("bench", "send", "--seconds", "60", "--processes", "1")
    wait_until(lambda: any(client.exists(Keys(name)["default"]) for name in queues(client) - before), "something was sent", 60)
    [name] = queues(client) - before
    return process, name


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a run and its worker, so that nobody is left to remove anything."""
    every = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for each in every:
        each.suspend()
    for each in every:
        each.kill()
    process.communicate()
    psutil.wait_procs(every)


def test_what_a_killed_run_has_left_is_removed_once_its_claim_has_expired(streamq: Program, client: redis.Redis) -> None:
    """Not sooner: only then is it certain that nobody uses it. The next run says what it has removed."""
    process, name = started(streamq, client)
    kill(process)
    claim = Keys(name)[ground.CLAIM]
    assert 0 < client.ttl(claim) <= LASTS
    ended = streamq(*SHORT)
    assert (ended.status, "had left" in ended.err) == (0, False)
    assert name in queues(client)
    client.pexpire(claim, 1)
    wait_until(lambda: not client.exists(claim), "the claim has expired")
    ended = streamq(*SHORT)
    assert ended.status == 0, ended.err
    assert ended.err.splitlines()[0] == f"streamq: removed what runs that are gone had left: {name}"
    assert queues(client) == set()
    assert not client.sismember(QUEUES, name)
    assert not client.exists(BENCHES)


def test_two_runs_at_once_leave_each_other_alone(streamq: Program, client: redis.Redis) -> None:
    """The second one begins and ends while the first one sends."""
    process, name = started(streamq, client)
    try:
        ended = streamq(*SHORT)
        assert ended.status == 0, ended.err
        assert "had left" not in ended.err
        assert process.poll() is None
        assert client.exists(Keys(name)[ground.CLAIM])
        assert client.sismember(BENCHES, name)
    finally:
        process.terminate()
        process.communicate()
    assert queues(client) == set()
    assert not client.exists(BENCHES)


def test_a_queue_of_a_user_is_not_swept_whatever_its_name_is(link: Link, client: redis.Redis) -> None:
    """Only what a run has noted is."""
    key = Keys("bench-01234567")["default"]
    client.sadd(QUEUES, "bench-01234567")
    client.xadd(key, {"task": "image", "args": "{}"})
    try:
        assert sweep(link) == []
        assert client.xlen(key) == 1
    finally:
        client.delete(key)
        client.srem(QUEUES, "bench-01234567")


def test_a_claim_is_renewed_for_as_long_as_it_is_held(server: str, link: Link, client: redis.Redis) -> None:
    """Its queue is not swept meanwhile, and is when it is not renewed any more."""
    keys = Keys("bench-renewed")
    claim = Claim(Endpoint(server), keys, renewed=0.01)
    claim.take()
    client.expire(keys[ground.CLAIM], LASTS // 2)
    wait_until(lambda: client.ttl(keys[ground.CLAIM]) > LASTS // 2, "it was renewed")
    assert sweep(link) == []
    claim.check()
    claim.release()
    client.delete(keys[ground.CLAIM])
    assert sweep(link) == ["bench-renewed"]
    assert sweep(link) == []


def test_a_claim_that_has_expired_is_lost_for_good(server: str, link: Link, client: redis.Redis) -> None:
    """Renewing does not bring it back: who has swept the queue was right, and its run is told."""
    keys = Keys("bench-lost")
    claim = Claim(Endpoint(server), keys, renewed=0.01)
    claim.take()
    client.delete(keys[ground.CLAIM])

    def is_lost() -> bool:
        with suppress(StreamqError):
            claim.check()
            return False
        return True

    wait_until(is_lost, "the run is told")
    with pytest.raises(StreamqError, match="the run stood still for 120 s or more"):
        claim.check()
    assert not client.exists(keys[ground.CLAIM])
    claim.release()
    assert sweep(link) == ["bench-lost"]
