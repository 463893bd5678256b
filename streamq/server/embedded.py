"""The embedded server: one durable Valkey or Redis a data directory, started by whoever needs it first, shared by all.

`ensure` is on the way of every command, so where a server already answers it costs one connect and one PING and takes no lock.
Else it takes `start.lock`, looks again, and starts a server that inherits `server.lock` (see `directory.py`), in a session of
its own: it outlives its starter, and a Ctrl-C does not reach it. The rules kept: never two servers on one directory, an
append-only file always on, and a server that was stopped on purpose stays down until a new command asks for it, whatever
workers still run.
`endpoint.py` and `server start|stop|status` call this.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from streamq import process
from streamq.errors import ServerError, ServerUnreachable, ServerUnusable
from streamq.server.directory import PAUSE, DataDirectory
from streamq.server.reply import error_of
from streamq.server.resp import Receiver, pack
from streamq.server.unwritten import PERSISTENCE, check_written

if TYPE_CHECKING:
    from pathlib import Path

    from streamq.server.directory import Claim

_log = logging.getLogger("streamq.server")

Durability = Literal["everysec", "always"]

#: Who may start a server that does not run: a `command` may, and lifts the mark of a `server stop`; a `revive`, which is a
#: client that was connected before, may unless that mark stands; `never` is for those who only look.
Start = Literal["command", "revive", "never"]

#: What answered at the socket. `absent`: nobody; `silent`: somebody who says nothing, a stopped process for one.
Answer = Literal["ready", "loading", "silent", "absent"]

_LOOK = 1.0
# What the server's log says of an append-only file whose last command was not whole, and of one that it cannot read at all.
_CUT = "because aof-load-truncated is enabled"
_DAMAGED = re.compile(r"append.only file|\bAOF\b|\bRDB\b")
# One that was killed from outside while it started deserves another; one that cannot start fails again, within milliseconds.
_LAUNCHES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What `server status` tells; what is not known is None."""

    url: str
    embedded: bool
    data: str | None
    #: `ready`, `loading`, `silent` (a process is there and does not answer) or `absent`.
    state: Answer
    pid: int | None = None
    #: `valkey` or `redis`.
    kind: str | None = None
    version: str | None = None
    fsync: str | None = None
    uptime_ms: int | None = None

    @property
    def running(self) -> bool:
        """Whether a server answers."""
        return self.state in {"ready", "loading"}


def ensure(data: Path, durability: Durability = "everysec", *, wait: float = 60.0, start: Start = "command") -> Path:
    """See to it that a server answers for a data directory.

    Args:
        data: the directory; made where it is missing.
        durability: `always` is set on a server that runs with less; one that runs with `always` is left so (`set_durability`).
        wait: how long, in seconds, a server may take to start, to load its data or to answer.
        start: who is asking, see `Start`.

    Returns:
        The path of the server's socket.

    Raises:
        ServerUnusable: the directory, or every server binary, cannot be used, or the server died while it started.
        ServerUnreachable: it does not answer in time, it may not be started, or it was stopped on purpose.
        CannotPersist: it runs with less than `always`, cannot write to its disk, and would lose something by the change.
    """
    home = DataDirectory(data)
    path = home.socket()
    answer = look(path) if home.check_owner() else "absent"
    if answer != "ready":
        if answer == "absent" and start == "never":
            raise ServerUnreachable(f"no server runs in {home.path}", hint="`streamq server start` starts it")
        _bring_up(home, durability, time.monotonic() + wait, start)
    if durability == "always":
        set_durability(data, durability)
    return path


def _bring_up(home: DataDirectory, durability: Durability, deadline: float, start: Start) -> None:
    """Start a server where none is there, and wait until one answers."""
    path = home.socket()
    home.prepare()
    with home.starting(deadline):
        launches, before = 0, home.log_size()
        while (answer := look(path)) != "ready":
            if answer == "absent" and (claim := home.claim()):
                with claim:
                    if launches == _LAUNCHES:
                        raise _died(home, start, home.last_words(before))
                    _allow(home, start)
                    _launch(home, claim, durability, start)
                launches += 1
            if time.monotonic() >= deadline:
                raise _no_answer(home, answer)
            time.sleep(PAUSE)
        if launches and _CUT in home.logged(before):
            _tell_of_cut(home)


def _tell_of_cut(home: DataDirectory) -> None:
    _log.warning(
        "the append-only file in %s ended in the middle of a command, as after a power cut or on a full disk; it was cut there,"
        " what followed is lost (see %s)",
        home.path,
        home.file("server.log"),
    )


