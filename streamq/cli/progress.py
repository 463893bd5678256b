"""A progress bar on stderr, for what lasts longer than half a second and only where somebody looks at a terminal."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

#: Before this, in seconds, no bar is drawn: what is over by then needs none.
_QUIET = 0.5


class Progress:
    """Counts what is done, and draws it where it lasts.

    Args:
        what: what is being done, such as `sending`.
        total: how much there is to do; None: nobody knows.
        shown: whether it may be drawn at all.
    """

    def __init__(self, what: str, total: int | None = None, *, shown: bool = True) -> None:
        self.done = 0
        self._what = what
        self._total = total
        self._began = time.monotonic()
        self._bar: Bar | None = None
        self._job: Any = None
        self._timer = threading.Timer(_QUIET, self._draw) if shown and sys.stderr.isatty() else None
        if self._timer:
            self._timer.daemon = True

    def advance(self, steps: int = 1) -> None:
        """Count what was done."""
        self.done += steps
        if self._bar:
            self._bar.update(self._job, completed=self.done, rate=self._rate())

    def __enter__(self) -> Self:
        if self._timer:
            self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer.join()
        if self._bar:
            self._bar.stop()

    def _rate(self) -> str:
        return f"{self.done / max(0.001, time.monotonic() - self._began):,.0f}/s"

    def _draw(self) -> None:
        """Begin to draw; called on the timer's thread, which ends with it."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        if self._total is None:
            columns = [SpinnerColumn(), TextColumn("{task.description}  {task.completed:,.0f}"), TimeElapsedColumn()]
        else:
            columns = [
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
            ]
        bar = Progress(*columns, TextColumn("{task.fields[rate]}"), console=Console(stderr=True), transient=True)
        self._job = bar.add_task(self._what, total=self._total, completed=self.done, rate=self._rate())
        bar.start()
        self._bar = bar
