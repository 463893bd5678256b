"""`consume --reload`: new children whenever a Python file below the working directory changes. For development.

The watching is `watchfiles`', the extra `reload`. Children finish what they run; a module that cannot be imported is told by its
child, and the next change tries again.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from streamq.errors import UsageError
from streamq.worker.part import Part

if TYPE_CHECKING:
    from collections.abc import Callable


class Reloader:
    """Watches files in a thread.

    Args:
        folder: what is watched, with all below it.
        changed: called after changes, with one of the files.

    Raises:
        UsageError: `watchfiles` is not installed.
    """

    def __init__(self, folder: Path, changed: Callable[[str], None]) -> None:
        try:
            import watchfiles
        except ModuleNotFoundError as error:
            raise UsageError("--reload needs the package watchfiles", hint='pip install "streamq[reload]"') from error
        self._watch = watchfiles.watch
        self._filter = watchfiles.PythonFilter()
        self._folder = folder
        self._changed = changed
        self._stop = threading.Event()
        self._thread = Part(self._work, "reload")

    def start(self) -> None:
        """Starts watching."""
        self._thread.start()

    def stop(self) -> None:
        """Ends watching."""
        self._stop.set()
        self._thread.finish()

    def _work(self) -> None:
        for changes in self._watch(self._folder, watch_filter=self._filter, stop_event=self._stop, raise_interrupt=False):
            _, path = next(iter(changes))
            self._changed(path)
