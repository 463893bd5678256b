"""Waiting for tasks: every end reaches whoever waits, none is missed, and waiting asks the server nothing."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from streamq import App, Discard, Job, ResultTimeout, Retry, ServerUnreachable, TaskFailed, TaskUnknown, browse
from streamq.keys import Keys
from tests.conftest import wait_until
from tests.integration.api.conftest import MakeApp
from tests.integration.api.tiny import TinyWorker

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from streamq.prepared import Prepared


@dataclass
class Size:
    """A result of a user's own class."""

    width: int
    made: datetime


def test_a_result_comes_back_as_the_handler_says(app: App, server: str, queue_name: str) -> None:
    """Plain values, nothing at all, and classes."""
    now = datetime(2026, 3, 1, tzinfo=UTC)

    @app.task
    def plain(a: int, b: list[str]) -> dict[str, Any]:
        return {"a": a, "b": b}

    @app.task
    def nothing() -> None:
        pass

    @app.task
    async def sized(width: int) -> Size:
        return Size(width, now)

    with TinyWorker(server, queue_name, app.registry):
        assert plain.enqueue(1, b=["x"]).result(timeout=30) == {"a": 1, "b": ["x"]}
        assert nothing.enqueue().result(timeout=30) is None
        job = sized.enqueue(7)
        assert job.result(timeout=30) == Size(7, now)
        assert job.result() == Size(7, now), "and again"
        assert app.job(job.id).result() == {"width": 7, "made": "2026-03-01T00:00:00Z"}, "by the id alone it is plain JSON"
        assert app.send("plain", a=1, b=[]).result(timeout=30) == {"a": 1, "b": []}
    assert job.state() == "finished"
    assert job == app.job(job.id)
    assert len({job, app.job(job.id)}) == 1


def test_a_failed_task_raises_with_the_workers_traceback(app: App, server: str, queue_name: str) -> None:
    """Once it is a dead letter; its retries are waited for."""
    runs = []

    @app.task
    def bad() -> None:
        runs.append(1)
        raise ValueError("no such colour")

    with TinyWorker(server, queue_name, app.registry), pytest.raises(TaskFailed) as caught:
        bad.enqueue().result(timeout=30)
    assert len(runs) == 2
    error = caught.value
    assert (error.state, error.error) == ("dead", "ValueError: no such colour")
    assert error.what == f"task {error.id} is dead: ValueError: no such colour"
    assert "in bad" in str(error)
    assert 'raise ValueError("no such colour")' in str(error)


def test_a_task_that_was_discarded_cancelled_or_unknown_is_told(app: App, server: str, queue_name: str) -> None:
    """Each in its own words."""

    @app.task
    def discarded() -> None:
        raise Discard("not an image")

    with TinyWorker(server, queue_name, app.registry), pytest.raises(TaskFailed, match="dead: not an image"):
        discarded.enqueue().result(timeout=30)
    job = discarded.enqueue()
    assert job.cancel()
    assert not job.cancel()
    with pytest.raises(TaskFailed, match=f"task {job.id} is cancelled"):
        job.result(timeout=30)
    with pytest.raises(TaskUnknown, match="nothing is known of task d1-0"):
        app.job("d1-0").result(timeout=30)


def test_a_wait_that_is_too_long_ends_and_the_task_goes_on(app: App, server: str, queue_name: str) -> None:
    """The same job may be waited for again."""

    @app.task
    def slow() -> str:
        return "done"

    job = slow.enqueue()
    with pytest.raises(ResultTimeout, match=f"task {job.id} has not ended within 10ms"):
        job.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        asyncio.run(job.aresult(timeout="10ms"))
    with TinyWorker(server, queue_name, app.registry):
        assert job.result(timeout=30) == "done"


def test_states_follow_a_task_through_its_life(app: App, server: str, queue_name: str) -> None:
    """As `task show` has them."""

    @app.task
    def handler(again: bool = False) -> None:  # noqa: FBT001, FBT002
        if again:
            raise Retry(after=3600)

    worker = TinyWorker(server, queue_name, app.registry)
    later = handler.options(delay="1h").enqueue()
    job = handler.enqueue(again=True)
    assert (later.state(), job.state()) == ("scheduled", "waiting")
    [handed] = worker.run.take(worker.consumer, 1, 1, "hdl").tasks
    assert job.state() == "running"
    worker._handle(handed)
    assert job.state() == "retrying"
    record = job.record()
    assert (record.args, record.deliveries, record.error) == ({"again": True}, 1, "Retry")
    assert app.job("d1-0").state() == "unknown"
    worker.link.close()


