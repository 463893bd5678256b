"""What answers at the address is not a Redis: each stranger is told from a server that is only away."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streamq.config import load
from streamq.errors import ServerError, ServerUnreachable, ServerUnusable, UsageError
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from tests.integration.server.servers import Serve, free_port

#: Listens at a loopback port, does something with each connection, and gives that port.
Listen = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Play a server that is no Redis."""
    closers: list[Callable[[], None]] = []

    def start(does: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        accepted: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                accepted.append(link)
                does(link)

        thread = threading.Thread(target=accept)
        thread.start()

        def close() -> None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            for link in accepted:
                link.close()
            thread.join()

        closers.append(close)
        return int(listener.getsockname()[1])

    yield start
    for close in closers:
        close()


def refusal(url: str) -> ServerError:
    """The error of the first call at a URL."""
    link = Link(Endpoint(url), timeout=0.5)
    with pytest.raises((ServerUnreachable, ServerUnusable)) as caught:
        link.call("PING")
    return caught.value


def test_nobody_listens() -> None:
    """Worth waiting for; the message names the address."""
    port = free_port()
    error = refusal(f"redis://127.0.0.1:{port}")
    assert isinstance(error, ServerUnreachable)
    assert f"127.0.0.1:{port}" in str(error)
    assert "refused" in str(error)


def test_the_host_has_no_address() -> None:
    """A name that cannot be found may be found later."""
    assert isinstance(refusal("redis://no-such-host.invalid"), ServerUnreachable)


def test_a_web_server_answers() -> None:
    """What it says is not Redis's protocol: waiting would not help."""
    web = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        for login in ("", "user:secret@"):
            error = refusal(f"redis://{login}127.0.0.1:{web.server_port}")
            assert isinstance(error, ServerUnusable)
            assert "not as Redis does" in str(error)
            assert "secret" not in str(error)
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


def test_somebody_listens_and_never_answers(listen: Listen) -> None:
    """A time limit holds; nothing was executed, so it is no lost reply."""
    error = refusal(f"redis://127.0.0.1:{listen(lambda _: None)}")
    assert type(error) is ServerUnreachable
    assert "did not answer in 0.5 s" in str(error)


def test_somebody_hangs_up_at_once(listen: Listen) -> None:
    """Such as a proxy whose server is away."""
    error = refusal(f"redis://127.0.0.1:{listen(lambda link: link.close())}")
    assert type(error) is ServerUnreachable


def test_a_server_that_wants_tls_is_spoken_to_without(listen: Listen) -> None:
    """It answers with an alert, which is no reply; the hint names rediss://."""
    error = refusal(f"redis://127.0.0.1:{listen(lambda link: link.sendall(bytes.fromhex('15030100020246')))}")
    assert isinstance(error, ServerUnusable)
    assert "rediss://" in (error.hint or "")


def test_a_server_without_tls_is_spoken_to_with_it(serve: Serve) -> None:
    """It waits for more, or does not understand; the hint names redis://."""
    error = refusal(f"rediss://127.0.0.1:{serve()}")
    assert "redis://" in (error.hint or "")


def test_a_unix_socket_that_is_not_there_may_come(tmp_path: Path) -> None:
    """As the port that nobody listens at."""
    assert isinstance(refusal(f"unix://{tmp_path}/none.sock"), ServerUnreachable)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("localhost:6379", "must begin with redis://"),
        ("http://localhost:6379", "must begin with redis://"),
        ("redis://localhost:abc", "is wrong"),
        ("redis://localhost:6379/first", "no database number"),
        ("redis://:pass/word@localhost", "wrong"),
        ("unix://", "names no socket"),
        ("redis+sentinel://localhost:26379/main", "not supported"),
        ("redis-cluster://localhost:7000", "not supported"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_before_anything_is_tried(url: str, says: str) -> None:
    """And its password is not repeated."""
    with pytest.raises(UsageError, match=says) as caught:
        Endpoint(url)
    assert "pass/word" not in caught.value.what


def test_an_unknown_parameter_of_a_url_is_a_usage_error() -> None:
    """What redis-py does not know would otherwise be a TypeError of its own."""
    with pytest.raises(UsageError, match=r"^the server's URL redis://localhost\?colour=\*\*\* has a parameter that there is not"):
        Link(Endpoint("redis://localhost?colour=blue")).call("PING")


def test_a_url_always_wins_over_the_embedded_server(home: Path, server: str) -> None:
    """Nothing is made in the data directory."""
    settings = load(None, {"server.url": server, "server.data": str(home)})
    endpoint = Endpoint.of(settings)
    assert not endpoint.embedded
    link = Link(endpoint)
    assert link.call("PING") == b"PONG"
    link.close()
    assert not home.exists()


def test_a_password_is_never_shown() -> None:
    """Neither in the address nor in the object's text."""
    endpoint = Endpoint("redis://user:hidden@localhost:6379/0")
    assert endpoint.masked == "redis://user:***@localhost:6379/0"
    assert "hidden" not in repr(endpoint)
