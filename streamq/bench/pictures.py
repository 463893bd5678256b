"""How many thumbnails a second the worker makes of photographs: the samples that the package carries, at 12 megapixels."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from streamq.bench.field import took
from streamq.bench.figures import Images
from streamq.images import pipeline
from streamq.images.roots import SAMPLES
from streamq.images.tasks import NAME
from streamq.images.work import plan

if TYPE_CHECKING:
    from pathlib import Path

    from streamq.app import App
    from streamq.bench.field import Field
    from streamq.config.schema import Limits
    from streamq.prepared import Prepared

WIDTH: Final = 4000
HEIGHT: Final = 3000
THUMBNAIL: Final = 800
#: How many of the samples are used; each takes part of a second to enlarge.
_SAMPLES: Final = 3
#: Images of a process before the clock runs, and the most of all; each leaves a small file until the end.
_FIRST, _MOST = 4, 500


def measure(app: App, field: Field, folder: Path, processes: int, seconds: float) -> Images:
    """Enlarge samples, let the worker warm up on some, and measure as many as take so many seconds."""
    sources = [_enlarged(sample, folder, app.settings.images.limits) for sample in sorted(SAMPLES.glob("*.jpg"))[:_SAMPLES]]
    numbers = itertools.count()

    def tasks(many: int) -> list[Prepared[object]]:
        made = zip(itertools.cycle(sources), numbers, strict=False)
        return [_task(app, source, number) for source, number in itertools.islice(made, many)]

    first = _FIRST * processes
    many = max(processes, min(_MOST, round(first / took(field.run(tasks(first))) * seconds)))
    lasted = took(field.run(tasks(many)))
    return Images(
        tasks=many,
        per_s=round(many / lasted, 2),
        width=WIDTH,
        height=HEIGHT,
        source_bytes=round(sum(source.stat().st_size for source in sources) / len(sources)),
        thumbnail=THUMBNAIL,
    )


def _task(app: App, source: Path, number: int) -> Prepared[object]:
    args = {"source": source.name, "output": f"results/{number}.jpg", "operation": "thumbnail"}
    return app.prepare(NAME, args | {"width": THUMBNAIL, "height": THUMBNAIL})


def _enlarged(sample: Path, folder: Path, limits: Limits) -> Path:
    """The photograph in the size that is measured."""
    work = plan(
        {
            "source": sample.name,
            "operation": "resize",
            "width": WIDTH,
            "height": HEIGHT,
            "fit": "cover",
            "enlarge": True,
            "format": "jpeg",
        }
    )
    path = folder / sample.name
    with sample.open("rb") as stream:
        path.write_bytes(pipeline.make(stream, sample.stat().st_size, work, limits, str(sample)).data)
    return path
