"""What holds of every script: keys of one slot, nothing hidden in its text, and it is there again after SCRIPT FLUSH."""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Callable, Iterator
from importlib import resources

import pytest

from streamq.keys import Keys
from streamq.scripts import load
from streamq.transitions import Transitions
from tests.conftest import wait_until
from tests.lua.bench import Bench
from tests.lua.servers import Server, throwaway

FOLDER = resources.files("streamq") / "lua"
NAMES = sorted(file.name.removesuffix(".lua") for file in FOLDER.iterdir() if file.name.endswith(".lua"))


def _park(bench: Bench) -> object:
    return bench.park("w1-a", bench.held())


def _settle(bench: Bench) -> object:
    task = bench.held()
    return bench.run.settle("w1-a", "w1", 9, "x", "w1 1", [(task.address, 1)], [1, task.address, "", "r"], [task.address])


def _bury(bench: Bench) -> object:
    return bench.bury("w1-a", bench.held())


def _revive(bench: Bench) -> object:
    task = bench.held()
    bench.bury("w1-a", task)
    return bench.run.revive(task.address)


#: A call of each script that does what it is there for.
CALLS: dict[str, Callable[[Bench], object]] = {
    "add": lambda bench: bench.send("h", "d;+1;;u", key="k"),
    "add_one": lambda bench: bench.send("l"),
    "admit": lambda bench: bench.run.admit("w1-a", [bench.held().address]),
    "beat": lambda bench: bench.run.beat(1000, "run", 500, [("w1-a", b"{}", "")]),
    "bury": _bury,
    "cancel": lambda bench: bench.run.cancel(bench.held().address, "ana"),
    "claim": lambda bench: bench.run.claim("why", [(bench.held().address, "w1-a", 1)]),
    "discard": lambda bench: bench.run.discard("d1-1"),
    "hasten": lambda bench: bench.run.hasten(bench.send("d;+9000;;")[0]),
    "locate": lambda bench: bench.run.locate(bench.send("d")[0]),
    "mend": lambda bench: bench.run.mend("orphaned-entries", bench.send("d")),
    "open": lambda bench: bench.run.open(),
    "park": _park,
    "parked": lambda bench: (bench.park("w1-a", bench.held(), "release"), bench.run.parked(10)),
    "pause": lambda bench: bench.run.pause(paused=True),
    "purge": lambda bench: bench.run.purge("d", "-", 2**53, "ana"),
    "quarantine": lambda bench: bench.run.quarantine("q-a"),
    "reap": lambda bench: (bench.held(), bench.run.reap("w1-a", "why")),
    "remains": lambda bench: bench.run.remains(),
    "renew": lambda bench: (bench.held(), bench.run.renew("w1-a")),
    "revive": _revive,
    "settle": _settle,
    "stats": lambda bench: bench.run.stats(5),
    "survey": lambda bench: bench.run.run("survey", "entries", "d", "", "+", 10),
    "sweep": lambda bench: bench.run.sweep(1000, 0),
    "take": lambda bench: bench.held(),
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Server]:
    """A server that is a whole cluster by itself."""
    with throwaway("--cluster-enabled", "yes", "--bind", "127.0.0.1", "--port", str(_free_port())) as server:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
            wait_until(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"), "the cluster is whole")
        yield server


def _free_port() -> int:
    """A port that nobody listens at, nor at the one 10000 above: Redis 7.0 makes no cluster without the two.

    Both lie below those that the kernel gives to connections.
    """
    for port in random.SystemRandom().sample(range(20_000, 22_700), 100):
        with socket.socket() as own, socket.socket() as bus:
            if own.connect_ex(("127.0.0.1", port)) and bus.connect_ex(("127.0.0.1", port + 10_000)):
                return port
    raise AssertionError("no port is free")


def test_every_script_is_called_here() -> None:
    """A script that is new has to be added above."""
    assert sorted(CALLS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_on_a_cluster(cluster: Server, name: str) -> None:
    """All keys that it touches are of one slot, the ones for results too."""
    bench = Bench(cluster, f"cluster-{name}")
    try:
        bench.run.open()
        CALLS[name](bench)
    finally:
        bench.close()


@pytest.mark.parametrize("name", NAMES)
def test_it_survives_script_flush(bench: Bench, name: str) -> None:
    """NOSCRIPT: it did not run; it is sent whole, and runs once."""
    CALLS[name](bench)
    bench.client.flushall()
    bench.run.open()
    bench.client.script_flush()
    CALLS[name](bench)


@pytest.mark.parametrize("name", NAMES)
def test_every_key_is_passed(name: str) -> None:
    """No key is spelled out in the text, and each that is passed is used; a command never takes a key from anywhere else."""
    script = load(name)
    assert len(set(script.keys)) == len(script.keys)
    assert {int(i) for i in re.findall(r"KEYS\[(\d+)\]", script.source)} == set(range(1, len(script.keys) + 1))
    assert "streamq:" not in script.source
    assert not re.search(r"\bK[.\[]|--|FIXED_KEYS", script.source)
    assert not re.search(r"'(KEYS|SCAN|DEL|FLUSHALL|EVAL|FUNCTION)'", script.source)
    assert name == "settle" or not re.search(r"'(XTRIM|MAXLEN)'", script.source), "accepted work is never dropped by number"


def test_keys_of_a_queue_share_a_slot() -> None:
    """One hash tag."""
    keys = Keys("a.b-c_d")
    assert {keys[name].partition(":")[2].partition(":")[0] for name in load("stats").keys} == {"{a.b-c_d}"}
    assert keys.result("d1-1") == "streamq:{a.b-c_d}:result:d1-1"


def test_a_script_that_is_not_there(bench: Bench) -> None:
    """Has no text."""
    with pytest.raises(FileNotFoundError):
        Transitions(bench.link, bench.keys).run("nonesuch")
