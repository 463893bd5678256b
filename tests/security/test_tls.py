"""TLS: a real handshake with our client, with every setting, and a clear refusal of everything that does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamq.errors import ServerError, ServerUnreachable, ServerUnusable
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from tests.cli.conftest import Program
from tests.conftest import wait_until
from tests.security import certificates
from tests.security.certificates import LOCK, secured


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates for all tests."""
    folder = tmp_path_factory.mktemp("pki") / "pki"
    certificates.make(folder)
    return folder


@pytest.fixture
def port(pki: Path, server: str) -> Iterator[int]:
    """The session's server behind TLS."""
    with secured(pki, server.removeprefix("unix://"), mutual=False) as port:
        yield port


@pytest.fixture
def mutual(pki: Path, server: str) -> Iterator[int]:
    """The same, for those with a certificate."""
    with secured(pki, server.removeprefix("unix://"), mutual=True) as port:
        yield port


def ask(url: str) -> object:
    """PING over a connection of ours."""
    link = Link(Endpoint(url), timeout=5)
    try:
        return link.call("PING")
    finally:
        link.close()


def refusal(url: str) -> ServerError:
    """The error of a connection that cannot be made."""
    with pytest.raises((ServerUnreachable, ServerUnusable)) as caught:
        ask(url)
    return caught.value


def test_a_server_whose_authority_is_named_is_trusted(pki: Path, port: int) -> None:
    """By address and by name."""
    assert ask(f"rediss://127.0.0.1:{port}?ssl_ca_certs={pki}/ca.crt") == b"PONG"
    assert ask(f"rediss://localhost:{port}/0?ssl_ca_certs={pki}/ca.crt") == b"PONG"


def test_an_authority_that_nobody_trusts_is_refused(pki: Path, port: int) -> None:
    """Without a file the system's authorities count; a stranger's does not; the error says what to do."""
    for url in (f"rediss://127.0.0.1:{port}", f"rediss://127.0.0.1:{port}?ssl_ca_certs={pki}/stranger.crt"):
        error = refusal(url)
        assert isinstance(error, ServerUnusable)
        assert "is not trusted" in error.what
        assert "ssl_ca_certs=FILE" in (error.hint or "")


def test_a_certificate_of_another_host_is_refused(pki: Path, port: int) -> None:
    """127.0.0.2 leads to the same server, and its certificate does not name it."""
    error = refusal(f"rediss://127.0.0.2:{port}?ssl_ca_certs={pki}/ca.crt")
    if isinstance(error, ServerUnusable):  # elsewhere than on Linux nobody listens there
        assert "mismatch" in error.what
        assert "as the certificate names it" in (error.hint or "")


def test_a_server_that_wants_a_certificate_gets_it(pki: Path, mutual: int) -> None:
    """With a key, with a locked key, and not without."""
    url = f"rediss://127.0.0.1:{mutual}?ssl_ca_certs={pki}/ca.crt"
    assert ask(f"{url}&ssl_certfile={pki}/client.crt&ssl_keyfile={pki}/client.key") == b"PONG"
    assert ask(f"{url}&ssl_certfile={pki}/client.crt&ssl_keyfile={pki}/locked.key&ssl_password={LOCK}") == b"PONG"
    for more in ("", f"&ssl_certfile={pki}/stranger.crt&ssl_keyfile={pki}/stranger.key"):
        assert "ssl_certfile=FILE" in (refusal(url + more).hint or "")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("ssl_ca_certs={pki}/none.crt", "is missing"),
        ("ssl_ca_certs={pki}/ca.key", "cannot be used"),
        ("ssl_ca_certs={pki}/ca.crt&ssl_certfile={pki}/client.crt&ssl_keyfile={pki}/none.key", "is missing"),
        ("ssl_ca_certs={pki}/ca.crt&ssl_certfile={pki}/client.crt&ssl_keyfile={pki}/server.key", "cannot be used"),
        ("ssl_ca_certs={pki}/ca.crt&ssl_certfile={pki}/client.crt&ssl_keyfile={pki}/locked.key", "cannot be used"),
        (
            "ssl_ca_certs={pki}/ca.crt&ssl_certfile={pki}/client.crt&ssl_keyfile={pki}/locked.key&ssl_password=no",
            "cannot be used",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_as_the_fault(pki: Path, mutual: int, more: str, says: str) -> None:
    """Not the server; and nobody is asked for the password of a key."""
    error = refusal(f"rediss://127.0.0.1:{mutual}?" + more.format(pki=pki))
    assert isinstance(error, ServerUnusable)
    assert says in error.what
    assert LOCK not in str(error)


def test_tls_on_one_side_only_is_told(pki: Path, port: int) -> None:
    """A plain connection to a server of TLS."""
    assert "rediss://" in (refusal(f"redis://127.0.0.1:{port}").hint or "")


def test_tasks_go_through_tls(streamq: Program, pki: Path, mutual: int, queue_name: str) -> None:
    """Producer, worker with its children, and readers, each with a certificate and from the configuration file."""
    (streamq.folder / "jobs.py").write_text(
        "from streamq import App\napp = App()\n\n@app.task\ndef work(n: int) -> int:\n    return n\n"
    )
    files = f"ssl_ca_certs={pki}/ca.crt&ssl_certfile={pki}/client.crt&ssl_keyfile={pki}/locked.key&ssl_password=${{LOCK}}"
    url = f"rediss://127.0.0.1:{mutual}/0?{files}"
    (streamq.folder / "config.yaml").write_text(
        f"server:\n  url: {url}\nqueue:\n  name: {queue_name}\nworker:\n  tasks: [jobs]\n"
    )
    streamq.environment["LOCK"] = LOCK
    (streamq.folder / "tasks.jsonl").write_text("".join(f'{{"task": "work", "args": {{"n": {n}}}}}\n' for n in range(200)))
    sent = streamq("produce", "--file", "tasks.jsonl", "--json")
    assert (sent.status, len(sent.lines)) == (0, 200)
    worked = streamq("consume", "--drain", "--processes", "2")
    assert worked.status == 0, worked.err
    [figures] = streamq("stats", "--json").lines
    assert figures["finished_total"] == 200
    assert figures["server"]["url"].endswith("ssl_password=***")
    wait_until(lambda: streamq("pending", "--json").out == "", "nothing is pending")
