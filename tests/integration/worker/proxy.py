"""A Unix socket between a worker and its server that can lose a reply: the connection breaks in the middle of it."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from pathlib import Path


class Proxy:
    """Forwards every connection; on demand it cuts one after a part of a reply.

    Args:
        path: where it listens.
        server: the server's socket.
    """

    def __init__(self, path: Path, server: Path) -> None:
        self.url = f"unix://{path}"
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._wake, self._awake = socket.socketpair()
        #: The duty of the connection to cut, what the reply must hold, how many of its bytes still arrive.
        self._order: tuple[bytes, bytes, int] | None = None
        #: How many connections were cut.
        self.cuts = 0
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)
        self._thread.start()

    def cut(self, duty: str, holding: bytes = b"", after: int = 10) -> None:
        """Lose the next reply on a connection of this duty (`take`, `settle`) that holds something, after so many bytes."""
        self._order = (f"streamq-{duty}-".encode(), holding, after)

    def close(self) -> None:
        """End it and all connections."""
        self._wake.close()
        self._thread.join()
        self._listener.close()
        self._awake.close()

    def _serve(self) -> None:
        pairs: dict[socket.socket, socket.socket] = {}
        names: dict[socket.socket, bytes] = {}
        while True:
            readable, _, _ = select.select([self._listener, self._awake, *pairs], [], [])
            if self._awake in readable:
                break
            for sock in readable:
                if sock is self._listener:
                    client, server = self._listener.accept()[0], socket.socket(socket.AF_UNIX)
                    try:
                        server.connect(str(self._server))
                    except OSError:
                        client.close()
                        server.close()
                        continue
                    pairs |= {client: server, server: client}
                    names[server] = b""
                elif sock in pairs and not self._forward(sock, pairs[sock], names):
                    for end in (pairs.pop(sock), sock):
                        pairs.pop(end, None)
                        names.pop(end, None)
                        end.close()
        for end in pairs:
            end.close()

    def _forward(self, source: socket.socket, target: socket.socket, names: dict[socket.socket, bytes]) -> bool:
        """Pass on what has arrived; False: the connection is at its end, or was to be cut."""
        try:
            data = source.recv(1 << 20)
        except ConnectionError:
            return False
        if target in names and not names[target]:  # the first that a client sends carries its name
            names[target] = data
        if source in names and self._order is not None:
            duty, holding, after = self._order
            if duty in names[source] and holding in data:
                self._order = None
                self.cuts += 1
                with contextlib.suppress(OSError):
                    target.sendall(data[:after])
                return False
        with contextlib.suppress(OSError):
            target.sendall(data)
            return bool(data)
        return False
