"""What may be done to tasks and to a queue by order of somebody, over connections that may break."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamq import App, Unconfirmed, UsageError
from streamq.keys import Keys
from streamq.queue import Queue
from tests.conftest import wait_until
from tests.integration.api.conftest import MakeApp, stored
from tests.integration.api.tiny import TinyWorker
from tests.proxy import Proxy

if TYPE_CHECKING:
    import redis


def test_a_task_is_cancelled_once(app: App, client: redis.Redis, keys: Keys) -> None:
    """It is gone from its queue, and who did it stands in the history."""
    task_id = app.send("t").id
    assert app.queue.cancel(task_id, by="somebody") == "cancelled"
    assert app.queue.cancel(task_id) == "unknown"
    assert stored(client, keys) == []
    ended: Any = client.xrange(keys["ended"])
    assert [fields[b"worker"] for _, fields in ended] == [b"somebody"]


def test_a_scheduled_task_is_hastened(app: App, server: str, queue_name: str) -> None:
    """It is due now."""

    @app.task
    def t() -> str:
        return "done"

    job = t.options(delay="1h").enqueue()
    assert job.state() == "scheduled"
    assert app.queue.hasten(job.id) == "ok"
    with TinyWorker(server, queue_name, app.registry):
        assert job.result(timeout=30) == "done"
    assert app.queue.hasten("d1-0") == "unknown"


def test_a_dead_letter_is_revived_under_its_id(app: App, server: str, queue_name: str) -> None:
    """With all its deliveries forgiven; its job goes on to give the result."""
    broken = True

    @app.task
    def t() -> str:
        if broken:
            raise OSError("broken")
        return "done"

    with TinyWorker(server, queue_name, app.registry):
        job = t.enqueue()
        wait_until(lambda: job.state() == "dead", "the task is a dead letter")
        broken = False
        assert app.queue.revive(job.id)[0] == "ok"
        assert job.result(timeout=30) == "done"
    assert app.queue.revive(job.id) == ("unknown", "")


def test_a_paused_queue_hands_nothing_out(app: App, server: str, queue_name: str) -> None:
    """Until it is resumed; both say whether they changed anything."""
    assert (app.queue.pause(), app.queue.pause()) == (True, False)
    app.send("t")
    worker = TinyWorker(server, queue_name, app.registry)
    assert worker.run.take(worker.consumer, 10, 10, "hdl").state == "paused"
    assert (app.queue.resume(), app.queue.resume()) == (True, False)
    assert len(worker.run.take(worker.consumer, 10, 10, "hdl").tasks) == 1
    worker.link.close()


def test_purging_removes_what_waits_and_leaves_what_runs(
    app: App, server: str, queue_name: str, client: redis.Redis, keys: Keys
) -> None:
    """Of all priorities, scheduled ones too, in more than one batch."""
    worker = TinyWorker(server, queue_name, app.registry)
    running = app.send("t").id
    assert len(worker.run.take(worker.consumer, 1, 1, "hdl").tasks) == 1
    app.send_many("t", ({"n": n} for n in range(700)))
    app.send_many("t", [{}] * 3, priority="high")
    app.send_many("t", [{}] * 3, priority="low", delay="1h")
    assert app.queue.purge() == 706
    assert [task_id for task_id, _ in stored(client, keys)] == [running]
    worker.link.close()


def test_what_must_not_be_repeated_is_unconfirmed_when_its_reply_is_lost(
    server: str, make_app: MakeApp, app: App, short_dir: Path
) -> None:
    """`unknown` to a second cancel would be a lie; the caller is told to look."""
    job = app.send("t")
    with Proxy(server, short_dir / "proxy.sock") as proxy:
        other = make_app(server__url=proxy.url)
        other.queue.cancel(app.send("t").id)  # the server knows the script from now on
        proxy.mute.set()
        with pytest.raises(Unconfirmed, match=f"cancelling {job.id}"):
            other.queue.cancel(job.id)
    assert job.state() == "cancelled"


def test_what_may_be_repeated_is(server: str, make_app: MakeApp, short_dir: Path, app: App) -> None:
    """Pausing twice does no harm."""
    with Proxy(server, short_dir / "proxy.sock") as proxy:
        other = make_app(server__url=proxy.url)
        other.queue.resume()
        proxy.mute.set()
        pausing = threading.Thread(target=other.queue.pause)
        pausing.start()
        wait_until(lambda: app.queue.pause() is False, "the queue is paused, though nobody was told")
        proxy.mute.clear()
        pausing.join()


def test_nonsense_is_refused_before_the_server_is_asked(app: App) -> None:
    """An id without the form of one, a name that cannot be one."""
    for call in (app.queue.cancel, app.queue.revive, app.queue.hasten, app.job):
        with pytest.raises(UsageError, match="no id of a task"):
            call("7")
    with pytest.raises(UsageError, match="no name of a queue"):
        Queue(app.settings, "a b")
    with pytest.raises(UsageError, match="no name of a queue"):
        App("a/b")
    with pytest.raises(UsageError, match="on_full: expected block or reject"):
        app.enqueue_many([], on_full="drop")
