"""A server that loses nothing, and how long to play: `STREAMQ_MODEL_STEPS=20000 STREAMQ_MODEL_SEED=7`, by hand."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lua.servers import Server
from tests.model.play import Play

#: Read at import, since every test runs in an environment without STREAMQ_ variables.
_STEPS = int(os.environ.get("STREAMQ_MODEL_STEPS", "600"))
_SEED = os.environ.get("STREAMQ_MODEL_SEED")


@pytest.fixture
def play() -> Iterator[Play]:
    """Plays on a server of its own, that is killed many times."""
    with tempfile.TemporaryDirectory(prefix="sq") as folder:
        server = Server(Path(folder), "--appendonly", "yes", "--appendfsync", "always")
        server.start()
        try:
            yield Play(server)
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
