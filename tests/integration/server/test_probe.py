"""What a server is found to be, also where it does not want to tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamq.server import embedded
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.server.probe import away, probe
from tests.integration.server.servers import Serve, real_program, servers_of


def test_the_embedded_server_tells_all(home: Path) -> None:
    """Kind, version, process, memory, and what it promises."""
    link = Link(Endpoint(home, durability="always"))
    facts = probe(link)
    link.close()
    assert facts.connected
    assert facts.embedded
    assert (facts.kind, facts.version) == (real_program().name, real_program().version)
    assert (facts.eviction, facts.durability, facts.role, facts.max_memory_bytes) == ("noeviction", "always", "master", 0)
    assert embedded.status(home).version == facts.version
    assert facts.pid == servers_of(home)[0].pid
    assert facts.used_memory_bytes is not None
    assert facts.used_memory_bytes > 0
    assert facts.as_dict()["url"] == f"unix://{home}/server.sock"


def test_a_run_of_the_server_has_an_id_of_its_own(home: Path) -> None:
    """Recovery rests for a while when it changes."""
    link = Link(Endpoint(home))
    before = probe(link).run_id
    embedded.stop(home)
    embedded.ensure(home)
    after = probe(Link(Endpoint(home))).run_id
    assert before
    assert after
    assert before != after


@pytest.mark.parametrize(
    ("options", "durability", "eviction"),
    [
        ((), "none", "noeviction"),
        (("--appendonly", "yes", "--appendfsync", "no"), "no", "noeviction"),
        (("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), "none", "allkeys-lru"),
    ],
)
def test_what_a_server_does_not_promise_is_told(serve: Serve, options: tuple[str, ...], durability: str, eviction: str) -> None:
    """No append-only file, none that is synced, tasks that may be evicted."""
    link = Link(Endpoint(f"redis://127.0.0.1:{serve(*options)}"))
    facts = probe(link)
    link.close()
    assert (facts.durability, facts.eviction) == (durability, eviction)


def test_what_a_user_may_not_ask_is_unknown_and_no_error(serve: Serve) -> None:
    """INFO and CONFIG are dangerous commands: a careful administrator forbids them."""
    port = serve()
    owner = Link(Endpoint(f"redis://127.0.0.1:{port}"))
    owner.call("ACL", "SETUSER", "queue", "on", ">secret", "~streamq:*", "+@all", "-@dangerous")
    owner.close()
    link = Link(Endpoint(f"redis://queue:secret@127.0.0.1:{port}"))
    facts = probe(link)
    assert link.call("PING") == b"PONG"
    link.close()
    assert facts.connected
    assert (facts.kind, facts.role) == (real_program().name, "master")
    assert (facts.durability, facts.eviction, facts.used_memory_bytes, facts.run_id) == ("unknown", "unknown", None, None)
    assert facts.url == f"redis://queue:***@127.0.0.1:{port}"


def test_a_server_that_is_away_has_facts_too() -> None:
    """`monitor` shows them."""
    facts = away(Endpoint("redis://:secret@localhost:1"))
    assert not facts.connected
    assert facts.url == "redis://:***@localhost:1"
