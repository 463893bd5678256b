"""A server that loses nothing, the scripts with the machine's clock, and how long to play (`machine.py` says how)."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamq import transitions
from tests.lua.servers import Server
from tests.model import clock
from tests.model.bugs import BUGS, RARE

#: Read at import, since every test runs in an environment without STREAMQ_ variables.
_STEPS = int(os.environ.get("STREAMQ_MODEL_STEPS", "2000"))
_SEED = os.environ.get("STREAMQ_MODEL_SEED")
#: Where there is a disk in memory the server writes there: what it has written outlives SIGKILL there as well, and faster.
_MEMORY = "/dev/shm"  # noqa: S108 - only a folder of the test's own, made safely


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a planted bug; those that take a minute to find come with `--long`."""
    if metafunc.definition.name == "test_a_planted_bug_is_found":
        is_long = metafunc.config.getoption("--long")
        metafunc.parametrize("bug", [name for name in BUGS if is_long or name not in RARE])


@pytest.fixture
def model_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of the machine's own, which is killed many times; what is changed in a queue goes by the machine's clock."""
    monkeypatch.setattr(transitions, "load", clock.loader()[0])
    with tempfile.TemporaryDirectory(prefix="sq", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as folder:
        server = Server(Path(folder), "--appendonly", "yes", "--appendfsync", "always")
        server.start()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture
def model_steps() -> int:
    """How many steps, from the environment's STREAMQ_MODEL_STEPS."""
    return _STEPS


@pytest.fixture
def model_seed() -> int:
    """A seed that is another each time, unless STREAMQ_MODEL_SEED names one; printed with a failure."""
    return int(_SEED) if _SEED else random.SystemRandom().randrange(2**32)
