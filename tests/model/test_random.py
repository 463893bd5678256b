"""The transitions at random against a model: thousands of steps with kills, and nothing is lost."""

from __future__ import annotations

import pytest

from tests.model.play import Play


@pytest.mark.timeout(0)  # as long as STREAMQ_MODEL_STEPS asks for
def test_nothing_is_lost_and_nothing_is_done_twice(play: Play, model_steps: int, model_seed: int) -> None:
    """Every invariant holds all the time, and at the end the queue is drained: all that was accepted has ended."""
    play.steps(model_seed, model_steps)


@pytest.mark.parametrize("seed", [1, 2])
def test_known_seeds(play: Play, seed: int) -> None:
    """Two seeds that are always the same, as far as time allows."""
    play.steps(seed, 300)
