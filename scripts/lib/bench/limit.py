"""`limit`: the least that a Python process can do for one task on a stream, which is what streamq is held against.

It is no queue: no leases, no retries, no results, no slots, and a task that kills it is read again by nobody. It reads 500
entries, runs them one after another, and acknowledges and deletes them in one pipeline, all of it with redis-py as it comes.

    python -m scripts.lib.bench.limit      works until it is ended
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import redis

from scripts.lib.bench import bodies

STREAM = "bench"
_GROUP = "limit"
_COUNT, _BLOCK_MS = 500, 1000

client = redis.Redis.from_url(os.environ.get("BENCH_URL", "redis://"))


def single(kind: str, sent: float) -> None:
    """Send one task."""
    client.xadd(STREAM, {"args": json.dumps([kind, sent])})


def bulk(kind: str, number: int) -> None:
    """Send tasks in one pipeline."""
    pipeline = client.pipeline(transaction=False)
    for _ in range(number):
        pipeline.execute_command("XADD", STREAM, "*", "args", json.dumps([kind, 0.0]))  # type: ignore[no-untyped-call]
    pipeline.execute()


def work() -> None:
    """Run tasks, for ever."""
    with contextlib.suppress(redis.ResponseError):  # the group is there
        client.xgroup_create(STREAM, _GROUP, "0", mkstream=True)
    client.response_callbacks.pop("XREADGROUP", None)  # the reply as it came: the least work
    read = ("XREADGROUP", "GROUP", _GROUP, "1", "COUNT", _COUNT, "BLOCK", _BLOCK_MS, "STREAMS", STREAM, ">")
    while True:
        reply = client.execute_command(*read)  # type: ignore[no-untyped-call]
        if reply:
            _run(_entries(reply))


def _entries(reply: Any) -> list[tuple[bytes, list[bytes]]]:
    """The entries of a reply, in either version of the protocol."""
    entries: list[tuple[bytes, list[bytes]]] = reply[STREAM.encode()] if isinstance(reply, dict) else reply[0][1]
    return entries


def _run(entries: list[tuple[bytes, list[bytes]]]) -> None:
    ids = []
    for entry, (_, args) in entries:
        bodies.run(*json.loads(args))
        ids.append(entry)
    pipeline = client.pipeline(transaction=False)
    pipeline.execute_command("XACK", STREAM, _GROUP, *ids)  # type: ignore[no-untyped-call]
    pipeline.execute_command("XDEL", STREAM, *ids)  # type: ignore[no-untyped-call]
    pipeline.execute()


if __name__ == "__main__":
    work()
