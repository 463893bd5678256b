"""A link between clients and a server that does what real ones do: it breaks at any byte, loses replies, is slow, or is gone.

One thread forwards all connections. It never waits for one of them: what cannot be sent at once is kept, and a source whose
target does not keep up is not read.
"""

from __future__ import annotations

import contextlib
import errno
import random
import selectors
import socket
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self
from urllib.parse import urlsplit

Direction = Literal["request", "reply"]

#: Read at once, and kept for a target that does not keep up, in bytes.
_CHUNK, _KEPT = 1 << 18, 1 << 22
#: A client's name stands within so many of the first bytes that it sends.
_GREETING = 1024


class _Order(NamedTuple):
    """A cut that was asked for."""

    direction: Direction
    after: int
    duty: bytes
    holding: bytes
    answering: bytes


class _Way:
    """One direction of a connection: what has been read and not yet been sent.

    Args:
        source: where it is read.
        target: where it is sent.
        direction: which it is.
    """

    def __init__(self, source: socket.socket, target: socket.socket, direction: Direction) -> None:
        self.source = source
        self.target = target
        self.direction = direction
        #: When each piece may be sent, by the monotonic clock, and the piece.
        self._pieces: deque[tuple[float, memoryview]] = deque()
        self.kept = 0
        #: Nothing follows what is kept: when that is sent, the connection is closed.
        self.is_last = False
        #: The target takes no more at the moment.
        self.is_stuck = False

    def put(self, data: memoryview, due: float) -> None:
        """Keep a piece until it is due."""
        if data:
            self._pieces.append((due, data))
            self.kept += len(data)

    @property
    def due(self) -> float | None:
        """When the next piece may be sent; None: there is none."""
        return self._pieces[0][0] if self._pieces else None

    def flush(self, now: float) -> bool:
        """Send what is due; False: the connection is at its end."""
        self.is_stuck = False
        while self._pieces and self._pieces[0][0] <= now:
            due, data = self._pieces[0]
            try:
                sent = self.target.send(data)
            except BlockingIOError:
                self.is_stuck = True
                return True
            except OSError:
                return False
            self.kept -= sent
            if sent < len(data):
                self._pieces[0] = (due, data[sent:])
            else:
                self._pieces.popleft()
        return not (self.is_last and not self._pieces)


class _Connection:
    """A client, its connection to the server, and when it is to break.

    Args:
        client: the accepted connection.
        server: its counterpart, connected or connecting.
        budget: after so many bytes, both directions together, it is cut; None: never by itself.
    """

    def __init__(self, client: socket.socket, server: socket.socket, budget: int | None) -> None:
        self.client = client
        self.server = server
        self.budget = budget
        self.ways = {client: _Way(client, server, "request"), server: _Way(server, client, "reply")}
        #: The first that the client has sent: its name is in there; and the last.
        self.greeting = b""
        self.asked = b""

    def interest(self, end: socket.socket) -> int:
        """The events that matter at one end."""
        reading, writing = self.ways[end], self.ways[self.server if end is self.client else self.client]
        events = 0
        if not reading.is_last and reading.kept < _KEPT:
            events |= selectors.EVENT_READ
        if writing.is_stuck:
            events |= selectors.EVENT_WRITE
        return events


