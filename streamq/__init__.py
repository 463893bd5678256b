"""streamq: a task queue on Redis Streams that cannot lose a task.

    from streamq import App, Context, Discard, Retry, Snooze, backoff

Everything public is listed here and loaded when it is first used, so that importing streamq costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from streamq import backoff
    from streamq.app import App
    from streamq.context import Context
    from streamq.context import current as current_context
    from streamq.errors import (
        ConfigError,
        InvalidTask,
        LeaseLost,
        QueueFull,
        ResultTimeout,
        ServerError,
        ServerUnreachable,
        ServerUnusable,
        StreamqError,
        TaskFailed,
        TaskUnknown,
        Unconfirmed,
        UsageError,
    )
    from streamq.job import Job
    from streamq.prepared import Prepared
    from streamq.registry import Registry
    from streamq.task import AsyncTask, Task
    from streamq.verdict import Discard, Retry, Snooze

__version__: Final = "0.1.0"

#: Public name -> the module that holds it, and its name there.
_WHERE: Final = {
    "App": "app",
    "AsyncTask": "task",
    "ConfigError": "errors",
    "Context": "context",
    "Discard": "verdict",
    "InvalidTask": "errors",
    "Job": "job",
    "LeaseLost": "errors",
    "Prepared": "prepared",
    "QueueFull": "errors",
    "Registry": "registry",
    "ResultTimeout": "errors",
    "Retry": "verdict",
    "ServerError": "errors",
    "ServerUnreachable": "errors",
    "ServerUnusable": "errors",
    "Snooze": "verdict",
    "StreamqError": "errors",
    "Task": "task",
    "TaskFailed": "errors",
    "TaskUnknown": "errors",
    "Unconfirmed": "errors",
    "UsageError": "errors",
    "current_context": "context.current",
}

__all__ = [
    "App",
    "AsyncTask",
    "ConfigError",
    "Context",
    "Discard",
    "InvalidTask",
    "Job",
    "LeaseLost",
    "Prepared",
    "QueueFull",
    "Registry",
    "ResultTimeout",
    "Retry",
    "ServerError",
    "ServerUnreachable",
    "ServerUnusable",
    "Snooze",
    "StreamqError",
    "Task",
    "TaskFailed",
    "TaskUnknown",
    "Unconfirmed",
    "UsageError",
    "__version__",
    "backoff",
    "current_context",
]


def __getattr__(name: str) -> Any:
    if name == "backoff":
        value: Any = importlib.import_module("streamq.backoff")
    elif name in _WHERE:
        module, _, attribute = _WHERE[name].partition(".")
        value = getattr(importlib.import_module(f"streamq.{module}"), attribute or name)
    else:
        raise AttributeError(f"module 'streamq' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
