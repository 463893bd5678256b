"""What a server can be: each fault is a setting or a state of a real one."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streamq.doctor.server import ask, clock
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.server.reply import CannotPersist
from tests.conftest import wait_until
from tests.integration.doctor.conftest import Report, run_doctor
from tests.integration.server.servers import Serve, limited

#: A server that promises all that it can.
SOUND = ("--appendonly", "yes", "--appendfsync", "always")

At = Callable[..., tuple[Link, Callable[[], Report]]]


@pytest.fixture
def at(serve: Serve, tmp_path: Path) -> At:
    """A server with options of its own: a link to it, and the doctor that looks at it."""

    def start(*options: str) -> tuple[Link, Callable[[], Report]]:
        url = f"redis://127.0.0.1:{serve(*options)}"
        return Link(Endpoint(url)), lambda: run_doctor(tmp_path, "--url", url)

    return start


def test_a_sound_server_has_no_fault(at: At) -> None:
    """Everything is written before it is acknowledged, nothing is evicted, nothing is missing."""
    _, doctor = at(*SOUND)
    found = doctor()
    assert found.worse == {}
    names = ("durability", "persistence", "eviction", "memory", "replication", "min-replicas", "clock", "commands", "rights")
    assert {found.level(name) for name in names} == {"ok"}
    assert "data-directory" not in found.findings


@pytest.mark.parametrize(
    ("options", "level", "words", "mend"),
    [
        (("--appendonly", "yes", "--appendfsync", "everysec"), "note", "the last second, up to two", "appendfsync always"),
        (("--appendonly", "yes", "--appendfsync", "no"), "warning", "about 30 s", "appendfsync everysec"),
        ((), "fault", "a restart of the server loses every task", "appendonly yes"),
        (("--save", "3600", "1"), "fault", "all since the last snapshot", "appendonly yes"),
    ],
)
def test_what_a_crash_loses_is_said(at: At, options: tuple[str, ...], level: str, words: str, mend: str) -> None:
    """In seconds, with the setting to change."""
    link, doctor = at(*options)
    found = doctor()
    assert found.level("durability") == level
    assert words in found.findings["durability"]["what"]
    assert f"CONFIG SET {mend}" in found.findings["durability"]["mend"]
    setting, value = mend.split()
    link.call("CONFIG", "SET", setting, value)
    assert doctor().level("durability") != level, "what the doctor says mends it"


def test_a_rewrite_that_is_not_synced_is_said(at: At) -> None:
    """`no-appendfsync-on-rewrite`."""
    _, doctor = at("--appendonly", "yes", "--no-appendfsync-on-rewrite", "yes")
    assert "rewritten nothing is synced" in doctor().findings["durability"]["what"]


def test_an_append_only_file_that_cannot_be_written_is_a_fault(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the file stands for a full disk: all writes are refused, finishing tasks too."""
    monkeypatch.setenv("STREAMQ_SERVER_BINARY", str(limited(tmp_path / "limited", 'trap "" XFSZ; ulimit -f 64')))
    link = Link(Endpoint(home))

    def refused() -> bool:
        try:
            link.call("SET", "key", "x" * 10_000)
        except CannotPersist:
            return True
        return False

    wait_until(refused, "writes are refused")
    link.close()
    found = run_doctor(tmp_path, "--url", f"unix://{home}/server.sock")
    assert found.level("persistence") == "fault"
    assert "refuses writes" in found.findings["persistence"]["what"]


@pytest.mark.parametrize("stops", ["yes", "no"])
def test_a_snapshot_that_fails_is_told(at: At, stops: str) -> None:
    """It stops all writes where the server is set so, and is worth a note where it is not."""
    link, doctor = at(*SOUND, "--save", "3600", "1000000", "--stop-writes-on-bgsave-error", stops)
    folder = Path(link.call("CONFIG", "GET", "dir")[1].decode())
    (folder / "dump.rdb").mkdir()
    link.call("BGSAVE")

    def failed() -> bool:
        return b"rdb_last_bgsave_status:err" in link.call("INFO", "persistence")

    wait_until(failed, "the snapshot has failed")
    assert doctor().level("persistence") == ("fault" if stops == "yes" else "note")


def test_a_rewrite_that_fails_is_a_warning(at: At) -> None:
    """The append-only file grows without end."""
    link, doctor = at(*SOUND)
    folder = Path(link.call("CONFIG", "GET", "dir")[1].decode())
    shutil.rmtree(folder)

    def failed() -> bool:
        link.batch([("BGREWRITEAOF",)])
        return b"aof_last_bgrewrite_status:err" in link.call("INFO", "persistence")

    wait_until(failed, "the rewrite has failed")
    assert doctor().level("persistence") == "warning"


@pytest.mark.parametrize("options", [("--maxmemory", "100mb"), ()])
def test_eviction_is_a_fault(at: At, options: tuple[str, ...]) -> None:
    """It deletes tasks, today or the day a limit is set."""
    link, doctor = at(*SOUND, *options, "--maxmemory-policy", "allkeys-lru")
    found = doctor()
    assert (found.status, found.level("eviction")) == (1, "fault")
    assert "allkeys-lru" in found.findings["eviction"]["what"]
    link.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert doctor().level("eviction") == "ok"


