"""The machine sees what it is there to see: each bug of `bugs.py`, planted into the scripts, makes it fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamq import transitions
from tests.lua.servers import Server
from tests.model import clock
from tests.model.bugs import BUGS
from tests.model.machine import hunt

#: So many steps are played at most, then as many with the next seed.
STEPS = 6000
SEEDS = range(1, 11)


@pytest.mark.timeout(600)  # chance may need many plays; usually a few are enough
def test_a_planted_bug_is_found(
    model_server: Server, bug: str, monkeypatch: pytest.MonkeyPatch, tell: Callable[[str], None]
) -> None:
    """What caught it, and after how many steps, is told."""
    altered, found = clock.loader(BUGS[bug])
    for name in clock.SCRIPTS:
        model_server.client().script_load(altered(name).source)
    assert found == {old for old, _ in BUGS[bug]}, "the scripts have changed: the bug was not planted"
    monkeypatch.setattr(transitions, "load", altered)
    caught = next((caught for seed in SEEDS if (caught := hunt(model_server, STEPS, seed))), None)
    assert caught, f"not found: {bug}"
    tell(f"{bug}: {caught[0]}, after {caught[1]} steps")
