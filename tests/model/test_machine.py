"""The transitions at random against a model: thousands of steps with kills, and nothing is lost."""

from __future__ import annotations

import pytest

from tests.lua.servers import Server
from tests.model.machine import play


@pytest.mark.timeout(0)  # as long as STREAMQ_MODEL_STEPS asks for
def test_nothing_is_lost_and_nothing_is_done_twice(model_server: Server, model_steps: int, model_seed: int) -> None:
    """Every invariant holds after every step, and at the end of each play all that was accepted has ended."""
    assert play(model_server, model_steps, model_seed) > 0