def _allow(home: DataDirectory, start: Start) -> None:
    """Whether the asker may start a server; a command that does lifts the mark of `stop`."""
    mark = home.file("stopped")
    if start == "command":
        mark.unlink(missing_ok=True)
    elif start == "never" or mark.exists():
        raise ServerUnreachable(f"the server in {home.path} was stopped", hint="`streamq server start` starts it again")


def _launch(home: DataDirectory, claim: Claim, durability: Durability, start: Start) -> None:
    """Start the server; it holds `server.lock` from its first moment on."""
    with process.unforked:
        from streamq.server import binary  # only when a server is started

    _check_ghost(home)
    _check_manifest(home)
    writer = home.writer()
    executable, program = binary.find(writer)
    # Noted before the start: a starter that is killed after it must not leave a directory that an older binary would open.
    if program != writer:
        home.record_writer(program)
    home.file("server.sock").unlink(missing_ok=True)
    try:
        started = process.run(_command(executable, durability), cwd=home.path, pass_fds=[claim.descriptor])
    except OSError as error:
        raise ServerUnusable(f"the server binary {executable} cannot be run: {error}") from error
    if started.returncode:
        raise _died(home, start, started.stdout + started.stderr)


def _check_ghost(home: DataDirectory) -> None:
    """Whoever starts or stops a server must know of one that runs on without its directory."""
    if ghost := home.ghost():
        raise ServerUnusable(
            f"the data directory {home.path} was deleted, and its server (process {ghost}) runs on with what it held",
            hint=f"let its workers end, then `kill {ghost}`: what it holds is gone with it",
        )


def _check_manifest(home: DataDirectory) -> None:
    """Without the list of its append-only files a server starts empty, and mixes what is new into what is old."""
    folder = home.file("appendonlydir")
    written = [path for path in folder.glob("*.aof") if path.stat().st_size]  # an empty one may stand without: a first start died
    if written and not any(folder.glob("*.manifest")):
        raise ServerUnusable(
            f"{folder} holds tasks ({written[0].name}), but its manifest is gone: the server would start empty",
            hint="put the file appendonly.aof.manifest back, or move the folder away to begin anew",
        )


def _command(executable: Path, durability: Durability) -> list[str]:
    """The command line of a server; its paths are relative to the data directory, so that none is too long for a socket."""
    options = {
        "port": "0",
        "unixsocket": "server.sock",
        "unixsocketperm": "700",
        "dir": ".",
        "logfile": "server.log",
        # A daemon is nobody's child: no starter has to reap it, none is kept from ending.
        "daemonize": "yes",
        "pidfile": "server.pid",
        "appendonly": "yes",
        "appendfsync": durability,
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        # A node of a stream is freed when all its entries have gone: one task that is parked for long keeps no more than this.
        "stream-node-max-bytes": "1024",
    }
    return [str(executable), *(text for name, value in options.items() for text in (f"--{name}", value))]


def _died(home: DataDirectory, start: Start, said: str) -> ServerError:
    """The error of a server that ended while it started; for clients that come back it may pass (a full disk)."""
    words = " ".join(said.split()) or ("its disk is full" if home.is_full() else "it said nothing")
    kind = ServerUnusable if start == "command" else ServerUnreachable
    hint = f"its log is {home.file('server.log')}"
    if _DAMAGED.search(words):
        hint += (
            f"; bring back a copy of {home.path}, or copy it and cut its append-only file where the damage begins"
            " (`valkey-check-aof --fix FILE`, or redis-check-aof)"
        )
    return kind(f"the server in {home.path} ended while it started: {words}", hint=hint)


def _no_answer(home: DataDirectory, answer: Answer) -> ServerUnreachable:
    if answer == "loading":
        return ServerUnreachable(f"the server in {home.path} is still loading its data", hint="try again in a while")
    pid = home.pid()
    hint = f"if it was paused, `kill -CONT {pid}` lets it go on" if pid else None
    return ServerUnreachable(f"the server in {home.path} runs and does not answer", hint=hint)


