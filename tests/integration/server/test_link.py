"""`Link`: what goes over one connection, once, and what comes back; breaks, forks and time limits included."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from streamq.errors import ServerUnreachable, ServerUnusable
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.server.reply import CannotPersist, Forbidden, MemoryFull, NotWritable, ReplyError, ReplyLost
from streamq.server.resp import pack
from tests.conftest import wait_until
from tests.integration.server.servers import Serve, in_child, kill_server, limited


@pytest.fixture
def link(server: str) -> Iterator[Link]:
    """A connection to the session's server."""
    link = Link(Endpoint(server), name="a test's")
    yield link
    link.close()


@pytest.fixture
def open_link(serve: Serve) -> Iterator[Link]:
    """A connection to a server of its own."""
    link = Link(Endpoint(f"redis://127.0.0.1:{serve()}"))
    yield link
    link.close()


def test_a_command_brings_its_reply_as_bytes(link: Link, queue_name: str) -> None:
    """Text, numbers and bytes go in; bytes, numbers, lists and None come out."""
    assert link.call("SET", queue_name, b"\xff\x00") == b"OK"
    assert link.call("GET", queue_name) == b"\xff\x00"
    assert link.call("APPEND", queue_name, 12) == 4
    assert link.call("MGET", queue_name, "nothing") == [b"\xff\x0012", None]


def test_a_reply_that_nobody_waited_for_is_no_other_calls(link: Link) -> None:
    """Replies come in order, so the connection is made anew."""
    link.post(pack([("ECHO", "one")]))
    assert link.reply() == b"one"
    link.post(pack([("ECHO", "two")]))
    assert link.call("ECHO", "three") == b"three"
    link.post(pack([("ECHO", "four")]))
    link.post(pack([("ECHO", "five")]))
    assert link.reply() == b"five"


def test_a_reply_that_is_under_way_at_a_fork_is_the_parents(link: Link) -> None:
    """The child does not take it away, and goes on over a connection of its own."""
    link.post(pack([("ECHO", "parent")]))

    def ask() -> None:
        with pytest.raises(ReplyLost):
            link.reply()
        assert link.call("ECHO", "child") == b"child"

    in_child(ask)
    assert link.reply() == b"parent"


def test_an_error_reply_is_raised_and_carries_its_code(link: Link, queue_name: str) -> None:
    """The connection goes on as before: the next reply is that of the next command."""
    link.call("SET", queue_name, "text")
    for command, code in [
        (("LPUSH", queue_name, "x"), "WRONGTYPE"),
        (("XREADGROUP", "GROUP", "g", "c", "STREAMS", f"{queue_name}:s", ">"), "NOGROUP"),
        (("EVALSHA", "0" * 40, 0), "NOSCRIPT"),
        (("SET", queue_name), "ERR"),
    ]:
        with pytest.raises(ReplyError) as caught:
            link.call(*command)
        assert caught.value.code == code
        assert caught.value.text.startswith(code)
    assert link.call("GET", queue_name) == b"text"


def test_a_batch_has_an_error_in_its_place(link: Link, queue_name: str) -> None:
    """One bad command does not hide the replies of the others."""
    first, second, third = link.batch([("SET", queue_name, 1), ("LPUSH", queue_name, "x"), ("INCR", queue_name)])
    assert (first, third) == (b"OK", 2)
    assert isinstance(second, ReplyError)
    assert second.code == "WRONGTYPE"
    assert link.batch([]) == []


def test_replies_larger_than_the_buffer_come_whole(link: Link, queue_name: str) -> None:
    """A megabyte out and in, among small ones."""
    large = os.urandom(1 << 20)
    assert link.batch([("SET", queue_name, large), ("GET", queue_name), ("PING",)]) == [b"OK", large, b"PONG"]


def test_the_name_shows_in_client_list_without_what_the_server_refuses(link: Link) -> None:
    """Spaces would be refused; they become dashes."""
    assert link.call("CLIENT", "GETNAME") == b"a-test's"


