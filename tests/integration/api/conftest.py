"""Apps on the session's server, each on a queue of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamq import App
from streamq.config import Settings, load
from streamq.keys import Keys

if TYPE_CHECKING:
    import redis

MakeApp = Callable[..., App]


@pytest.fixture
def make_app(server: str, queue_name: str, tmp_path: Path) -> Iterator[MakeApp]:
    """Makes apps on the test's queue; keyword arguments are settings, `queue__max_size=3`, `server__url=…`."""
    apps = []

    def make(**changes: Any) -> App:
        overrides = {"server.url": server, "queue.name": queue_name}
        overrides |= {key.replace("__", "."): value for key, value in changes.items()}
        apps.append(App(settings=settings(overrides, tmp_path)))
        return apps[-1]

    yield make
    for app in apps:
        app.close()


def settings(overrides: dict[str, Any], folder: Path) -> Settings:
    """Settings that no file has a say in."""
    return load(overrides=overrides, environ={}, cwd=folder)


@pytest.fixture
def app(make_app: MakeApp) -> App:
    """An app on the test's queue."""
    return make_app()


@pytest.fixture
def keys(queue_name: str) -> Keys:
    """The keys of the test's queue."""
    return Keys(queue_name)


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="sq") as folder:
        yield Path(folder)


def stored(client: redis.Redis, keys: Keys, letters: str = "hdls") -> list[tuple[str, dict[bytes, bytes]]]:
    """The tasks in the streams of a queue: id and fields, in order."""
    found: list[tuple[str, dict[bytes, bytes]]] = []
    for letter in letters:
        entries: Any = client.xrange(keys.stream(letter))
        found += [(letter + entry.decode(), fields) for entry, fields in entries]
    return found
