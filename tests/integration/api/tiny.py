"""A worker of a hundred lines, for tests of what waits for one: it takes, runs and settles by the same transitions."""

from __future__ import annotations

import asyncio
import inspect
import threading
from types import TracebackType
from typing import Any, Self

import msgspec

from streamq import backoff, results, wire
from streamq.keys import Keys, new_consumer
from streamq.registry import Registry
from streamq.replies import Handed
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.transitions import Bury, Park, Transitions
from streamq.verdict import decide


class TinyWorker:
    """Runs the tasks of a registry, one after another, while it is entered.

    Args:
        server: address of the server.
        queue: name of the queue.
        registry: what it knows.
        history: how many endings it keeps.
    """

    def __init__(self, server: str, queue: str, registry: Registry, *, history: int = 10_000) -> None:
        self.link = Link(Endpoint(server))
        self.run = Transitions(self.link, Keys(queue), history=history)
        self.consumer = new_consumer("tiny")
        self.registry = registry
        self.run.open()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="tiny-worker")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self.link.close()

    def step(self) -> int:
        """Take some tasks and settle each; returns how many there were."""
        taken = self.run.take(self.consumer, 50, 10, "hdl").tasks
        for handed in taken:
            self._handle(handed)
        return len(taken)

    def _work(self) -> None:
        while not self._stop.is_set():
            if not self.step():
                self._stop.wait(0.005)

    def _handle(self, handed: Handed) -> None:
        task = wire.parse(handed.address, handed.fields)
        try:
            value = self._call(task)
        except BaseException as error:  # noqa: BLE001 - as any worker
            self._failed(handed, task, error)
        else:
            self._finished(handed, task, value)

    def _call(self, task: wire.Task) -> bytes | None:
        definition = self.registry.get(task.name)
        assert definition is not None
        value: Any = definition.call(definition.decode(task.args))
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        return definition.dump(value)

    def _finished(self, handed: Handed, task: wire.Task, value: bytes | None) -> None:
        extras: list[str | bytes | int] = [1, task.id, task.key or "", b""]
        if value is not None:
            attempts = handed.attempts.split(b"\n") if handed.attempts else []
            extras[3] = results.encode(
                value, attempts=attempts, worker="tiny", started_ms=1, ended_ms=2, deliveries=handed.deliveries
            )
        line = f"{task.id}\tfinished\t1\t1\t{handed.deliveries}\t{task.name}"
        fences = [(handed.address, handed.count)]
        self.run.settle(self.consumer, "tiny", 60_000, line, "w0 1 r0 1", fences, extras, [task.id] if value is not None else [])

    def _failed(self, handed: Handed, task: wire.Task, error: BaseException) -> None:
        limit = task.max_deliveries or 2
        retry_on = (BaseException,)
        verdict = decide(error, deliveries=handed.deliveries, limit=limit, backoff=backoff.constant(0), retry_on=retry_on)
        attempt = msgspec.json.encode({"delivery": handed.deliveries, "worker": "tiny", "error": verdict.error})
        if verdict.kind == "bury":
            letter = Bury(
                handed.address, handed.count, verdict.reason, verdict.error, verdict.traceback, attempt,
                failed=True, not_started=0, task=task.name,
            )  # fmt: skip
            self.run.bury(self.consumer, "tiny", letter)
        else:
            self.run.park(self.consumer, [Park(handed.address, handed.count, verdict.delay_ms, verdict.kind, attempt)])
