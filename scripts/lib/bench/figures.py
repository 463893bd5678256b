"""What was measured, as it is kept in a file: every round, what stands beside it, and the goal."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

TIMES = "\N{MULTIPLICATION SIGN}"


class Goal(msgspec.Struct, frozen=True):
    """What is to be reached.

    Args:
        bound: the value.
        of: `ratio`: of the ratio to what stands beside it; `value`: of the figure itself.
        way: `least` or `most`.
    """

    bound: float
    of: Literal["ratio", "value"] = "ratio"
    way: Literal["least", "most"] = "least"

    def __str__(self) -> str:
        return f"{'≥' if self.way == 'least' else '≤'} {self.bound:g}{f' {TIMES}' if self.of == 'ratio' else ''}"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    #: What was measured, in words.
    what: str
    unit: str
    #: One value a round.
    rounds: list[float]
    #: What stands beside it, measured in the same rounds.
    beside: str | None = None
    beside_rounds: list[float] = []
    goal: Goal | None = None

    @property
    def median(self) -> float:
        """Of all rounds."""
        return statistics.median(self.rounds)

    @property
    def ratios(self) -> list[float]:
        """The ratio to what stands beside it, round by round; none where nothing does."""
        return [own / other for own, other in zip(self.rounds, self.beside_rounds, strict=False)]

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios: what disturbs the machine disturbs both sides of a round."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def judged(self) -> list[float]:
        """What the goal is about, round by round."""
        return self.ratios if self.goal is not None and self.goal.of == "ratio" else self.rounds

    @property
    def reached(self) -> bool | None:
        """Whether the goal was reached; None where there is none."""
        if self.goal is None:
            return None
        value = statistics.median(self.judged)
        return value >= self.goal.bound if self.goal.way == "least" else value <= self.goal.bound

    def told(self) -> dict[str, Any]:
        """The figure with what follows from its rounds."""
        summary = {"median": self.median, "low": min(self.rounds), "high": max(self.rounds), "reached": self.reached}
        if self.ratios:
            summary |= {"ratio": self.ratio, "ratio_low": min(self.ratios), "ratio_high": max(self.ratios)}
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain | {name: round(value, 4) if isinstance(value, float) else value for name, value in summary.items()}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one name of the command line stands for, as it was measured once."""

    name: str
    figures: list[Figure]
    #: When, ISO 8601.
    at: str
    #: Of the code, with `+` where it had been changed.
    commit: str
    #: What differs from the rule: rounds, sizes.
    settings: dict[str, Any]
    machine: dict[str, str]
    server: str


class Hot(msgspec.Struct, frozen=True):
    """A line of a profile."""

    what: str
    #: Share, or microseconds a call.
    own: float
    #: Share with what it calls, or microseconds a task.
    total: float
    #: Calls a task, where they were counted.
    calls: float | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of an empty task goes."""

    at: str
    commit: str
    server: str
    machine: dict[str, str]
    tasks: int
    #: Tasks a second while it was watched.
    rate: float
    threads: list[Hot]
    functions: list[Hot]
    commands: list[Hot]


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Another queue, or streamq beside them, as a benchmark of theirs measured it."""

    name: str
    #: Of its packages, and of what runs them.
    version: str
    #: How it was set up, in a word.
    way: str
    #: By the benchmark's column.
    figures: dict[str, float]


class Peers(msgspec.Struct, frozen=True, kw_only=True):
    """Queues that were measured one after another."""

    at: str
    commit: str
    machine: dict[str, str]
    server: str
    #: The benchmark's options that were not its own.
    options: str
    #: The fastest first.
    queues: list[Peer]


class Results(msgspec.Struct):
    """All that a file holds."""

    rows: list[Row] = []
    peers: Peers | None = None
    profile: Profile | None = None

    def put(self, row: Row, order: Sequence[str]) -> None:
        """Add a row, in place of an older one of its name; rows stand in this order."""
        kept = {each.name: each for each in self.rows} | {row.name: row}
        self.rows = sorted(kept.values(), key=lambda each: order.index(each.name) if each.name in order else len(order))

    def encode(self) -> bytes:
        """The file."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        for told, row in zip(plain["rows"], self.rows, strict=True):
            told["figures"] = [figure.told() for figure in row.figures]
        return msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n"


def number(value: float, unit: str = "") -> str:
    """A value as people read it: three figures or more."""
    digits = max(0, 2 - int(math.log10(abs(value)))) if abs(value) >= 1 else 2
    text = f"{value:,.{digits}f}"
    return f"{text} {unit}".strip() if unit and unit != "/s" else text + unit
