"""An app: made without a server, at home in threads, coroutines and workers, and durable where its server is not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamq import App, InvalidTask, QueueFull, UsageError
from streamq import app as app_module
from streamq.keys import Keys
from streamq.server import embedded
from tests.integration.api.conftest import MakeApp, settings, stored
from tests.integration.api.tiny import TinyWorker

if TYPE_CHECKING:
    import redis


def test_an_app_connects_to_nothing_until_something_is_sent(tmp_path: Path) -> None:
    """A module with tasks can be imported where there is no server, and even no right configuration."""
    app = App("images", url="redis://127.0.0.1:1/0", config=tmp_path / "none.yaml")

    @app.task
    def resize(source: str, width: int = 800) -> str:
        return f"{source} {width}"

    assert resize("a.jpg", width=3) == "a.jpg 3"
    assert resize.prepare("a.jpg").args == b'{"source":"a.jpg"}'
    assert resize.__name__ == resize.name == "resize"
    with pytest.raises(InvalidTask, match="task resize: missing source"):
        resize.enqueue()  # type: ignore[call-arg]
    with pytest.raises(UsageError, match=r"none\.yaml"):
        resize.enqueue("a.jpg")


def test_the_configuration_says_which_queue_and_server(
    server: str, queue_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: redis.Redis
) -> None:
    """As for the commands: a file found upward, the environment before it, arguments before both."""
    (tmp_path / "config.yaml").write_text(f"server: {{url: '{server}'}}\nqueue: {{name: {queue_name}, max_size: 3}}\n")
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    with App() as app:
        app.send("t")
        assert app.queue.name == queue_name
        with pytest.raises(QueueFull):
            app.enqueue_many([app.prepare("t", {})] * 5, on_full="reject")
    monkeypatch.setenv("STREAMQ_QUEUE", f"{queue_name}-env")
    with App() as app:
        app.send("t")
    with App(f"{queue_name}-given") as app:
        app.send("t")
    for name, tasks in ((queue_name, 3), (f"{queue_name}-env", 1), (f"{queue_name}-given", 1)):
        assert len(stored(client, Keys(name))) == tasks


def test_options_reach_the_entry(app: App, client: redis.Redis, keys: Keys) -> None:
    """Priority, times and limits; a task with options is another one, on top of those it had."""

    @app.task(retries=9, timeout="1h")
    def t(n: int) -> None:
        pass

    high = t.options(priority="high", timeout="5s", max_deliveries=2)
    high.enqueue(1)
    high.options(priority="low", expires="1h").enqueue(2)
    t.options(delay="1h", unique="k").enqueue(3)
    t.enqueue(4)
    entries = [(task_id[0], fields) for task_id, fields in stored(client, keys)]
    assert [letter for letter, _ in entries] == ["h", "d", "l", "s"]
    assert [json.loads(fields[b"args"])["n"] for _, fields in entries] == [1, 4, 2, 3]
    assert [sorted(fields.keys() - {b"task", b"args"}) for _, fields in entries] == [
        [b"max", b"timeout"], [], [b"expires", b"max", b"timeout"], [b"due", b"key", b"priority"],
    ]  # fmt: skip
    assert (entries[0][1][b"timeout"], entries[0][1][b"max"]) == (b"5000", b"2")


def test_a_unique_task_gives_the_job_that_there_is(app: App) -> None:
    """And says that it is not a new one."""

    @app.task
    def t() -> None:
        pass

    unique = t.options(unique="k")
    first, second = unique.enqueue(), unique.enqueue()
    assert (first.is_new, second.is_new) == (True, False)
    assert first == second


def test_sending_by_name_checks_what_is_known(app: App, client: redis.Redis, keys: Keys) -> None:
    """A task of another program takes any JSON, one of this app is checked."""

    @app.task
    def known(n: int) -> None:
        pass

    app.send("known", n=1)
    app.send("elsewhere", anything=[{"x": None}], path=Path("a"))
    app.send_many("known", [{"n": 2}, {"n": 3}], priority="high")
    with pytest.raises(InvalidTask, match="task known: n: expected `int`"):
        app.send("known", n="1")
    with pytest.raises(InvalidTask, match="task elsewhere: the arguments cannot be written as JSON"):
        app.send("elsewhere", n=object())
    assert [fields[b"args"] for _, fields in stored(client, keys)] == [
        b'{"n":2}', b'{"n":3}', b'{"n":1}', b'{"anything":[{"x":null}],"path":"a"}',
    ]  # fmt: skip


def test_a_coroutine_that_is_cancelled_stops_waiting_for_room(make_app: MakeApp, client: redis.Redis, keys: Keys) -> None:
    """Its thread does not wait on in the background, to send long after."""
    app = make_app(queue__max_size=1)
    app.send("t", n=0)

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await app.asend("t", n=1)

    asyncio.run(impatient())  # ends the threads of the loop, and so would wait for one that still waits
    assert len(stored(client, keys)) == 1


def test_handlers_send_tasks_and_wait_for_them(app: App, server: str, queue_name: str) -> None:
    """Sync and async ones alike; a coroutine waits without holding the worker's thread's server."""

    @app.task
    def leaf(n: int) -> int:
        return n + 1

    @app.task
    def sync_parent(n: int) -> str:
        return leaf.enqueue(n).id

    @app.task
    async def async_parent(n: int) -> str:
        return (await leaf.aenqueue(n)).id

    with TinyWorker(server, queue_name, app.registry):
        ids = [parent.enqueue(5).result(timeout=30) for parent in (sync_parent, async_parent)]
        assert [app.job(task_id).result(timeout=30) for task_id in ids] == [6, 6]


def test_in_a_worker_apps_send_to_its_server(
    server: str, queue_name: str, tmp_path: Path, client: redis.Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the configuration of the working directory says; an app that names a server keeps to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app_module, "_adopted", None)
    monkeypatch.setenv("STREAMQ_URL", "redis://127.0.0.1:1/0")
    before = App()
    app_module.adopt(settings({"server.url": server, "queue.name": queue_name}, tmp_path))
    other = App(f"{queue_name}-other")
    own = App(url="redis://127.0.0.1:2/0")
    before.send("t")
    other.send("t")
    assert len(stored(client, keys)) == len(stored(client, Keys(f"{queue_name}-other"))) == 1
    assert own.settings.server.url == "redis://127.0.0.1:2/0"
    before.close()
    other.close()


def test_a_server_that_is_killed_between_sends_is_revived_by_the_next(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kill -9` of the embedded server under load: the sender goes on by itself, and every id it was given is there."""
    monkeypatch.chdir(short_dir)
    data = short_dir / "data"
    app = App("images", settings=settings({"server.data": str(data), "server.durability": "always"}, short_dir))
    ids = []
    try:
        for n in range(60):
            ids.append(app.send("t", n=n).id)
            if n % 20 == 10:
                pid = embedded.status(data).pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
        waiting = app.queue._repeated(lambda transitions: transitions.link.call("XRANGE", app.queue.keys["default"], "-", "+"))
        assert [f"d{entry.decode()}" for entry, _ in waiting] == ids
    finally:
        app.close()
        embedded.stop(data)
