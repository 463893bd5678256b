"""The ground of a run: a queue that nobody else uses, a folder for its images, and the removal of both.

Nothing of any other queue is read or written. Before anything is written the server is asked whether it has room, and whether
what is written may be removed again. Every key that a queue can have is known from the scripts, results from the history. What a
run cannot remove because it was killed itself, its worker removes; where both are gone, or the server was, the next run sweeps it
(`claim.py`), and the server drops within an hour what a part has left.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamq import history, scripts
from streamq.errors import ServerUnusable, StreamqError
from streamq.keys import BENCHES, QUEUES, Keys
from streamq.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from streamq.config import Settings
    from streamq.server.connect import Link
    from streamq.server.probe import Facts

#: Most tasks that wait at a time, and what they and all around them take of the server's memory, in bytes.
TASKS_MOST: Final = 100_000
MEMORY: Final = 16 << 20
#: A server that would be this full with it is left alone.
_FULL: Final = 0.9
#: Stream that redis-py adds to.
BARE: Final = "bare"
#: Key that is there for as long as a run uses the queue.
CLAIM: Final = "claim"
#: So many endings are kept at least: the results that are to be removed are found in them, and when tasks were started.
HISTORY: Final = 10_000
#: Pixels and bytes of the largest source.
_PIXELS, _SIDE, _SOURCE = 12_000_000, 4000, 64 << 20
_EXPIRE: Final = 3600
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def prepare(settings: Settings, folder: Path, concurrency: int | None, slots: int) -> Settings:
    """The settings of the run: those in force, with a queue, a folder and a catalogue of its own.

    Args:
        settings: those in force.
        folder: for sources, results and catalogue.
        concurrency: slots of a process; None: as configured.
        slots: most slots of all processes together.
    """
    change = msgspec.structs.replace
    limits, worker, bound = settings.images.limits, settings.worker, settings.queue.max_size
    return change(
        settings,
        queue=change(settings.queue, name=f"bench-{secrets.token_hex(4)}", max_size=bound and max(bound, 2 * TASKS_MOST)),
        worker=change(
            worker,
            tasks=["streamq.bench.tasks"],
            concurrency=concurrency or worker.concurrency,
            history=max(worker.history, HISTORY, 2 * slots),
            grace=0.5,
        ),
        images=change(
            settings.images,
            roots=[str(folder)],
            output=str(folder),
            limits=change(
                limits,
                pixels=max(limits.pixels, _PIXELS),
                dimension=max(limits.dimension, _SIDE),
                source_bytes=max(limits.source_bytes, _SOURCE),
            ),
        ),
        catalogue=change(settings.catalogue, url=f"sqlite:///{folder / 'catalogue.db'}"),
        log=change(settings.log, level="warning", format="plain"),
    )


def make_folder() -> Path:
    """A folder of its own."""
    return Path(tempfile.mkdtemp(prefix="streamq-bench-"))


def remove_folder(folder: Path) -> None:
    """Remove a folder and all that is in it; what is gone already is."""
    shutil.rmtree(folder, ignore_errors=True)


def check(link: Link, keys: Keys, server: Facts) -> None:
    """Make sure that the run harms nobody, before anything is written.

    Raises:
        ServerUnusable: the server has hardly any memory left, or would not let the keys be removed.
        ServerError: it does not answer.
    """
    used, most = server.used_memory_bytes, server.max_memory_bytes
    if used is not None and most and used + MEMORY > _FULL * most:
        raise ServerUnusable(
            f"the server uses {human_bytes(used)} of the {human_bytes(most)} that it may, and a run takes up to "
            f"{human_bytes(MEMORY)} more",
            hint="raise its maxmemory, or measure a server of the same kind that holds nothing",
        )
    clear(link, keys)


def names(keys: Keys) -> list[str]:
    """Every key that the queue can have, but for results and the claim."""
    return sorted({keys[name] for script in scripts.names() for name in scripts.load(script).keys} | {keys["ended"], keys[BARE]})


def clear(link: Link, keys: Keys) -> None:
    """Remove every key of the queue; nobody may use it any more.

    Raises:
        ServerError: the server is away, or does not let them be removed.
    """
    clear_results(link, keys)
    gone = [("UNLINK", *names(keys), keys[CLAIM]), ("SREM", QUEUES, keys.queue), ("SREM", BENCHES, keys.queue)]
    for reply in link.batch(gone):
        if isinstance(reply, StreamqError):
            raise reply


def clear_results(link: Link, keys: Keys) -> None:
    """Remove the results that the history tells of."""
    results = [keys.result(ending.id) for ending in history.newest(link, keys)]
    for start in range(0, len(results), 1000):
        link.call("UNLINK", *results[start : start + 1000])


def clear_streams(link: Link, keys: Keys) -> None:
    """Remove what was sent while no worker was there."""
    link.call("UNLINK", keys["default"], keys[BARE])


def expire(link: Link, keys: Keys) -> None:
    """Let the server drop in an hour what nobody has removed by then."""
    for reply in link.batch([("EXPIRE", name, _EXPIRE) for name in names(keys)]):
        if isinstance(reply, StreamqError):
            raise reply


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP end the block by an exception, once: a second one does not cut the removal short."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise  # the program ends, and stays deaf
    except BaseException:
        _restore(before)
        raise
    else:
        _restore(before)


def deafen() -> None:
    """Let no signal interrupt what follows; one that has come just now, too, is passed over in silence."""
    for handler in (lambda *_: None, signal.SIG_IGN):  # the second alone complains about the latter
        for number in _SIGNALS:
            signal.signal(number, handler)


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    deafen()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
