"""What the other queues are that stand beside streamq: which version is installed, on what it runs, how it is set up.

Their benchmark keeps an environment a queue, each in a folder of its own, `HOME/NAME`: one of Python, or `node_modules`.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

OURS = "streamq"

_ASK = "import importlib.metadata as m, platform, sys; print(platform.python_version(), *map(m.version, sys.argv[1:]))"


class Queue(NamedTuple):
    """What is known of a queue beforehand."""

    #: How its adapter sets it up, in a word.
    way: str
    #: The packages that it is; none: one of its own name.
    packages: tuple[str, ...] = ()


#: By the name of its adapter. One that is not here is measured all the same.
KNOWN = {
    OURS: Queue("threads, as it comes"),
    "limit": Queue("no queue: reads, runs, acknowledges", ("redis",)),
    "ardiq": Queue("coroutines, as it comes"),
    "arq": Queue("coroutines, looks every 10 ms, keeps no results"),
    "bullmq": Queue("asynchronous JavaScript, keeps no finished jobs"),
    "celery": Queue("threads, acknowledges late, prefetches 100 a slot, keeps no results", ("celery", "redis")),
    "chasquimq": Queue("coroutines, as it comes"),
    "docket": Queue("coroutines, keeps no executions", ("pydocket",)),
    "dramatiq": Queue("threads, as it comes"),
    "huey": Queue("threads, never acknowledges, keeps no results"),
    "rq": Queue("one at a time in one process, keeps no results"),
    "saq": Queue("coroutines, keeps no results"),
    "streaq": Queue("coroutines, keeps no results"),
    "taskiq": Queue("coroutines, stream that is acknowledged", ("taskiq", "taskiq-redis")),
}


def way(name: str) -> str:
    """How a queue is set up; nothing where that is not known."""
    return KNOWN[name].way if name in KNOWN else ""


def version(name: str, home: Path) -> str:
    """The version of a queue and of what runs it.

    Args:
        name: of the queue.
        home: where the environments are.

    Returns:
        Such as `celery 5.7.0, redis 8.1.0, Python 3.13.0`; `unknown` where none is installed there that tells.
    """
    packages = (KNOWN[name].packages if name in KNOWN else ()) or (name,)
    if name == OURS:
        return _told(packages, [importlib.metadata.version(OURS)], f"Python {platform.python_version()}")
    manifest = home / name / "node_modules" / name / "package.json"
    try:
        if manifest.exists():
            number, node = json.loads(manifest.read_bytes())["version"], shutil.which("node") or "node"
            return _told(packages, [number], f"Node {_ran(node, '--version')}")
        python, *versions = _ran(str(home / name / "bin" / "python"), "-c", _ASK, *packages).split()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return _told(packages, versions, f"Python {python}")


def _told(packages: tuple[str, ...], versions: list[str], runs_on: str) -> str:
    return ", ".join([*(f"{package} {number}" for package, number in zip(packages, versions, strict=True)), runs_on])


def _ran(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().removeprefix("v")
