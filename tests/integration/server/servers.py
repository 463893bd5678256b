"""What the tests of the server do to servers and processes: find, kill, start, and play one that is no Redis."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from streamq.server import binary
from streamq.server.binary import Program
from tests.conftest import wait_until

#: Starts a server on a loopback port, with options of its own, and gives that port.
Serve = Callable[..., int]


def servers_of(data: Path) -> list[psutil.Process]:
    """The server processes whose working directory is a data directory."""
    found = []
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(data):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.status() != psutil.STATUS_ZOMBIE and process.cmdline():
                    found.append(process)
    return found


def kill_server(data: Path) -> None:
    """Kill the server of a data directory with SIGKILL and wait until it is gone; a worker may have another by then."""
    killed = servers_of(data)
    for process in killed:
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(map(_runs, killed)), "the server is gone")


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """A loopback port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody accepts connections at a loopback port."""
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) == 0


#: Processes that `python` has started; what is left of them ends with the test.
started: list[subprocess.Popen[str]] = []


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python process that runs some code; its stdout is a pipe."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started.append(process)
    return process


def output(process: subprocess.Popen[str]) -> str:
    """Wait for a process that has to succeed, and return what it printed."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def program(path: Path, says: str, does: str) -> Path:
    """Write a server binary for a test: a script that says its version and does something else."""
    path.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo "{says}"; exit; fi\n{does}\n')
    path.chmod(0o755)
    return path


def real_server() -> Path:
    """The server binary that the tests run on."""
    return binary.find()[0]


def real_program() -> Program:
    """What that binary is."""
    return binary.find()[1]


def says(what: Program) -> str:
    """How a server answers `--version`."""
    return f"{what.name} server v={what.version} sha=0"


def limited(path: Path, limits: str) -> Path:
    """Write a binary for a test that is the real server, below limits of the shell's."""
    return program(path, says(real_program()), f'{limits}; exec "{real_server()}" "$@"')


def append_only(data: Path) -> Path:
    """The append-only file of a data directory that grows: since Redis 7 there are several, in a directory."""
    files = [*data.glob("appendonly.aof"), *data.glob("appendonlydir/*.incr.aof")]
    return max(files, key=lambda path: int(path.name.split(".")[-3]) if len(path.suffixes) > 1 else 0)


def in_child(call: Callable[[], object], *, unprivileged: bool = False) -> str:
    """Run a call in a forked child, not as root where that is asked; returns `ok` or the error, `TypeName: message`."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            if unprivileged and os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            call()
            text = "ok"
        except BaseException as error:  # noqa: BLE001 - the parent judges it
            text = f"{type(error).__name__}: {error}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return text
