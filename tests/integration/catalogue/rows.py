"""Rows that tests write."""

from __future__ import annotations

from typing import Any


def row(**changes: Any) -> dict[str, Any]:
    """A row, with these values changed."""
    return {
        "queue": "images", "id": "d1-0",
        "source": "photos/a.jpg", "output": "processed/a.jpg", "operation": "resize", "format": "jpeg",
        "width": 1200, "height": 800, "bytes": 295_000, "source_bytes": 4_300_000, "sha256": "0" * 64, "worker": "worker1",
        "attempts": 1, "started_ms": 1_764_000_000_000, "finished_ms": 1_764_000_000_100,
    } | changes  # fmt: skip
