"""What a handler may know of its own run: which task, which delivery, and whether it still owns it.

A handler gets it by a parameter annotated `Context`, or with `current()` from anywhere below. The worker announces each run with
`announce`, which costs one ContextVar write; a `Context` is built only when somebody asks. Its `fence` is what makes a handler's
own effects safe: a number that grows with each hand-out of the task, to be compared where the effect is stored.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token

_current: ContextVar[Context | Callable[[], Context] | None] = ContextVar("streamq.context", default=None)


class Context:
    """One run of one task. Attributes are not to be changed.

    Args:
        id: the task's id.
        task: its name.
        delivery: which delivery this is, counting from 1 those that count against the limit.
        max_deliveries: that limit.
        worker: the worker's name, as people know it.
        consumer: its name in the consumer group, unique for each incarnation of each process.
        address: where the task's entry stands.
        count: the entry's delivery count, hand-backs included; with the consumer it is the fence inside Redis.
        sent_ms: when the task was sent, ms since the epoch on the server's clock.
        fields: the entry's fields that streamq does not know.
        guard: asks Redis; raises `LeaseLost` when the run no longer owns the task.
        is_lost: what the worker knows without asking.
    """

    #: Default of a handler's parameter, for type checkers and readers: `*, ctx: Context = Context.injected`. No context itself.
    injected: ClassVar[Context]

    __slots__ = (
        "_guard", "_is_lost", "address", "consumer", "count", "delivery",
        "fields", "id", "max_deliveries", "sent_ms", "task", "worker",
    )  # fmt: skip

    def __init__(
        self,
        *,
        id: str,  # noqa: A002
        task: str,
        delivery: int,
        max_deliveries: int,
        worker: str,
        consumer: str,
        address: str,
        count: int,
        sent_ms: int,
        fields: Mapping[str, str],
        guard: Callable[[], object],
        is_lost: Callable[[], bool],
    ) -> None:
        self.id = id
        self.task = task
        self.delivery = delivery
        self.max_deliveries = max_deliveries
        self.worker = worker
        self.consumer = consumer
        self.address = address
        self.count = count
        self.sent_ms = sent_ms
        self.fields = fields
        self._guard = guard
        self._is_lost = is_lost

    @property
    def fence(self) -> tuple[int, int, int]:
        """A token that is greater for each later hand-out of the same task: compare it where an effect is stored.

        `UPDATE … WHERE fence < %s`: a run that lost its lease cannot overwrite what a later one has written.
        """
        ms, _, seq = self.address[1:].partition("-")
        return int(ms), int(seq), self.count

    @property
    def lost(self) -> bool:
        """Whether this run no longer owns the task, as far as the worker knows: it was cancelled, or the lease was lost."""
        return self._is_lost()

    @property
    def cancelled(self) -> bool:
        """The same as `lost`: a cancelled task is taken from the run that holds it. To be asked in long loops."""
        return self._is_lost()

    def guard(self) -> None:
        """Make sure, by asking Redis, that the run still owns the task: to be called just before an effect that cannot be undone.

        Raises:
            LeaseLost: it does not; nothing that this run does counts any more.
            ServerError: Redis cannot be asked.
        """
        self._guard()

    def __repr__(self) -> str:
        return f"<Context {self.task} {self.id} delivery {self.delivery} of {self.max_deliveries}>"


class _Injected:
    """Stands for the context where a handler was called without one."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"there is no context outside of a worker: give one where the handler is called ({name} was asked for)"
        )

    def __repr__(self) -> str:
        return "Context.injected"


_INJECTED: Final = _Injected()
Context.injected = cast("Context", _INJECTED)


def current() -> Context | None:
    """Return the context of the run that this thread or coroutine belongs to; None outside of a task."""
    found = _current.get()
    if found is None or isinstance(found, Context):
        return found
    context = found()
    _current.set(context)
    return context


def announce(run: Context | Callable[[], Context] | None) -> Token[Context | Callable[[], Context] | None]:
    """Say which run this thread or coroutine executes from now on; called by the worker's slots.

    Args:
        run: its context, or what makes it when it is asked for; None: no run any more.
    """
    return _current.set(run)
