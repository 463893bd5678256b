"""What a run of chaos came to, in lines that can be read and pasted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tests.chaos.round import Outcome

#: Broken promises that are told of one round.
_MOST = 10


def tell(outcome: Outcome) -> None:
    """Print what became of a round."""
    figures, broken = outcome.verdict.figures, outcome.verdict.faults
    lost = sum(many for name, many in figures.items() if name.startswith("lost by"))
    print(
        f"{outcome.plan.title}: {figures['accepted']} accepted, {figures['finished']} finished, {figures['dead']} dead, "
        f"{figures['repeated']} repeated, {lost} lost with the server's memory, {sum(outcome.faults.values())} faults, "
        f"{outcome.seconds:.0f} s: {'BROKEN' if broken else 'held'}",
        flush=True,
    )
    for each in broken[:_MOST]:
        print(f"  {each}", flush=True)
    if len(broken) > _MOST:
        print(f"  and {len(broken) - _MOST} more", flush=True)
    if outcome.folder is not None:
        print(f"  kept in {outcome.folder}", flush=True)


def sum_up(seed: str, outcomes: Sequence[Outcome]) -> None:
    """Print what became of all rounds."""
    figures, faults = _totals(outcomes)
    broken = sum(bool(outcome.verdict.faults) for outcome in outcomes)
    print(f"\nseed {seed}: {len(outcomes)} rounds in {sum(outcome.seconds for outcome in outcomes) / 60:.0f} minutes")
    for title, counted in (("tasks", figures), ("faults", faults)):
        print(f"  {title}")
        for name, many in sorted(counted.items()):
            print(f"    {name:<48}{many:>10,}")
    print(f"  promises broken in {broken} of {len(outcomes)} rounds")


def as_json(seed: str, outcomes: Sequence[Outcome]) -> bytes:
    """All figures."""
    figures, faults = _totals(outcomes)
    rounds = [
        {"round": each.plan.number, "title": each.plan.title, "figures": each.verdict.figures, "broken": each.verdict.faults}
        for each in outcomes
    ]
    told = {"seed": seed, "figures": figures, "faults": faults, "rounds": rounds}
    return msgspec.json.format(msgspec.json.encode(told))


def _totals(outcomes: Sequence[Outcome]) -> tuple[Counter[str], Counter[str]]:
    figures: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for outcome in outcomes:
        figures += outcome.verdict.figures
        faults += outcome.faults
    return figures, faults