def test_hundreds_of_coroutines_wait_at_the_same_time(app: App, server: str, queue_name: str) -> None:
    """Each gets its own result, in its loop, and handlers may send tasks themselves."""

    @app.task
    async def double(n: int) -> int:
        return 2 * n

    async def all_of_them() -> list[int]:
        jobs = await app.aenqueue_many(double.prepare(n) for n in range(400))
        more = [await double.aenqueue(n) for n in range(400, 410)]
        async with asyncio.timeout(60):
            return list(await asyncio.gather(*jobs, *more))

    with TinyWorker(server, queue_name, app.registry):
        assert asyncio.run(all_of_them()) == [2 * n for n in range(410)]


def test_threads_and_coroutines_that_wait_for_the_same_task_are_all_woken(app: App, server: str, queue_name: str) -> None:
    """And one that gives up harms no other."""

    @app.task
    def handler() -> str:
        return "done"

    job = handler.enqueue()
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(job.result(timeout=30))) for _ in range(4)]

    async def wait() -> None:
        impatient = asyncio.create_task(job.aresult())
        patient = asyncio.create_task(job.aresult(timeout=30))
        await asyncio.sleep(0)
        impatient.cancel()
        with TinyWorker(server, queue_name, app.registry):
            got.append(await patient)

    for thread in threads:
        thread.start()
    asyncio.run(wait())
    for thread in threads:
        thread.join()
    assert got == ["done"] * 5


def test_waiting_asks_the_server_nothing(app: App, client: redis.Redis, keys: Keys) -> None:
    """While nothing ends, one blocked read a second is all there is, however many wait."""
    jobs = [app.send("t") for _ in range(50)]
    seen: list[str] = []
    with client.monitor() as monitor:  # type: ignore[no-untyped-call]
        futures = [job._home.waiters.add(job.id) for job in jobs]
        while sum(command.startswith("XREAD ") for command in seen) < 4:
            command = monitor.next_command()["command"]
            if keys.prefix in command:
                seen.append(command)
    reads = [index for index, command in enumerate(seen) if command.startswith("XREAD ")]
    assert reads[3] - reads[1] == 2, f"after everything was looked up once, only the history is read: {seen[reads[1] :]}"
    assert sum(command.startswith("EVALSHA") for command in seen) <= 50
    for job, future in zip(jobs, futures, strict=True):
        job._home.waiters.forget(job.id, future)


