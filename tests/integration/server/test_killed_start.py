"""SIGKILL at any line of a start and of a stop: whatever stands half done, the next start ends with one server and all data.

Every line with `--long`; else every fourth, from a random one on.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from streamq import process
from streamq.server import binary, directory, embedded
from streamq.server.directory import DataDirectory
from tests.conftest import wait_until
from tests.integration.server.servers import kill_server, servers_of

#: The files whose lines count, the standard library's that start the server and write files among them.
_FILES = {module.__file__ for module in (embedded, directory, binary, process, subprocess)}
_FILES |= {Path.write_text.__code__.co_filename}


class _Kill:
    """A trace function that kills its process when it reaches a new line for the n-th time."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._seen: set[tuple[str, int]] = set()

    def __call__(self, frame: FrameType, event: str, _: object) -> _Kill | None:
        if frame.f_code.co_filename not in _FILES:
            return None
        if event == "line":
            self._seen.add((frame.f_code.co_filename, frame.f_lineno))
            if len(self._seen) == self._n:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def _killed_at(n: int, call: Callable[[], object]) -> bool:
    """Make a call in a child that is killed at its n-th line; False where it had fewer and came to its end."""
    if (pid := os.fork()) == 0:
        binary.program.cache_clear()
        sys.settrace(_Kill(n))
        call()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status in {0, signal.SIGKILL}
    return status == signal.SIGKILL


def _increment(home: Path) -> object:
    embedded.ensure(home)
    return embedded.ask(DataDirectory(home).socket(), ("INCR", "counter"))[0]


def _is_one(home: Path) -> None:
    """There is one server; the process that made it a daemon may take a moment to end."""
    wait_until(lambda: len(servers_of(home)) <= 1, "one process is left")
    assert len(servers_of(home)) == 1


def _through(call: Callable[[], object], check: Callable[[], None], *, every: bool) -> None:
    """Kill a call at one line after another and look what there is after each, until it comes to its end."""
    step = 1 if every else 4
    n = random.SystemRandom().randint(1, step)
    while _killed_at(n, call):
        check()
        n += step
    assert n > 50, "the trace sees the lines"


@pytest.mark.timeout(900)
def test_a_first_start_killed_at_any_line_is_followed_by_one_that_works(home: Path, is_long: bool) -> None:  # noqa: FBT001
    """In a directory that does not exist yet: there is one server or none, and the next start finds it or makes it."""
    number = iter(range(1, 10_000))
    place = home / "0"

    def check() -> None:
        nonlocal place
        assert _increment(place) == 1
        _is_one(place)
        assert (place / ".gitignore").read_text() == "*\n"
        assert place.stat().st_mode & 0o777 == 0o700
        kill_server(place)
        place = home / str(next(number))

    _through(lambda: embedded.ensure(place), check, every=is_long)
    kill_server(place)


@pytest.mark.timeout(900)
def test_a_restart_killed_at_any_line_loses_nothing(home: Path, is_long: bool) -> None:  # noqa: FBT001
    """After a crash of the server: its socket, locks and data lie there, and all of the data is there after each start."""
    embedded.ensure(home, "always")
    counted = 0

    def check() -> None:
        nonlocal counted
        counted += 1
        assert _increment(home) == counted
        _is_one(home)
        kill_server(home)

    kill_server(home)
    _through(lambda: embedded.ensure(home, "always"), check, every=is_long)


@pytest.mark.timeout(900)
def test_a_stop_killed_at_any_line_leaves_the_server_or_a_directory_that_works(home: Path, is_long: bool) -> None:  # noqa: FBT001
    """It runs on or it has ended; a command starts it again, with all of its data."""
    counted = 0
    _increment(home)

    def check() -> None:
        nonlocal counted
        counted += 1
        # One that was told to end does so; one that was not runs on.
        wait_until(lambda: embedded.look(home / "server.sock") == "ready" or not servers_of(home), "it answers or is gone")
        assert _increment(home) == counted + 1
        _is_one(home)

    _through(lambda: embedded.stop(home), check, every=is_long)
