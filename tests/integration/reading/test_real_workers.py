"""What is shown of real workers, while they run, are stopped and die."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.workshop import Workshop

LIMITED = """
import time
from jobs import app, note

@app.task(retries=2)
def thrice(n: int) -> None:
    note("start", n)
    time.sleep(60)
"""


@pytest.fixture
def shop(tmp_path: Path, data_dir: Path, server: str, queue_name: str) -> Iterator[Workshop]:
    """A folder and a queue of its own; no process of its workers outlives the test."""
    (tmp_path / "shop").mkdir()
    shop = Workshop(tmp_path / "shop", data_dir, queue_name)
    shop.module("limited", LIMITED)
    yield shop
    shop.clear()


def pending(shop: Workshop) -> list[dict[str, Any]]:
    """What the command shows."""
    done = shop.streamq("pending", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_run_is_shown_from_start_to_the_death_of_its_worker(shop: Workshop) -> None:
    """With the limit that its handler sets, and what comes next at each step."""
    shop.app.send("thrice", n=1)
    worker = shop.start("w1", tasks="limited")
    shop.happened("start", 1)
    [child] = worker.children

    def shown(**fields: object) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            [task] = pending(shop)
            return task if fields.items() <= task.items() else None

        return wait_until(look, f"pending shows {fields}") or {}

    running = shown(state="running", worker_state="alive")
    assert (running["worker"], running["deliveries"], running["max_deliveries"]) == ("w1", 1, 3)
    child.send_signal(signal.SIGSTOP)
    stopped = shown(worker_state="stopped")
    assert stopped["next"].startswith("worker is stopped: unless it goes on, ")
    worker.kill()
    stuck = shown(state="stuck", worker_state="dead", alive=False)
    assert stuck["next"] == "worker is dead: waits, no worker is alive (delivery 2 of 3)"
    shop.start("w2", tasks="limited")
    assert shown(state="running", worker="w2")["deliveries"] == 2