def test_a_blocked_read_may_take_its_block_longer_than_other_commands(server: str, queue_name: str) -> None:
    """Alone and in a batch; the time limit is that of a command beyond the block."""
    link = Link(Endpoint(server), timeout=0.3)
    assert link.read("BLPOP", queue_name, 0.6, block=0.6) is None
    assert link.batch([("BLPOP", queue_name, 0.6), ("PING",)], block=0.6) == [None, b"PONG"]
    link.close()


def test_a_reply_that_is_late_is_never_taken_for_that_of_the_next_command(server: str, queue_name: str) -> None:
    """The connection is given up, and a new one made; the error says that the command may have been executed."""
    link = Link(Endpoint(server), timeout=0.2)
    with pytest.raises(ReplyLost, match=r"did not answer in 0\.2 s"):
        link.call("BLPOP", queue_name, 30)
    assert link.call("ECHO", "new") == b"new"
    link.close()


def test_a_command_whose_reply_was_lost_is_not_sent_again(serve: Serve) -> None:
    """redis-py's client makes up to eleven XADDs of this one; here the server has seen it once at most."""
    url = f"redis://127.0.0.1:{serve()}"
    link = Link(Endpoint(url), timeout=0.2)
    link.connect()
    with redis.Redis.from_url(url) as other:
        other.execute_command("CLIENT", "PAUSE", 500, "WRITE")
        with pytest.raises(ReplyLost):
            link.call("XADD", "stream", "*", "a", "b")
        other.execute_command("CLIENT", "UNPAUSE")
        assert other.xlen("stream") <= 1
        assert link.call("XLEN", "stream") <= 1
    link.close()


def test_an_interrupted_call_does_not_shift_later_replies(link: Link, queue_name: str) -> None:
    """KeyboardInterrupt in the middle of a call: the reply that was under way is nobody's."""
    link.connect()

    class Interrupt:
        def receive(self, count: int) -> list[bytes]:
            raise KeyboardInterrupt

    link._receiver = Interrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        link.call("ECHO", "old")
    assert link.call("ECHO", "new") == b"new"


def test_a_connection_that_the_server_closed_while_idle_is_replaced_unnoticed(link: Link) -> None:
    """A send into a connection that is known to be dead would be a lost reply for nothing."""
    number = link.call("CLIENT", "ID")
    with redis.Redis.from_url(link.endpoint.masked) as other:
        other.client_kill_filter(_id=number)
    link._used -= 10  # as if the time had passed
    assert link.call("CLIENT", "ID") != number


def test_a_break_in_use_is_an_error_once_and_then_mended(link: Link) -> None:
    """The caller learns of it, and decides; the next call connects anew."""
    link.call("PING")
    with redis.Redis.from_url(link.endpoint.masked) as other:
        other.client_kill_filter(_id=link.call("CLIENT", "ID"))
    with pytest.raises(ReplyLost, match="broke"):
        link.call("PING")
    assert link.call("PING") == b"PONG"


def test_a_forked_child_makes_a_connection_of_its_own(link: Link) -> None:
    """Two processes on one socket would read each other's replies; the parent's connection stays as it is."""
    number = link.call("CLIENT", "ID")

    def differs() -> None:
        assert link.call("CLIENT", "ID") != number

    assert in_child(differs) == "ok"
    assert link.call("CLIENT", "ID") == number


def test_a_killed_server_is_revived_by_the_next_call(home: Path) -> None:
    """The embedded server comes back through whoever needs it first."""
    link = Link(Endpoint(home))
    link.call("SET", "key", 1)
    kill_server(home)
    with pytest.raises(ServerUnreachable):
        link.call("GET", "key")
    assert link.call("GET", "key") == b"1"
    link.close()


def test_what_a_server_that_is_not_ready_says_is_worth_waiting_for(open_link: Link) -> None:
    """A script that does not end keeps everybody out until it is killed."""
    open_link.call("CONFIG", "SET", "lua-time-limit", 50)
    endless = Link(open_link.endpoint)

    def run() -> None:
        with pytest.raises(ReplyError):
            endless.call("EVAL", "while true do end", 0)

    thread = threading.Thread(target=run)
    thread.start()

    def busy() -> bool:
        try:
            open_link.call("GET", "key")
        except ServerUnreachable as error:
            return "busy with a script" in error.what
        return False

    wait_until(busy, "the server says BUSY")
    open_link.call("SCRIPT", "KILL")
    thread.join()
    endless.close()
    assert open_link.call("PING") == b"PONG"


