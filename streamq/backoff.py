"""How long a failed task waits before it is tried again: `streamq.backoff`, and what the configuration makes of its section.

    @app.task(backoff=backoff.exponential(1, 600))
    @app.task(backoff=backoff.linear("10s", step="30s", cap="5m"))
    @app.task(backoff=backoff.constant("1m"))

A backoff is an immutable value. With jitter, the pause is drawn evenly from zero to the computed one, so that a thousand tasks
that failed together (a database was down) do not come back together. Called by `verdict.decide`.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol

import msgspec

from streamq.errors import UsageError
from streamq.units import seconds

if TYPE_CHECKING:
    from datetime import timedelta

    from streamq.config.schema import Backoff as Section

    Duration = float | str | timedelta


class Backoff(Protocol):
    """What a task's `backoff` must offer."""

    def delay(self, deliveries: int) -> float:
        """Return the pause in seconds after the failure of the given delivery, counted from 1."""


class Exponential(msgspec.Struct, frozen=True):
    """`base` times `factor` for each further failure, at most `cap`, in seconds."""

    base: float
    cap: float
    factor: float
    jitter: bool

    def delay(self, deliveries: int) -> float:
        """Return the pause in seconds after the failure of the given delivery, counted from 1."""
        try:
            pause = min(self.cap, self.base * self.factor ** (deliveries - 1))
        except OverflowError:
            pause = self.cap
        return _jittered(pause, jitter=self.jitter)


class Linear(msgspec.Struct, frozen=True):
    """`base`, and `step` more for each further failure, at most `cap`, in seconds."""

    base: float
    step: float
    cap: float
    jitter: bool

    def delay(self, deliveries: int) -> float:
        """Return the pause in seconds after the failure of the given delivery, counted from 1."""
        return _jittered(min(self.cap, self.base + self.step * (deliveries - 1)), jitter=self.jitter)


class Constant(msgspec.Struct, frozen=True):
    """The same pause after every failure, in seconds."""

    pause: float

    def delay(self, deliveries: int) -> float:  # noqa: ARG002 - the same for all
        """Return the pause in seconds."""
        return self.pause


def exponential(base: Duration = 1, cap: Duration = 600, factor: float = 2, jitter: bool = True) -> Exponential:  # noqa: FBT001, FBT002
    """Return a backoff of `base` times `factor` for each further failure.

    Args:
        base: pause after the first failure.
        cap: longest pause.
        factor: at least 1.
        jitter: draw each pause evenly from zero to the computed one.

    Raises:
        UsageError: a duration that is none, a factor below 1, or a cap below the base.
    """
    if not 1 <= factor <= 1000:  # noqa: PLR2004
        raise UsageError(f"a backoff's factor lies between 1 and 1000, not {factor!r}")
    return Exponential(_first(base, cap), seconds(cap), float(factor), jitter)


def linear(base: Duration = 1, step: Duration = 1, cap: Duration = 600, jitter: bool = True) -> Linear:  # noqa: FBT001, FBT002
    """Return a backoff of `base`, and `step` more for each further failure.

    Args:
        base: pause after the first failure.
        step: what each further failure adds.
        cap: longest pause.
        jitter: draw each pause evenly from zero to the computed one.

    Raises:
        UsageError: a duration that is none, or a cap below the base.
    """
    return Linear(_first(base, cap), seconds(step), seconds(cap), jitter)


def constant(delay: Duration) -> Constant:
    """Return a backoff of always the same pause.

    Raises:
        UsageError: the pause is no duration.
    """
    return Constant(seconds(delay))


def from_config(section: Section) -> Exponential:
    """Return the backoff that the configuration's `worker.backoff` describes."""
    return Exponential(section.base, section.cap, section.factor, section.jitter)


def _first(base: Duration, cap: Duration) -> float:
    if seconds(cap) < seconds(base):
        raise UsageError(f"a backoff's cap is at least its base, not {cap!r} and {base!r}")
    return seconds(base)


def _jittered(pause: float, *, jitter: bool) -> float:
    return random.uniform(0, pause) if jitter else pause  # noqa: S311 - spreads load, hides nothing
