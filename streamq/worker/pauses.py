"""How long a task that failed waits before its next try: by its own backoff, else by the configuration's.

A task's own backoff is code of whoever wrote the task, and it is called where nothing may fail: one that raises or answers
nonsense is told and replaced by the configuration's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from streamq import backoff
from streamq.units import seconds
from streamq.verdict import error_text

if TYPE_CHECKING:
    from streamq.backoff import Backoff
    from streamq.config import Settings
    from streamq.registry import TaskDefinition

_log = logging.getLogger("streamq.worker")


class Pauses:
    """The backoffs of a worker's tasks.

    Args:
        settings: what holds for tasks that have none of their own.
    """

    def __init__(self, settings: Settings) -> None:
        self._configured = backoff.from_config(settings.worker.backoff)

    def of(self, definition: TaskDefinition) -> Backoff:
        """The backoff of a task; its `delay` raises nothing."""
        return _Trusted(definition, self._configured)


class _Trusted:
    def __init__(self, definition: TaskDefinition, configured: Backoff) -> None:
        self._definition = definition
        self._configured = configured

    def delay(self, deliveries: int) -> float:
        """The pause in seconds after the failure of the given delivery."""
        own = self._definition.backoff
        if own is None:
            return self._configured.delay(deliveries)
        try:
            return seconds(own.delay(deliveries))
        except Exception as error:  # noqa: BLE001 - it may do anything, and the task must still be settled
            _log.error("%s: its backoff failed, the configuration's is used: %s", self._definition.name, error_text(error))
            return self._configured.delay(deliveries)
