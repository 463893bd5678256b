"""Certificates of an authority of the test's own, and a server that speaks TLS, whatever the server binary was built with."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

#: Password of the key `locked.key`.
LOCK = "geheim-4"


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607 - whichever is on PATH


def _authority(folder: Path, name: str) -> None:
    what = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.crt")
    _openssl(folder, "req", "-x509", *what, "-subj", f"/CN={name}", "-days", "2")


def _certificate(folder: Path, name: str) -> None:
    _openssl(
        folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
    )
    authority = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *authority, "-out", f"{name}.crt", "-days", "2", "-extfile", "names")


def make(folder: Path) -> None:
    """Write an authority, a stranger's one, and certificates of a server (for 127.0.0.1 and localhost) and of a client."""
    folder.mkdir()
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    _authority(folder, "ca")
    _authority(folder, "stranger")
    _certificate(folder, "server")
    _certificate(folder, "client")
    _openssl(folder, "rsa", "-aes256", "-in", "client.key", "-out", "locked.key", "-passout", f"pass:{LOCK}")


@contextlib.contextmanager
def secured(folder: Path, path: str, *, mutual: bool) -> Iterator[int]:
    """Listen with TLS at a loopback port, pass on what comes to a server's Unix socket, and yield the port.

    Args:
        folder: of the certificates.
        path: the server's socket.
        mutual: whether a client has to show a certificate of the authority.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    if mutual:
        context.load_verify_locations(folder / "ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            sockets.append(raw)
            threads.append(threading.Thread(target=serve, args=(raw,)))
            threads[-1].start()

    def serve(raw: socket.socket) -> None:
        try:
            with context.wrap_socket(raw, server_side=True) as client, socket.socket(socket.AF_UNIX) as server:
                sockets.append(client)
                server.connect(path)
                _relay(client, server)
        except OSError:
            raw.close()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for each in sockets:
            each.close()


def _relay(client: ssl.SSLSocket, server: socket.socket) -> None:
    """Pass on what either says until one of them ends; one thread, since an SSL socket is not for two."""
    client.settimeout(0.001)
    server.settimeout(0.001)
    while True:
        for source, target in ((client, server), (server, client)):
            try:
                data = source.recv(1 << 16)
            except TimeoutError:
                continue
            if not data:
                return
            target.settimeout(None)
            target.sendall(data)
            target.settimeout(0.001)