class Proxy:
    """Forwards connections to a server, and harms them as it is told; in a `with` block.

    Args:
        server: where the server is, `unix:///path` or `redis://host:port`. It may be away: then connections are closed.
        listen: the Unix socket to make; None: a free TCP port of this machine.
        seed: of its cuts.
    """

    def __init__(self, server: str, listen: Path | None = None, *, seed: int = 0) -> None:
        self.lead_to(server)
        self._path = listen
        self._listener = socket.socket(socket.AF_INET if listen is None else socket.AF_UNIX)
        self._listener.bind(("127.0.0.1", 0) if listen is None else str(listen))
        self._listener.listen(512)
        self._listener.setblocking(False)
        #: Its address, as `--url` takes it.
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}" if listen is None else f"unix://{listen}"
        self._random = random.Random(seed)  # noqa: S311 - to be repeated
        #: How many of the new connections are cut by themselves, 0 to 1, and after how many bytes at most, both ways together.
        self.share, self.within = 0.0, 4096
        #: How many connections it has cut.
        self.cuts = 0
        #: While set, what the server answers is thrown away, and the connection with it.
        self.mute = threading.Event()
        #: While set, requests that hold this are kept, the client's connection is cut, and `release` delivers them.
        self.hold: bytes | None = None
        #: How long everything is under way, in seconds, each way.
        self.delay = 0.0
        #: While set, new connections are closed at once.
        self.refuse = False
        self._orders: list[_Order] = []
        self._held: list[tuple[socket.socket, bytes]] = []
        self._severing: list[threading.Event] = []
        self._stop = False
        self._ends: dict[socket.socket, _Connection] = {}
        self._late: set[_Way] = set()
        self._ready = selectors.DefaultSelector()
        self._wake, self._awake = socket.socketpair()
        self._awake.setblocking(False)
        self._thread = threading.Thread(target=self._serve, name="proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop = True
        self._wake.send(b".")
        self._thread.join()
        for upstream, _ in self._held:
            upstream.close()
        for each in (self._listener, self._wake, self._awake, self._ready):
            each.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    # What it is told

    def lead_to(self, server: str) -> None:
        """Forward new connections to this server from now on."""
        address = urlsplit(server)
        self._family = socket.AF_UNIX if address.scheme == "unix" else socket.AF_INET
        self._server = address.path if address.scheme == "unix" else (address.hostname or "127.0.0.1", address.port or 6379)

    def cut(self, direction: Direction, after: int, *, duty: str = "", holding: bytes = b"", answering: bytes = b"") -> None:
        """Cut the connection in the middle of the next request or reply that fits; several orders wait beside each other.

        Args:
            direction: which way it goes.
            after: how many bytes of it still arrive.
            duty: what the connection is for, as its client's name tells (`take`, `settle`, `send`); empty: whatever.
            holding: what the request or reply holds.
            answering: what the request holds to which a reply is the answer.
        """
        self._orders.append(_Order(direction, after, f"streamq-{duty}-".encode() if duty else b"", holding, answering))

    @property
    def orders(self) -> int:
        """How many of the cuts that were asked for have not happened yet."""
        return len(self._orders)

    def sever(self) -> None:
        """Close all connections that are open."""
        done = threading.Event()
        self._severing.append(done)
        self._wake.send(b".")
        done.wait()

    @property
    def holds(self) -> int:
        """How many requests are held back."""
        return len(self._held)

    def release(self) -> bytes:
        """Deliver the requests that were held back, long after their senders gave up; returns the answer to the last."""
        answer = b""
        for upstream, request in self._held:
            upstream.setblocking(True)
            upstream.sendall(request)
            answer = upstream.recv(_CHUNK)
            upstream.close()
        self._held.clear()
        return answer

    # What it does

    def _serve(self) -> None:
        self._ready.register(self._listener, selectors.EVENT_READ)
        self._ready.register(self._awake, selectors.EVENT_READ)
        while not self._stop:
            events = self._ready.select(self._patience())
            for key, mask in events:
                end = key.fileobj
                assert isinstance(end, socket.socket)
                if end is self._listener:
                    self._accept()
                elif end is self._awake:
                    self._obey()
                elif connection := self._ends.get(end):  # not closed by an event before this one
                    self._go_on(connection, end, mask)
            self._send_late()
        for connection in set(self._ends.values()):
            self._close(connection)
        self._obey()

    def _patience(self) -> float | None:
        dues = [way.due for way in self._late if way.due is not None]
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _obey(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._awake.recv(4096)
        while self._severing:
            for connection in set(self._ends.values()):
                self._close(connection)
            self._severing.pop().set()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        server = socket.socket(self._family)
        for each in (client, server):
            each.setblocking(False)
            if each.family == socket.AF_INET:
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A Unix socket whose queue is full says EAGAIN and stays unconnected: gone, like one without a listener.
        failure = 0 if self.refuse else server.connect_ex(self._server)
        if self.refuse or failure not in {0, errno.EINPROGRESS}:
            client.close()
            server.close()
            return
        budget = self._random.randint(1, self.within) if self._random.random() < self.share else None
        connection = _Connection(client, server, budget)
        for end in (client, server):
            self._ends[end] = connection
            self._ready.register(end, selectors.EVENT_READ)

    def _go_on(self, connection: _Connection, end: socket.socket, mask: int) -> None:
        """Send and read at one end what can be."""
        here = connection.ways[end]
        back = connection.ways[here.target]
        is_alive = True
        if mask & selectors.EVENT_WRITE:
            is_alive = back.flush(time.monotonic())
            if back.due is not None and not back.is_stuck:
                self._late.add(back)
        if is_alive and mask & selectors.EVENT_READ:
            is_alive = self._read(connection, here)
        if not is_alive:
            self._close(connection)
        elif end in self._ends:
            self._watch(connection)

    def _read(self, connection: _Connection, way: _Way) -> bool:
        """Read what has come and pass it on, or not; False: the connection is to be closed."""
        try:
            data = way.source.recv(_CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if way.direction == "request":
            connection.asked = data
            if len(connection.greeting) < _GREETING:
                connection.greeting += data[:_GREETING]
            if data and self.hold is not None and self.hold in data:
                self._keep(connection, data)
                return True
        elif self.mute.is_set():
            return False
        length = self._length(connection, way.direction, data)
        way.is_last = not data or length is not None
        due = time.monotonic() + self.delay if self.delay else 0.0
        way.put(memoryview(data)[:length], due)
        if way.due:
            self._late.add(way)
            return True
        return way.flush(0.0)

    def _length(self, connection: _Connection, direction: Direction, data: bytes) -> int | None:
        """After how many bytes of this the connection is cut; None: it is not."""
        lengths = []
        for order in [each for each in self._orders if each.direction == direction]:
            fits = order.duty in connection.greeting and order.holding in data and order.answering in connection.asked
            if data and fits:
                self._orders.remove(order)
                lengths.append(order.after)
                break
        if connection.budget is not None:
            if len(data) >= connection.budget:
                lengths.append(connection.budget)
            connection.budget -= len(data)
        self.cuts += bool(lengths)
        return min(lengths, default=None)

    def _keep(self, connection: _Connection, request: bytes) -> None:
        """Hold a request back; its client's connection is cut."""
        self.cuts += 1
        self._ready.unregister(connection.server)
        del self._ends[connection.server]
        self._held.append((connection.server, request))
        self._shut(connection.client)
        self._late -= set(connection.ways.values())

    def _send_late(self) -> None:
        now = time.monotonic()
        for way in [each for each in self._late if each.due is None or each.due <= now]:
            connection = self._ends[way.source]
            is_alive = way.flush(now)
            if not is_alive:
                self._close(connection)
            else:
                if way.due is None or way.is_stuck:
                    self._late.discard(way)
                self._watch(connection)

    def _watch(self, connection: _Connection) -> None:
        """Have the selector report what matters now; an end of which nothing does is left out, or its end would be reported."""
        for end in (connection.client, connection.server):
            events = connection.interest(end)
            known = self._ready.get_map().get(end)
            if known is None:
                if events:
                    self._ready.register(end, events)
            elif not events:
                self._ready.unregister(end)
            elif known.events != events:
                self._ready.modify(end, events)

    def _close(self, connection: _Connection) -> None:
        self._late -= set(connection.ways.values())
        for end in (connection.client, connection.server):
            self._shut(end)

    def _shut(self, end: socket.socket) -> None:
        """Close one end, for good: a process that was forked from this one may have it too."""
        self._ends.pop(end, None)
        if end in self._ready.get_map():
            self._ready.unregister(end)
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
