"""The task `image`: read a photograph, do what is asked for, write the result, note it in the catalogue.

It keeps promise 4 of the design: the output is the whole old file or the whole new one, a run that lost its lease overwrites
neither file nor row (it asks Redis just before each), and the same task run twice leaves the same bytes. What trying again would
not mend is discarded, with the reason, after one try; a missing file, a full disk and a failing one are tried again; a database
that is down delays. A worker gets the task from `build`; senders check with `check`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, BinaryIO

import msgspec
from PIL import Image

from streamq.config import Settings
from streamq.context import Context
from streamq.images import backends, naming, pipeline, writing
from streamq.images.catalogue import Catalogue
from streamq.images.errors import ImageError
from streamq.images.geometry import Fit, Gravity
from streamq.images.operations import OPERATIONS, Colour, Factor, Pixels, Share
from streamq.images.pipeline import Made
from streamq.images.roots import Located, Roots
from streamq.images.work import Work, plan
from streamq.images.writing import Written
from streamq.registry import Registry
from streamq.verdict import Discard

#: The name of the task.
NAME = "image"
#: What the task takes: its own parameters and those of every operation.
PARAMETERS = frozenset(("source", "output", "operation", "steps", "format", "quality", "background")).union(
    *(kind.__struct_fields__ for kind in OPERATIONS.values())
)


class ImageResult(msgspec.Struct, frozen=True):
    """What the task returns."""

    source: str
    output: str
    format: str
    width: int
    height: int
    bytes: int
    source_bytes: int
    #: Of the output, 64 hexadecimal digits.
    sha256: str
    elapsed_ms: int


class ImageTask:
    """The handler of the task, with what it needs from the settings.

    Raises:
        ConfigError: the catalogue's URL cannot be used, or libvips is chosen and not there.
        BadOperation: the name template makes no sense.
    """

    def __init__(self, settings: Settings) -> None:
        self.roots = Roots.of(settings)
        self._settings = settings
        self.catalogue = Catalogue.of(settings)
        self._folder = settings.produce.output
        self._template = settings.produce.name
        self._limits = settings.images.limits
        self._fsync = settings.images.fsync
        self._scaler = backends.scaler(settings)
        naming.check(self._template)

    def run(self, arguments: Mapping[str, Any], ctx: Context) -> ImageResult:
        """Carry out one task.

        Args:
            arguments: a value for each of `PARAMETERS`, None where it was not given.
            ctx: the run.

        Raises:
            Discard: trying again would not help.
            Snooze: the catalogue cannot be written now.
            LeaseLost: the run no longer owns the task.
            OSError: the source is missing, or a disk does not do what it should.
        """
        self.catalogue.ready()
        try:
            return self._run(arguments, ctx)
        except ImageError as error:
            raise Discard(error.what) from error.__cause__

    def _run(self, arguments: Mapping[str, Any], ctx: Context) -> ImageResult:
        started, clock = time.time(), time.monotonic()
        work = plan(arguments)
        source = arguments["source"]
        target = self._target(arguments, work)
        marks = pipeline.marks(work, self._limits, self._mark)
        with self._opened(source, "source") as (stream, found):
            made = pipeline.make(stream, found.st_size, work, self._limits, f"source {source}", self._scaler, marks)
        written = self._write(made, target, found, ctx)
        result = ImageResult(
            source=source,
            output=self.roots.shown(target.path),
            format=work.format.name,
            width=made.size[0],
            height=made.size[1],
            bytes=written.bytes,
            source_bytes=found.st_size,
            sha256=written.sha256,
            elapsed_ms=round((time.monotonic() - clock) * 1000),
        )
        ctx.guard()
        self._record(result, work, started, ctx)
        return result

    @contextmanager
    def _opened(self, path: str, kind: str) -> Iterator[tuple[BinaryIO, os.stat_result]]:
        """A file below the roots, and what is known of it."""
        with self.roots.open_source(path, kind) as descriptor, open(descriptor, "rb", closefd=False) as stream:
            yield stream, os.fstat(descriptor)

    @contextmanager
    def _mark(self, path: str) -> Iterator[tuple[BinaryIO, int]]:
        with self._opened(path, "watermark") as (stream, found):
            yield stream, found.st_size

    def _target(self, arguments: Mapping[str, Any], work: Work) -> Located:
        output = arguments["output"]
        if output is None:
            source = self.roots.source(arguments["source"])
            output = naming.output_path(self.roots, self._folder, self._template, source, work)
        return self.roots.target(output)

    def _write(self, made: Made, target: Located, source: os.stat_result, ctx: Context) -> Written:
        with self.roots.open_folder(target, fsync=self._fsync) as folder:
            if ctx.count > 1:  # an earlier run may have been killed while it wrote
                writing.sweep(folder)
            return writing.write(made.data, target.below.name, folder, source=source, guard=ctx.guard, fsync=self._fsync)

    def _record(self, result: ImageResult, work: Work, started: float, ctx: Context) -> None:
        row = msgspec.to_builtins(result)
        del row["elapsed_ms"]
        row |= {
            "queue": self._settings.queue.name,
            "id": ctx.id,
            "operation": "-".join(work.names),
            "worker": ctx.worker,
            "attempts": ctx.delivery,
        }
        row |= {"started_ms": round(started * 1000), "finished_ms": round(time.time() * 1000)}
        self.catalogue.record(row, ctx.fence)


def build(settings: Settings) -> Registry:
    """Return a registry that holds the task `image`, as these settings have it.

    Raises:
        ConfigError: the catalogue's URL cannot be used, or libvips is chosen and not there.
        BadOperation: the name template makes no sense.
    """
    task = ImageTask(settings)
    registry = Registry()
    if Image.MAX_IMAGE_PIXELS is not None:
        # Pillow's own bound is for the whole process; ours is checked right after, and may be wider.
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, settings.images.limits.pixels)

    @registry.task(name=NAME, retry_on=(OSError, MemoryError))
    def image(
        source: str,
        output: str | None = None,
        operation: str | None = None,
        steps: list[dict[str, Any]] | None = None,
        format: str | None = None,  # noqa: A002 -- the name on the wire
        quality: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None,
        background: Colour | None = None,
        *,
        ctx: Context,
        width: Pixels | None = None,
        height: Pixels | None = None,
        fit: Fit | None = None,
        gravity: Gravity | None = None,
        enlarge: bool | None = None,
        box: tuple[int, int, int, int] | None = None,
        angle: float | None = None,
        expand: bool | None = None,
        direction: str | None = None,
        radius: float | None = None,
        amount: int | None = None,
        thickness: int | None = None,
        color: Colour | None = None,
        brightness: Factor | None = None,
        contrast: Factor | None = None,
        saturation: Factor | None = None,
        mark: str | None = None,
        opacity: Share | None = None,
        scale: Share | None = None,
        margin: int | None = None,
    ) -> ImageResult:
        return task.run({name: value for name, value in locals().items() if name in PARAMETERS}, ctx)

    return registry
