"""What a figure depends on beside the code: machine, versions, commit."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import psutil

from scripts.lib.bench.worker import ROOT

_PACKAGES = ("redis", "hiredis", "msgspec", "pillow")


def machine() -> dict[str, str]:
    """The machine and what runs on it."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "missing"
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / (1 << 30):.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def load() -> float:
    """Processes that wanted a core in the last minute, on average: near 0 on a machine that may be measured on."""
    return os.getloadavg()[0]


def commit() -> str:
    """The commit at hand, with `+` where streamq has been changed since; empty where there is no git."""
    try:
        head = _git("rev-parse", "--short=10", "HEAD").strip()
        return head + ("+" if _git("status", "--porcelain", "--", "streamq").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607


def now() -> str:
    """The time of day."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
