"""Which tasks a worker knows: the image task, and those of the modules that `--tasks` names."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from streamq.errors import UsageError
from streamq.images.tasks import build
from streamq.registry import Registry
from streamq.verdict import error_text

if TYPE_CHECKING:
    from types import ModuleType

    from streamq.config import Settings


def load(settings: Settings) -> Registry:
    """The tasks of a worker.

    Raises:
        UsageError: a module cannot be imported, holds no `App` for this queue, or two tasks have one name.
    """
    registry = Registry()
    registry.merge(build(settings))
    for name in settings.worker.tasks:
        registry.merge(_tasks_of(_import(name), settings.queue.name))
    return registry


def _import(name: str) -> ModuleType:
    if name.endswith(".py"):
        raise UsageError(f"--tasks takes the name of a module, not of a file: {name}", hint=f"try --tasks {Path(name).stem}")
    here = str(Path.cwd())
    if here not in sys.path[:1]:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            raise UsageError(
                f"no module named {name} in {here} or among the installed ones", hint="is it spelled as in `import`?"
            ) from error
        raise UsageError(f"module {name} cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"module {name} cannot be imported: {error_text(error)}", hint="see --debug for where") from error


def _tasks_of(module: ModuleType, queue: str) -> Registry:
    from streamq.app import App

    apps = [value for value in vars(module).values() if isinstance(value, App)]
    ours = [app for app in apps if app.queue_name in (None, queue)]
    if not apps:
        raise UsageError(
            f"module {module.__name__} holds no App", hint='give it one: app = App("images"), and @app.task on its functions'
        )
    if not ours:
        others = ", ".join(sorted({str(app.queue_name) for app in apps}))
        raise UsageError(
            f"module {module.__name__} has tasks of queue {others}, not of {queue}", hint=f"consume --queue {others}"
        )
    registry = Registry()
    for app in ours:
        registry.merge(app.registry)
    return registry