@pytest.mark.parametrize(("share", "level"), [(2.0, "ok"), (1.15, "warning"), (0.5, "fault")])
def test_a_memory_limit_that_is_near_is_told(at: At, share: float, level: str) -> None:
    """`maxmemory` as a multiple of what is used."""
    link, doctor = at(*SOUND)
    link.call("SETRANGE", "ballast", 64 << 20, "x")
    info = dict(line.split(b":", 1) for line in link.call("INFO", "memory").splitlines() if b":" in line)
    link.call("CONFIG", "SET", "maxmemory", round(int(info[b"used_memory"]) * share))
    found = doctor()
    assert found.level("memory") == level
    assert "%" in found.findings["memory"]["what"]


def test_replicas_are_told_and_a_replica_is_a_fault(at: At, serve: Serve, tmp_path: Path) -> None:
    """A failover loses what was not replicated; a replica takes no task."""
    master, doctor = at(*SOUND)
    port = int(master.endpoint.masked.rpartition(":")[2])
    replica, at_replica = at(*SOUND)
    replica.call("REPLICAOF", "127.0.0.1", port)

    def follows() -> bool:
        return b"master_link_status:up" in replica.call("INFO", "replication")

    wait_until(follows, "the replica follows")
    found = doctor()
    assert found.level("replication") == "note"
    assert "1 replica, asynchronous" in found.findings["replication"]["what"]
    assert at_replica().level("replication") == "fault"


def test_min_replicas_is_a_fault_where_there_are_too_few(at: At) -> None:
    """It refuses XACK too: nothing can be finished."""
    link, doctor = at(*SOUND, "--min-replicas-to-write", "1")
    found = doctor()
    assert found.level("min-replicas") == "fault"
    assert "settled" in found.findings["min-replicas"]["what"]
    port = int(link.endpoint.masked.rpartition(":")[2])
    replica, _ = at(*SOUND)
    replica.call("REPLICAOF", "127.0.0.1", port)
    wait_until(lambda: doctor().level("min-replicas") == "warning", "the replica counts")


def test_a_clock_that_differs_is_measured(at: At) -> None:
    """By this machine's clock being wrong: an hour, ten seconds, a second."""
    link, doctor = at(*SOUND)
    assert doctor().level("clock") == "ok"
    for wrong, level in ((3600, "warning"), (-3600, "warning"), (10, "note"), (1, "ok")):
        found = clock(link, lambda wrong=wrong: time.time() + wrong)  # type: ignore[misc]
        assert found.level == level
        told = int(found.what.partition(" ms")[0].rpartition(" ")[2].replace(",", ""))
        assert abs(told - abs(wrong) * 1000) < 500
        assert ("behind" if wrong > 0 else "ahead") in found.what


def test_a_server_that_hides_itself_is_noted(serve: Serve, tmp_path: Path) -> None:
    """What it does not tell is said to be unknown, and is no fault; but without INFO workers do not see it restart."""
    port = serve(*SOUND)
    owner = Link(Endpoint(f"redis://127.0.0.1:{port}"))
    owner.call("ACL", "SETUSER", "queue", "on", ">secret", "~streamq:*", "+@all", "-@dangerous")
    found = run_doctor(tmp_path, "--url", f"redis://queue:secret@127.0.0.1:{port}")
    assert found.worse.keys() == {"rights"}
    assert found.findings["rights"]["subjects"] == ["INFO"]
    hidden = {name for name, each in found.findings.items() if "does not tell" in each["what"]}
    assert hidden == {"durability", "persistence", "memory", "min-replicas", "eviction", "evicted", "replication"}
    assert {found.level(name) for name in hidden} == {"note"}
    assert "secret" not in str(found)
    owner.call("ACL", "SETUSER", "queue", "+info")
    assert run_doctor(tmp_path, "--url", f"redis://queue:secret@127.0.0.1:{port}").worse == {}


def test_keys_that_were_evicted_are_told_also_when_the_policy_is_sound_again(at: At) -> None:
    """What was lost stays lost, and no setting shows it."""
    link, doctor = at(*SOUND, "--maxmemory-policy", "allkeys-lru")
    assert doctor().level("evicted") == "ok"
    with contextlib.closing(link):
        link.call("CONFIG", "SET", "maxmemory", (ask(link).number("used_memory") or 0) + 500_000)
        link.batch([("SET", f"key {n}", bytes(10_000)) for n in range(100)])
        link.call("CONFIG", "SET", "maxmemory", 0)
        link.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        found = doctor()
        assert found.worse.keys() == {"evicted"}
        assert "evicted for want of memory since the server started: tasks may be lost" in found.worse["evicted"]
        link.call("CONFIG", "RESETSTAT")
        assert doctor().level("evicted") == "ok"