def stop(data: Path, *, wait: float = 60.0) -> bool:
    """Stop the server of a data directory and wait until it is gone; it writes what it has to disk first.

    A mark is left, by which workers that were connected know that they may not start it again; the next command may.

    Returns:
        Whether one was running.

    Raises:
        CannotPersist: it cannot write to its disk; what it accepted last would be lost, and it runs on.
        ServerUnreachable: it does not answer, or has not ended in time.
        ServerUnusable: it refuses to end, or the directory is another's.
    """
    home = DataDirectory(data)
    if not home.check_owner():
        _check_ghost(home)
        return False
    deadline = time.monotonic() + wait
    with home.starting(deadline):
        answer = look(home.socket())
        if answer == "silent":
            raise _no_answer(home, answer)
        if answer == "absent":
            _check_ghost(home)
        refusal = _shut_down(home, wait) if answer != "absent" else None
        if refusal is not None:
            raise ServerUnusable(f"the server in {home.path} refuses to end: {refusal}", hint=f"see {home.file('server.log')}")
        while (claim := home.claim()) is None:
            if time.monotonic() >= deadline:
                raise ServerUnreachable(f"the server in {home.path} has not ended after {wait:g} s")
            time.sleep(PAUSE)
        claim.close()
        # Written last: a `stop` that is killed before leaves no mark beside a running server.
        home.file("stopped").touch()
    return answer != "absent"


def _shut_down(home: DataDirectory, wait: float) -> Exception | None:
    """Tell a server to end; that it hangs up is its answer, any other a refusal."""
    refusal: Exception | None
    try:
        [refusal] = [info] = ask(home.socket(), PERSISTENCE, timeout=wait)
        if isinstance(info, bytes):  # else it has ended, or refuses even this
            check_written(home.path, info, "it is not stopped", "stop it again")
            [refusal] = ask(home.socket(), ("SHUTDOWN",), timeout=wait)
    except OSError as error:
        raise ServerUnreachable(f"the server in {home.path} does not answer: {error}") from error
    return refusal


def status(data: Path) -> Status:
    """What runs in a data directory; starts nothing.

    Raises:
        ServerUnusable: the directory is another user's.
    """
    home = DataDirectory(data)
    answer = look(home.socket()) if home.check_owner() else "absent"
    found = Status(url=home.url(), embedded=True, data=str(home.path), state=answer)
    if not found.running:
        return replace(found, pid=home.pid() if answer == "silent" else None)
    text, config = _question(home, ("INFO", "server"), ("CONFIG", "GET", "appendfsync"))
    if isinstance(text, Exception) or isinstance(config, Exception):  # busy with a script
        return replace(found, pid=home.pid())
    info = dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
    return replace(
        found,
        pid=int(info["process_id"]),
        kind="valkey" if "valkey_version" in info else "redis",
        version=info.get("valkey_version") or info["redis_version"],
        fsync=config[1].decode(),
        uptime_ms=int(info["uptime_in_seconds"]) * 1000,
    )


def set_durability(data: Path, durability: Durability) -> None:
    """Have a running server sync its append-only file as asked; one that cannot write would end at once with `always`."""
    home = DataDirectory(data)
    if durability == "always" and isinstance(info := _question(home, PERSISTENCE)[0], bytes):
        check_written(home.path, info, "it is not set to durability always, which would end it", "try again")
    reply = _question(home, ("CONFIG", "SET", "appendfsync", durability))[0]
    if reply != b"OK":
        passing = isinstance(error_of(str(reply)), ServerUnreachable)
        kind = ServerUnreachable if passing else ServerUnusable
        raise kind(f"the server in {data} does not take durability {durability}: {reply}")


def _question(home: DataDirectory, *commands: tuple[str, ...]) -> list[Any]:
    """Replies to commands that each have one; a server that ended meanwhile may come back."""
    try:
        replies = ask(home.socket(), *commands)
    except OSError as error:
        raise ServerUnreachable(f"the server in {home.path} does not answer: {error}") from error
    if None in replies:
        raise ServerUnreachable(f"the server in {home.path} ended before it answered")
    return replies


def look(path: Path) -> Answer:
    """Whether a server answers at a socket, within a second."""
    try:
        [reply] = ask(path, ("PING",), timeout=_LOOK)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        return "absent"
    except OSError:
        return "silent"  # a full backlog (EAGAIN) or a time-out: somebody holds the socket open
    if reply is None:
        return "silent"
    # Any other refusal is for who asks for more: with a full disk even PING gets one, and what is there can still be read.
    return "loading" if str(reply).startswith("LOADING") else "ready"


def ask(path: Path, *commands: tuple[str, ...], timeout: float = 5.0) -> list[Any]:
    """Send commands to a Unix socket; replies in order, an error reply as an exception, None for each where the server hung up.

    This is a connection without redis-py, whose import would double the time of `server status`, and without errors of our own.
    """
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(timeout)
        link.connect(os.fspath(path))
        try:
            link.sendall(pack(commands))
            return Receiver(link, RuntimeError).receive(len(commands))
        except ConnectionError:
            return [None] * len(commands)
