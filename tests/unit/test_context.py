"""What a handler knows of its own run."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from streamq.context import Context, announce, current
from streamq.errors import LeaseLost


def a_context(**changes: Any) -> Context:
    """The third delivery of a task, changed as asked."""
    facts: dict[str, Any] = {
        "id": "d1764000000000-0",
        "task": "resize",
        "delivery": 3,
        "max_deliveries": 5,
        "worker": "worker1",
        "consumer": "worker1-5f0c",
        "address": "d1764000000000-0",
        "count": 4,
        "sent_ms": 1764000000000,
        "fields": {"tenant": "7"},
        "guard": lambda: None,
        "is_lost": lambda: False,
    }
    return Context(**facts | changes)


def test_a_later_hand_out_has_a_greater_fence() -> None:
    """Of the same entry, and of the entry that a revived task has become."""
    fences = [
        a_context().fence,
        a_context(count=5).fence,
        a_context(count=10).fence,
        a_context(address="d1764000000000-1", count=1).fence,
        a_context(address="d1764000000001-0", count=1).fence,
        a_context(address="d10000000000000-0", count=1).fence,
    ]
    assert fences == sorted(fences)
    assert fences[0] == (1764000000000, 0, 4)


def test_a_run_that_lost_its_lease_says_so_when_asked() -> None:
    """`lost` and `cancelled` cost nothing, `guard` asks for certain."""
    lost = False

    def guard() -> None:
        if lost:
            raise LeaseLost("gone")

    context = a_context(is_lost=lambda: lost, guard=guard)
    assert (context.lost, context.cancelled) == (False, False)
    context.guard()
    lost = True
    assert (context.lost, context.cancelled) == (True, True)
    with pytest.raises(LeaseLost):
        context.guard()


def test_the_context_is_made_only_when_it_is_asked_for() -> None:
    """And once a run."""
    made = []

    def make() -> Context:
        made.append(a_context())
        return made[-1]

    def run() -> None:
        announce(make)
        assert made == []
        assert current() is current() is made[0]
        announce(None)
        assert current() is None

    contextvars.Context().run(run)


def test_coroutines_have_contexts_of_their_own() -> None:
    """Two tasks on one loop do not see each other's."""

    async def run(task_id: str) -> str:
        announce(a_context(id=task_id))
        await asyncio.sleep(0)
        context = current()
        assert context is not None
        return context.id

    async def both() -> list[str]:
        return list(await asyncio.gather(run("d1-0"), run("d2-0")))

    assert asyncio.run(both()) == ["d1-0", "d2-0"]


def test_outside_of_a_task_there_is_no_context() -> None:
    """The default of a handler's parameter says so as soon as it is used."""
    assert contextvars.Context().run(current) is None
    with pytest.raises(AttributeError, match=r"no context outside of a worker.*fence"):
        _ = Context.injected.fence
