"""A program that forks while another of its threads makes its first send: parent and child both send, whatever was half done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamq.server import embedded
from tests.workshop import HANG

if TYPE_CHECKING:
    import redis


#: A thread sends, and pauses at a place on its way until the main thread is about to fork, and then, where nothing keeps the fork
#: waiting for what the thread is about, until it has forked. All three send.
PROGRAM = """
import fcntl, importlib.abc, json, os, subprocess, sys, threading
from streamq import App

place, given = sys.argv[1], json.loads(sys.argv[2])
reached, forking, forked = threading.Event(), threading.Event(), threading.Event()

def pause():
    if not reached.is_set():
        reached.set()
        forking.wait()
        forked.wait(0.3)

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == place:
            pause()

def pausing(function):
    def call(*args):
        result = function(*args)
        pause()
        return result
    return call

sys.meta_path.insert(0, Finder())
if place == "lock":
    fcntl.flock = pausing(fcntl.flock)
if place == "start":
    subprocess._fork_exec = pausing(subprocess._fork_exec)

app = App(**given)

@app.task
def tiny(n):
    pass

thread = threading.Thread(target=tiny.enqueue, args=(1,))
os.register_at_fork(before=forking.set, after_in_parent=forked.set)  # the last to be registered is the first before a fork
thread.start()
reached.wait()
child = os.fork()
if child == 0:
    status = 1
    try:
        tiny.enqueue(2)
        status = 0
    finally:
        os._exit(status)
tiny.enqueue(3)
thread.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

#: Sends once, and prints what is imported for it where a fork would not wait for the end of the import.
CAREFUL = """
import importlib.abc, json, sys
from streamq import App, StreamqError, process

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if not process.unforked._is_owned():
            print(name)

app = App(**json.loads(sys.argv[1]))

@app.task
def tiny(n):
    pass

sys.meta_path.insert(0, Finder())
try:
    tiny.enqueue(1)
except StreamqError as error:
    print(type(error).__name__, file=sys.stderr)
"""


def run(folder: Path, place: str, **given: Any) -> None:
    """Run the program, and end all of it where it does not end by itself."""
    command = [sys.executable, "-c", PROGRAM, place, json.dumps(given)]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True) as program:
        try:
            complaint = program.communicate(timeout=HANG)[1]
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            raise AssertionError(f"parent or child waits for ever, after a fork in the middle of {place}") from None
    assert program.returncode == 0, complaint


@pytest.mark.parametrize(
    "module",
    [
        "streamq.config",
        "streamq.queue",
        "streamq.producer",
        "streamq.job",
        "streamq.server.embedded",
        "streamq.server.directory",
    ],
)
def test_a_fork_in_the_middle_of_an_import(
    module: str, tmp_path: Path, data_dir: Path, server: str, client: redis.Redis, queue_name: str
) -> None:
    """The child would wait for the thread that imports, which it does not have."""
    run(tmp_path, module, queue=queue_name, data=str(data_dir))
    assert client.xlen(f"streamq:{{{queue_name}}}:default") == 3


@pytest.mark.parametrize("module", ["redis", "redis.connection", "redis.cluster"])
def test_a_fork_in_the_middle_of_the_import_of_redis_py(
    module: str, tmp_path: Path, server: str, client: redis.Redis, queue_name: str
) -> None:
    """It makes loggers: the lock of `logging`, which a fork holds too, must not be waited for by whom the fork waits for."""
    run(tmp_path, module, queue=queue_name, url=f"{server}?health_check_interval=0")
    assert client.xlen(f"streamq:{{{queue_name}}}:default") == 3


def imported(folder: Path, **given: Any) -> tuple[str, str]:
    """What a first send imports without keeping forks waiting, and the name of the error that it ends with."""
    command = [sys.executable, "-c", CAREFUL, json.dumps(given)]
    program = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=HANG)
    return program.stdout, program.stderr.strip()


def test_whatever_a_first_send_imports_a_fork_waits_for(tmp_path: Path, server: str) -> None:
    """Its child would wait for the import, as for the parsers of e-mail with which redis-py learns its own version."""
    try:
        assert imported(tmp_path, data=str(tmp_path / ".streamq")) == ("", "")
    finally:
        embedded.stop(tmp_path / ".streamq")
    assert imported(tmp_path, url=server) == ("", "")
    assert imported(tmp_path, url=f"{server}?health_check_interval=0") == ("", "")


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:1",
        "redis://b\u00fccher.invalid:1",
        "redis://localhost:1?health_check_interval=0",
        "redis://b\u00fccher.invalid:1?health_check_interval=0",
        "rediss://localhost:1",
    ],
)
def test_whatever_a_failed_first_send_imports_a_fork_waits_for(url: str, tmp_path: Path) -> None:
    """Looking up a host imports a codec."""
    (tmp_path / "config.yaml").write_text("server: {wait: 100ms}")
    assert imported(tmp_path, url=url) == ("", "ServerUnreachable")


@pytest.mark.parametrize("place", ["lock", "start"])
def test_a_fork_while_the_server_is_started(place: str, tmp_path: Path) -> None:
    """The child keeps neither the lock of those who start a server, nor the pipes of the one that is being started."""
    data = tmp_path / ".streamq"
    try:
        run(tmp_path, place, queue="q", data=str(data))
        [length] = embedded.ask(embedded.ensure(data), ("XLEN", "streamq:{q}:default"))
        assert length == 3
    finally:
        embedded.stop(data)
