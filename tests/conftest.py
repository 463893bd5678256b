"""What every test can use: one server a session, a fresh queue name a test, waiting without sleeping, and a check for leaks.

What is no fixture is imported: `from tests.conftest import wait_until`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import psutil
import pytest
import redis

from streamq.server import binary, embedded

if TYPE_CHECKING:
    from tests.workshop import Workshop

T = TypeVar("T")

_queues = itertools.count(1)

#: Where Linux lists the children of each thread.
_THREADS = Path("/proc/self/task")

#: `STREAMQ_TEST_SERVER` names the server that every test runs on; without it, it is the one that the package brings along.
_ON = {binary.VARIABLE: os.environ["STREAMQ_TEST_SERVER"]} if "STREAMQ_TEST_SERVER" in os.environ else {}
os.environ.pop(binary.VARIABLE, None)
os.environ.update(_ON)

# A shell has what it starts in the background ignore Ctrl-C, and all that the tests start would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def wait_until(predicate: Callable[[], T], description: str | Callable[[], str], timeout: float = 30) -> T:
    """Call a predicate until it returns something true, and return that; fail with the description and what was last seen.

    Args:
        predicate: asked again and again, with short and growing pauses.
        description: what is waited for, such as "the worker has ended"; or what returns it, asked when the time is over.
        timeout: seconds after which the test fails; generous, since a right program is never near it.
    """
    end = time.monotonic() + timeout
    pause = 0.001
    while not (seen := predicate()):
        if time.monotonic() > end:
            told = description if isinstance(description, str) else description()
            pytest.fail(f"after {timeout:g} s, not yet: {told}; last seen: {seen!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    return seen


def pytest_xdist_auto_num_workers() -> int:
    """Run one test more at a time than there are processors: half of their time is waiting."""
    return (os.cpu_count() or 1) + 1


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long`: the tests that have a size run at full size, for minutes instead of seconds. `--figures`: what they measured."""
    parser.addoption("--long", action="store_true", help="run the tests that have a size at full size")
    parser.addoption("--figures", type=Path, help="write what was measured to this file, a line of JSON each")


@pytest.fixture
def is_long(pytestconfig: pytest.Config) -> bool:
    """Whether tests are to run at full size."""
    return bool(pytestconfig.getoption("--long"))


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print something that was measured, in a run that succeeds too, and keep it for `--figures`."""

    def show(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {text}\n")
        figures = request.config.getoption("--figures")
        if figures:
            with figures.open("a") as file:
                file.write(json.dumps({"test": request.node.originalname, "told": text}) + "\n")

    return show


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of the session's server, which is the embedded one, as users have it."""
    data = tmp_path_factory.mktemp("server") / ".streamq"
    yield data
    embedded.stop(data)


@pytest.fixture(scope="session")
def server(data_dir: Path) -> str:
    """The address of the session's server, as `--url` takes it."""
    return f"unix://{embedded.ensure(data_dir)}"


@pytest.fixture
def client(server: str) -> Iterator[redis.Redis]:
    """A plain client of the session's server: what a stranger with redis-py would use. Replies are bytes."""
    with redis.Redis.from_url(server) as connection:
        yield connection


@pytest.fixture
def queue_name(request: pytest.FixtureRequest) -> str:
    """A queue that no other test uses; it carries the test's name, so that a key tells where it came from."""
    return f"{request.node.originalname[:40]}-{os.getpid()}-{next(_queues)}"


@pytest.fixture
def shop(tmp_path: Path, data_dir: Path, server: str, queue_name: str) -> Iterator[Workshop]:
    """A folder and a queue of its own; no process of its workers outlives the test."""
    from tests.workshop import Workshop  # waits as tests do, by what stands here

    (tmp_path / "shop").mkdir()
    shop = Workshop(tmp_path / "shop", data_dir, queue_name)
    yield shop
    shop.clear()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the configuration of whoever runs it."""
    for name in [name for name in os.environ if name.startswith("STREAMQ_") and name not in _ON]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """After each test no child process and no thread that it started is left; the embedded server is nobody's child."""
    children, threads = _children(), set(threading.enumerate())
    yield
    try:
        wait_until(lambda: not _children() - children, "the test's child processes have ended and were waited for", 10)
    finally:
        for child in _children() - children:
            child.kill()
    left = [thread for thread in threading.enumerate() if thread not in threads and not thread.daemon]
    wait_until(lambda: not any(thread.is_alive() for thread in left), f"the test's threads have ended: {left}", 10)


def _children() -> set[psutil.Process]:
    """All processes below this one. To find them psutil looks at every process there is: only where there are any."""
    with contextlib.suppress(OSError):  # a system that does not list them, or a thread that has just ended
        if not any(thread.joinpath("children").read_text() for thread in _THREADS.iterdir()):
            return set()
    return set(psutil.Process().children(recursive=True))