def test_a_full_memory_has_an_error_of_its_own(open_link: Link) -> None:
    """Alone and inside a script; what takes nothing new can still be read."""
    open_link.call("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(MemoryFull, match="memory is full"):
        open_link.call("XADD", "stream", "*", "a", "b")
    with pytest.raises(MemoryFull):
        open_link.call("EVAL", "return redis.call('SET', 'a', 1)", 0)
    assert open_link.call("GET", "a") is None


def test_an_error_that_a_script_raises_again_is_what_it_was(open_link: Link) -> None:
    """Every server puts the script's name and line before it: still the memory is full, and a group missing."""
    again = "local reply = redis.pcall(unpack(ARGV)) if reply.err then error(reply.err) end"
    with pytest.raises(ReplyError) as caught:
        open_link.call("EVAL", again, 0, "XREADGROUP", "GROUP", "workers", "w1", "STREAMS", "stream", ">")
    assert caught.value.code == "NOGROUP"
    open_link.call("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(MemoryFull):
        open_link.call("EVAL", again, 0, "SET", "a", 1)


def test_a_full_disk_has_an_error_of_its_own(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The append-only file may not grow (a limit, as a full disk would set one): writes are refused, reads answered."""
    monkeypatch.setenv("STREAMQ_SERVER_BINARY", str(limited(tmp_path / "limited", 'trap "" XFSZ; ulimit -f 64')))
    link = Link(Endpoint(home))

    def refused() -> bool:
        try:
            link.call("SET", "key", "x" * 10_000)
        except CannotPersist as error:
            return "disk" in error.what and "free space" in (error.hint or "")
        return False

    wait_until(refused, "writes are refused")
    assert link.call("EXISTS", "key") == 1
    link.close()


def test_a_read_only_replica_is_worth_waiting_for(open_link: Link) -> None:
    """A failover makes it a master, or another server takes its address."""
    open_link.call("REPLICAOF", "127.0.0.1", 1)
    with pytest.raises(NotWritable, match="read-only replica"):
        open_link.call("XADD", "stream", "*", "a", "b")


def test_a_server_without_the_commands_of_a_queue_is_refused_when_it_is_reached(serve: Serve) -> None:
    """By asking for the command, not by comparing versions."""
    link = Link(Endpoint(f"redis://127.0.0.1:{serve('--rename-command', 'XAUTOCLAIM', '')}"))
    with pytest.raises(ServerUnusable, match="too old"):
        link.call("PING")


def test_a_login_is_made_by_password_or_by_user_and_password(serve: Serve) -> None:
    """In the URL, percent-encoded where need be, with a database behind."""
    port = serve("--requirepass", "p@ss/word")
    link = Link(Endpoint(f"redis://:p%40ss%2Fword@127.0.0.1:{port}/3"))
    assert b"db=3" in link.call("CLIENT", "INFO")
    link.call("ACL", "SETUSER", "queue", "on", ">secret", "~streamq:*", "+@all", "-@dangerous", "-command")
    link.close()
    limited = Link(Endpoint(f"redis://queue:secret@127.0.0.1:{port}"))
    assert limited.call("XADD", "streamq:{q}:high", "*", "a", "b")
    with pytest.raises(Forbidden, match="may not do what a queue needs"):
        limited.call("SET", "elsewhere", 1)
    limited.close()


@pytest.mark.parametrize(
    ("options", "login", "says"),
    [
        (("--requirepass", "right"), "", "wants a password"),
        (("--requirepass", "right"), ":wrong@", "refuses user name or password"),
        ((), ":needless@", "has no password"),
    ],
)
def test_a_refused_login_says_what_is_wrong(serve: Serve, options: tuple[str, ...], login: str, says: str) -> None:
    """Before any command of the caller's is sent; the password is not repeated."""
    link = Link(Endpoint(f"redis://{login}127.0.0.1:{serve(*options)}"))
    with pytest.raises(ServerUnusable, match=says) as caught:
        link.call("PING")
    assert "wrong" not in caught.value.what
    assert caught.value.hint is not None
