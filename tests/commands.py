"""Run `streamq` without starting Python for it: a process that has imported the program forks for each command.

A command has what a process of its own has: arguments, folder, environment, streams, exit status. Only what the start of Python
itself decides is not its own, so that an environment which speaks of that, or of the language, gets a new Python.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PROGRAM = [sys.executable, "-m", "streamq"]
_lock = threading.Lock()


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], stdin: bytes = b"", limit: float = 100) -> Done:
    """Run a command to its end.

    Args:
        arguments: of the program.
        folder: where it works.
        environment: all of it.
        stdin: what it may read.
        limit: seconds after which it is killed.
    """
    if _is_about_python(environment):
        command = [*PROGRAM, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, input=stdin, capture_output=True, check=False, timeout=limit)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())
    given, out, err, end = (os.pipe() for _ in range(4))
    with _lock:
        message = json.dumps([list(arguments), str(folder), dict(environment)]).encode()
        socket.send_fds(_forker(), [struct.pack("=I", len(message))], [given[0], out[1], err[1], end[1]])
        _forker().sendall(message)
    for theirs in (given[0], out[1], err[1], end[1]):
        os.close(theirs)
    with os.fdopen(end[0], "rb") as ended:
        end_it = threading.Timer(limit, os.kill, (int(ended.readline()), signal.SIGKILL))
        told = [b"", b""]
        threads = [threading.Thread(target=_read, args=(told, i, pipe[0])) for i, pipe in enumerate((out, err))]
        threads.append(threading.Thread(target=_write, args=(given[1], stdin)))
        for thread in (*threads, end_it):
            thread.start()
        for thread in threads:
            thread.join()
        status = int(ended.readline())
        end_it.cancel()
        end_it.join()
        return Done(status, *(text.decode() for text in told))


def _is_about_python(environment: Mapping[str, str]) -> bool:
    about = ("PYTHON", "LC_", "LANG")
    return any(name.startswith(about) and os.environ.get(name) != value for name, value in environment.items())


def _read(told: list[bytes], i: int, pipe: int) -> None:
    with os.fdopen(pipe, "rb") as file:
        told[i] = file.read()


def _write(pipe: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(pipe, "wb") as file:
        file.write(data)


@cache
def _forker() -> socket.socket:
    """The connection to the process that forks; it ends with this one, and is nobody's child."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "tests.commands", str(theirs.fileno())]
    subprocess.run(command, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    theirs.close()
    return ours


def _serve(connection: socket.socket) -> tuple[list[str], str, dict[str, str]] | None:
    """Fork for each command; returns in the process that is to run one, and at the end None."""
    while True:
        head, fds, _, _ = socket.recv_fds(connection, 4, 4)
        if not head:
            return None
        message = b""
        [length] = struct.unpack("=I", head)
        while len(message) < length:
            message += connection.recv(length - len(message))
        if os.fork() == 0:
            connection.close()
            return _beside(json.loads(message), fds)
        for fd in fds:
            os.close(fd)
        while _reaped():
            pass


def _reaped() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _beside(asked: tuple[list[str], str, dict[str, str]], fds: list[int]) -> tuple[list[str], str, dict[str, str]]:
    """Fork once more: one runs the command, the other tells its number and how it ended."""
    *streams, end = fds
    if (pid := os.fork()) != 0:
        for fd in streams:
            os.close(fd)
        os.write(end, b"%d\n" % pid)
        os.write(end, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        os._exit(0)
    for i, fd in enumerate(streams):
        os.dup2(fd, i)
        os.close(fd)
    os.close(end)
    return asked


def _main() -> int:
    from streamq import cli

    for module in pkgutil.iter_modules(cli.__path__):
        importlib.import_module(f"streamq.cli.{module.name}")
    if os.fork() != 0:
        os._exit(0)
    gc.freeze()
    asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is None:
        return 0
    arguments, folder, environment = asked
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    sys.path[0] = folder
    sys.argv = [str(ROOT / "streamq" / "__main__.py"), *arguments]
    return cli.main()


if __name__ == "__main__":
    sys.exit(_main())
