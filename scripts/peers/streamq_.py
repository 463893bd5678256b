"""streamq beside other queues: what a benchmark of queues drives it by, with the task bodies that all of them run.

One worker process with as many slots as the benchmark asks for. LEASE, where it is set, becomes the lease; the rest is left as
it comes: crashes are recovered, poisonous tasks end in the dead letters after five deliveries, unknown tasks wait for a worker
that knows them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import work
from adapter import CONCURRENCY, LATE, LEASE, URL, main

from streamq import App

app = App("bench", url=URL)


@app.task
def job(kind: str, sent_at: float) -> None:
    """The body that every queue runs."""
    work.run(kind, sent_at)


if LATE:

    @app.task
    def late(kind: str, sent_at: float) -> None:
        """A task that only newer workers know."""
        work.run(kind, sent_at)


def single(args: tuple[str, float]) -> None:
    """Sends one task."""
    job.enqueue(*args)


def bulk(rows: list[tuple[str, float]]) -> None:
    """Sends many."""
    app.enqueue_many(job.prepare(*row) for row in rows)


def send_late(args: tuple[str, float]) -> None:
    """Sends a task that an older worker does not know."""
    late.enqueue(*args)


def dead() -> int:
    """How many dead letters there are."""
    command = [sys.executable, "-m", "streamq", "stats", "--json", "--url", URL, "--queue", "bench"]
    return int(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["dead"])


def worker() -> None:
    """Becomes a worker of one process."""
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    options = ["--url", URL, "--queue", "bench", "--processes", "1", "--concurrency", str(CONCURRENCY), "--tasks", "streamq_"]
    if LEASE:
        options += ["--lease", f"{LEASE}s"]
    os.execv(sys.executable, [sys.executable, "-m", "streamq", "consume", *options])


if __name__ == "__main__":
    main(single=single, bulk=bulk, worker=worker, late=send_late if LATE else None, dead=dead)