def test_an_end_between_two_looks_is_not_missed(app: App, server: str, queue_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever a task ends: before it is waited for, while it is looked up, or after. Nothing is looked up a second time here."""
    monkeypatch.setattr("streamq.waiters._QUIET", 1e9)

    @app.task
    def handler(n: int) -> int:
        return n

    with TinyWorker(server, queue_name, app.registry):
        for n in range(300):
            assert handler.enqueue(n).result(timeout=30) == n


def test_an_end_between_the_look_up_and_the_next_read_is_seen(
    app: App, server: str, queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place in the history is taken before the look-up: here the task ends just behind that."""
    monkeypatch.setattr("streamq.waiters._QUIET", 1e9)
    find = browse.find

    @app.task
    def handler() -> str:
        return "done"

    worker = TinyWorker(server, queue_name, app.registry)

    def find_and_finish(*args: Any, **kwargs: Any) -> list[browse.Record]:
        records = find(*args, **kwargs)
        worker.step()
        return records

    monkeypatch.setattr("streamq.waiters.browse.find", find_and_finish)
    assert handler.enqueue().result(timeout=30) == "done"
    worker.link.close()


def test_no_end_is_missed_when_the_history_is_too_short(
    make_app: MakeApp, server: str, queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More tasks end at one instant than it keeps: all waiters are woken, if only to learn that nothing is known any more."""
    monkeypatch.setattr("streamq.waiters._QUIET", 1e9)
    app = make_app(worker__history=3)
    jobs = app.send_many("t", [{}] * 30)
    futures = [job._home.waiters.add(job.id) for job in jobs]
    wait_until(lambda: jobs[0]._home.waiters._follower is not None, "the history is followed")
    with app.queue.transitions() as transitions:
        cancels = [transitions.command("cancel", [job.id, 3, "somebody"]) for job in jobs]
        transitions.run("cancel", "d1-0", 3, "somebody")
        transitions.link.batch([["MULTI"], *cancels, ["EXEC"]])
    states = [future.result(30).state for future in futures]
    assert states == ["unknown"] * 27 + ["cancelled"] * 3


def test_waiters_survive_the_loss_of_their_connections(app: App, server: str, queue_name: str, client: redis.Redis) -> None:
    """The history is read on where it was; what ended meanwhile is looked up."""

    @app.task
    def handler(n: int) -> int:
        return n

    jobs = app.enqueue_many(handler.prepare(n) for n in range(20))
    futures = [job._home.waiters.add(job.id) for job in jobs]
    wait_until(lambda: jobs[0]._home.waiters._follower is not None, "the history is followed")
    with TinyWorker(server, queue_name, app.registry) as worker:
        for future in futures:
            for found in client.client_list():
                if found["name"].startswith("streamq-"):
                    client.client_kill_filter(_id=found["id"])
            future.result(30)
        assert worker is not None


def test_a_closed_app_fails_whoever_still_waits(app: App) -> None:
    """Instead of letting them wait for ever; the app can be used again."""
    job = app.send("t")
    failed: list[Exception] = []

    def wait() -> None:
        try:
            job.result()
        except ServerUnreachable as error:
            failed.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    wait_until(lambda: job._home.waiters._waiting, "somebody waits")
    app.close()
    waiter.join()
    assert len(failed) == 1
    assert app.send("t").state() == "waiting"


def test_a_forked_child_waits_for_itself(app: App, server: str, queue_name: str) -> None:
    """The threads that wake do not exist in it, so it makes its own."""

    @app.task
    def handler(n: int) -> int:
        return n

    first, second = handler.enqueue(1), handler.enqueue(2)
    future = first._home.waiters.add(first.id)
    wait_until(lambda: first._home.waiters._follower is not None, "the history is followed")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if second.result(timeout=30) == 2 else 2
        finally:
            os._exit(status)
    with TinyWorker(server, queue_name, app.registry):
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert future.result(30).result == 1


def test_a_result_that_may_be_gone_is_not_reported_as_none(make_app: MakeApp, server: str, queue_name: str, keys: Keys) -> None:
    """A finished task whose result has expired is unknown; one that returns nothing by its annotation has returned None."""
    app = make_app(worker__results="1s")

    @app.task
    def something() -> int:
        return 1

    @app.task
    def nothing() -> None:
        pass

    with TinyWorker(server, queue_name, app.registry) as worker:
        jobs: list[Job[Any]] = [something.enqueue(), nothing.enqueue()]
        for job in jobs:
            wait_until(functools.partial(_has_finished, job), "the task has finished")
        worker.run.link.call("DEL", keys.result(jobs[0].id))
        wait_until(lambda: jobs[0]._may_be_gone(jobs[0].record()), "its result would be gone by now")
        with pytest.raises(TaskUnknown, match="has finished, but results are kept for 1s only"):
            jobs[0].result(timeout=30)
        assert jobs[1].result(timeout=30) is None


def _has_finished(job: Job[Any]) -> bool:
    return job.state() == "finished"


def test_a_bulk_that_is_cancelled_ends(app: App) -> None:
    """What is under way is sent; the rest of the tasks is not even asked for."""
    asked = []
    under_way = threading.Event()

    @app.task
    def double(n: int) -> int:
        return 2 * n

    def endless() -> Iterator[Prepared[int]]:
        for n in itertools.count():
            asked.append(n)
            if n == 1000:
                under_way.set()
            yield double.prepare(n)

    async def cancel() -> None:
        sending = asyncio.create_task(app.aenqueue_many(endless()))
        await asyncio.to_thread(under_way.wait)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    asyncio.run(cancel())  # which waits for the thread
    assert len(asked) >= 1000
