"""Load: how much workers on this machine do, and how long tasks wait and run meanwhile. No limits: it prints what it measures."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.conftest import wait_until
from tests.workshop import Workshop


@pytest.mark.timeout(900)
@pytest.mark.parametrize("task", ["work", "awork"])
def test_a_load_run(shop: Workshop, is_long: bool, task: str, tell: Callable[[str], None]) -> None:  # noqa: FBT001
    """Tiny tasks as fast as they go, through two workers of two processes; the program's own figures add up."""
    tasks = 50_000 if is_long else 3_000
    shop.send_numbered(task, range(tasks))
    began = time.monotonic()
    for name in ("w1", "w2"):
        shop.start(name, processes=2, slots=4)
    wait_until(lambda: shop.stats.finished_total == tasks, "all have finished", 600)
    took = max(line.at for line in shop.lines("end")) - min(line.at for line in shop.lines("start"))
    figures = shop.settled()
    assert set(shop.count("start").values()) == {1}
    wait, run = figures.wait_ms, figures.run_ms
    assert wait.p50 is not None
    assert run.p50 is not None
    tell(
        f"{task}: {tasks} tasks, {tasks / took:.0f} a second from the first start to the last end"
        f" ({tasks / (time.monotonic() - began):.0f} with the start of the workers);"
        f" wait p50 {wait.p50:.0f} p95 {wait.p95:.0f} p99 {wait.p99:.0f} ms,"
        f" run p50 {run.p50:.2f} p95 {run.p95:.2f} p99 {run.p99:.2f} ms"
    )
