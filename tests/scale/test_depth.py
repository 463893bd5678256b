"""However much a queue holds, a call costs its server the same: as many commands, as many bytes, each of them bounded.

Times are not looked at but told: `--long` fills the deep queue with a million tasks, and prints what each call took.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.lua.bench import Bench
from tests.lua.servers import Server
from tests.scale.bounds import unbounded
from tests.scale.cases import CASES, Case, ready
from tests.scale.cost import Cost, measure, watch

#: What looks over everything, in slices; each of its commands is bounded all the same.
WHOLE = {"doctor"}
#: By how much answers may differ, as a share and in bytes: numbers are longer in a deep queue.
LONGER, A_LITTLE = 1.1, 50
#: Things that the doctor looks at in one script, at most.
SLICE = 500
#: A time is the least of so many calls.
TIMES = 15


def cost_of(bench: Bench, case: Case, times: int = 2) -> Cost:
    """The least that a call costs of several: whoever opens a minute has a little more to do."""
    costs = []
    for _ in range(times):
        with ready(bench, case) as call:
            costs.append(measure(bench.client, call))
    commands = Counter(costs[0].commands)
    for each in costs:
        commands &= Counter(each.commands)
    return Cost(dict(commands), min(each.micros for each in costs), min(each.longest for each in costs), costs[-1].answered)


@pytest.mark.parametrize("name", sorted(CASES.keys() - WHOLE))
def test_a_call_costs_the_same_at_any_depth(
    name: str, shallow: Bench, deep: Bench, tell: Callable[[str], None], *, is_long: bool
) -> None:
    """As many commands in the deep queue as in the shallow one, and answers of the same length."""
    times = TIMES if is_long else 2
    little, much = (cost_of(bench, CASES[name], times) for bench in (shallow, deep))
    if is_long:
        tell(f"{name:24} {little.micros:6} µs {much.micros:6} µs, {sum(much.commands.values())} commands")
    assert much.commands == little.commands
    assert much.answered <= little.answered * LONGER + A_LITTLE


def test_the_doctor_looks_over_everything_in_slices(deep: Bench, tell: Callable[[str], None], *, is_long: bool) -> None:
    """What is parked, scheduled or recorded is looked at in scripts of five hundred at most."""
    parked, scheduled = deep.client.zcard(deep.keys["retry:default"]), deep.client.zcard(deep.keys["scheduled:default"])
    with ready(deep, CASES["doctor"]) as call:
        cost = measure(deep.client, call)
    if is_long:
        tell(f"doctor {cost.micros} µs, {cost.commands['evalsha']} scripts, the longest {cost.longest} µs")
    assert cost.commands["evalsha"] > (3 * parked + 2 * scheduled) / SLICE


@pytest.mark.parametrize("name", sorted(CASES))
def test_no_command_reads_more_than_a_page(name: str, shallow: Bench, depth_server: Server) -> None:
    """Each command that the server runs, in scripts too, is bounded by its own words."""
    with ready(shallow, CASES[name]) as call:
        seen = watch(shallow.client, f"{depth_server.folder}/s", call)
    assert seen
    assert not [words[:12] for words in seen if unbounded(words)]
