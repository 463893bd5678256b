"""The handlers: which function runs a task of which name.

A registry does no input or output; a worker looks tasks up in it, `App.task` binds a sender to one of its definitions, and the
image task registers itself like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from streamq.definition import InvalidResult, Options, TaskDefinition
from streamq.errors import UsageError
from streamq.options import only
from streamq.signature import Arguments, where

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Arguments", "InvalidResult", "Registry", "TaskDefinition"]

F = TypeVar("F", bound="Callable[..., Any]")


class Registry:
    """Tasks by name. Definitions are added while modules are imported, and only read afterwards."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskDefinition] = {}

    @overload
    def task(self, function: F, /) -> F: ...
    @overload
    def task(self, /, **options: Unpack[Options]) -> Callable[[F], F]: ...
    def task(self, function: F | None = None, /, **options: Unpack[Options]) -> F | Callable[[F], F]:
        """Register a function as the handler of a task: `@registry.task`, or with options (see `TaskDefinition`).

        Raises:
            UsageError: an option or the signature makes no sense, or another function has this name.
        """
        only(options, Options.__annotations__)

        def register(handler: F) -> F:
            self.add(TaskDefinition(handler, **options))
            return handler

        return register if function is None else register(function)

    def add(self, definition: TaskDefinition) -> TaskDefinition:
        """Add a definition.

        Raises:
            UsageError: another function has this name.
        """
        known = self._tasks.setdefault(definition.name, definition)
        if known is not definition and known.function is not definition.function:
            ours, theirs = where(known.function), where(definition.function)
            raise UsageError(f"two functions are named task {definition.name}: {ours} and {theirs}", hint="Give one name=….")
        return known

    def get(self, name: str) -> TaskDefinition | None:
        """Return the task of a name, or None."""
        return self._tasks.get(name)

    def names(self) -> list[str]:
        """Return the names of all tasks, sorted."""
        return sorted(self._tasks)

    def limits(self) -> dict[str, int]:
        """Return how often tasks are delivered at most, by name, for those that say so themselves."""
        return {name: each.max_deliveries for name, each in self._tasks.items() if each.max_deliveries is not None}

    def merge(self, other: Registry) -> None:
        """Add the tasks of another registry.

        Raises:
            UsageError: both have a task of one name with different functions; nothing of it is added then.
        """
        for definition in other._tasks.values():
            known = self._tasks.get(definition.name)
            if known is not None and known.function is not definition.function:
                self.add(definition)
        self._tasks = other._tasks | self._tasks

    def __contains__(self, name: str) -> bool:
        return name in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)
