"""A proxy between a client and a server that breaks connections: at any byte, or by holding a request back."""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards a Unix socket to another until it cuts.

    Args:
        server: address of the server, `unix://…`.
        folder: where its own socket is made.
        seed: of its cuts.
        most: a connection is cut after so many bytes at most, both directions together, drawn anew for each; 0: never by itself.
    """

    def __init__(self, server: str, folder: Path, *, seed: int = 0, most: int = 0) -> None:
        self._target = server.removeprefix("unix://")
        self._path = folder / "proxy.sock"
        self._random = random.Random(seed)  # noqa: S311 - to be repeated
        self._most = most
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen(64)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        #: How many connections it has cut.
        self.cuts = 0
        #: While set, what the server answers is thrown away, and the connection with it.
        self.mute = threading.Event()
        #: While set, requests that hold this are kept, the client's connection is cut, and `release` delivers them.
        self.hold: bytes | None = None
        self._held: list[tuple[socket.socket, bytes]] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"unix://{self._path}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()
        for upstream, _ in self._held:
            upstream.close()

    def release(self) -> bytes:
        """Deliver the requests that were held back, long after their senders gave up; returns the answer to the last."""
        answer = b""
        for upstream, request in self._held:
            upstream.sendall(request)
            answer = upstream.recv(65536)
            upstream.close()
        self._held.clear()
        return answer

    @property
    def holds(self) -> int:
        """How many requests are held back."""
        return len(self._held)

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="proxy")  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, client, self._random.randint(1, self._most) if self._most else None)

    def _serve(self, client: socket.socket, budget: int | None) -> None:
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(self._target)
        other = {client: upstream, upstream: client}
        with selectors.DefaultSelector() as ready, client:
            for each in other:
                ready.register(each, selectors.EVENT_READ)
            while not self._stop.is_set():
                for key, _ in ready.select(0.05):
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    try:
                        data = source.recv(65536)
                    except ConnectionError:
                        data = b""
                    if data and source is client and self.hold is not None and self.hold in data:
                        self._held.append((upstream, data))
                        self.cuts += 1
                        return
                    if not data or (source is upstream and self.mute.is_set()):
                        upstream.close()
                        return
                    cut = budget is not None and len(data) >= budget
                    with contextlib.suppress(ConnectionError):
                        other[source].sendall(data[:budget] if cut else data)
                    if cut:
                        self.cuts += 1
                        upstream.close()
                        return
                    budget = None if budget is None else budget - len(data)
        upstream.close()
