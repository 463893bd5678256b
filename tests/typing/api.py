"""The types of the public API, for type checkers only: never run. An ignored line must be an error, or the check fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from streamq import App, AsyncTask, Context, Discard, Job, Prepared, Registry, Retry, Snooze, Task, backoff

app = App("images")


@app.task
def plain(source: str, width: int = 800) -> dict[str, int]:
    """A task without options."""
    return {source: width}


@app.task(retries=5, backoff=backoff.exponential(1, 600, jitter=True), retry_on=(OSError,), timeout="2m")
def resize(source: str, width: int = 800, *, ctx: Context = Context.injected) -> bytes:
    """A task with options and its context."""
    assert_type(ctx.fence, tuple[int, int, int])
    assert_type(ctx.cancelled, bool)
    if width == 1:
        raise Retry(after="5m", reason="busy")
    if width == 2:
        raise Snooze(timedelta(minutes=1))
    if width == 3:
        raise Discard("no image")
    return source.encode()


@app.task(name="fetch")
async def fetch(url: str) -> str:
    """An async task."""
    return url


@app.task
async def fan_out(urls: list[str]) -> None:
    """A task that sends others."""
    jobs = [await fetch.aenqueue(url) for url in urls]
    assert_type(await jobs[0], str)


def sync_use() -> None:
    """Threads."""
    assert_type(plain("a.jpg"), dict[str, int])
    job = plain.enqueue("a.jpg", width=3)
    assert_type(job, Job[dict[str, int]])
    assert_type(job.result(timeout=30), dict[str, int])
    assert_type(job.result("30s"), dict[str, int])
    assert_type(job.cancel(), bool)
    assert_type(resize.enqueue("a.jpg"), Job[bytes])
    assert_type(resize.options(priority="high", delay="10m", unique="a").enqueue("a.jpg"), Job[bytes])
    assert_type(resize.prepare("a.jpg", width=1), Prepared[bytes])
    assert_type(app.enqueue_many(resize.prepare(path, width=200) for path in ("a", "b")), list[Job[bytes]])
    assert_type(fetch.enqueue("x").result(), str)
    assert_type(app.send("resize", source="c.jpg", width=64), Job[Any])
    assert_type(app.send_many("resize", [{"source": "a"}], priority="low"), list[Job[Any]])
    with app as same:
        assert_type(same, App)


async def async_use() -> None:
    """Coroutines."""
    assert_type(await plain.aenqueue("a.jpg"), Job[dict[str, int]])
    assert_type(await (await plain.aenqueue("a.jpg")), dict[str, int])
    assert_type(await fetch("x"), str)
    assert_type(await fetch.options(at="18:30").aenqueue("x"), Job[str])
    assert_type(await app.aenqueue_many([fetch.prepare("x")]), list[Job[str]])


def wrong_use() -> None:
    """What a type checker must find."""
    plain.enqueue()  # type: ignore[call-arg]
    plain.enqueue(1)  # type: ignore[arg-type]
    plain.enqueue("a.jpg", height=1)  # type: ignore[call-arg]
    plain.prepare("a.jpg", width="1")  # type: ignore[arg-type]
    plain.options(urgent=True)  # type: ignore[call-arg]
    plain.options(priority="urgent")  # type: ignore[arg-type]
    app.task(retry=1)  # type: ignore[call-overload]
    Retry(after=None, delay=3)  # type: ignore[call-arg]


def kinds() -> None:
    """Sync and async functions make different tasks."""
    assert_type(plain.options(), Task[[str, int], dict[str, int]])  # type: ignore[assert-type]  # names of parameters are kept
    kept: Task[..., dict[str, int]] = plain
    waited: AsyncTask[..., str] = fetch
    assert_type(kept.name, str)
    assert_type(waited.name, str)


registry = Registry()


@registry.task(retries=1)
def kept_as_it_is(a: int) -> int:
    """A registry gives the function itself back."""
    return a


assert_type(kept_as_it_is(1), int)
