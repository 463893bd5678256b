"""Attacks every promise, and prints the table of what was survived; what is in it was measured in this very run.

First the scenarios at full size, each a test with real workers and servers, then chaos for as long as is asked. Exit status 1
where a promise was broken; the test or the round that says so is printed above the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

#: What is attacked, and the test that does it. Each tells what it has measured.
SCENARIOS = {
    "A worker's processes are killed": "test_the_tasks_of_a_killed_worker_run_again_within_seconds",
    "Workers are killed all the time": "test_workers_killed_again_and_again_lose_nothing",
    "Tasks kill their process": "test_poison_is_bounded_and_its_neighbours_do_not_pay",
    "The whole fleet is killed twice": "test_a_fleet_that_is_killed_twice_with_all_in_flight_goes_on",
    "A new release, worker by worker": "test_workers_restarted_one_by_one_under_load_repeat_nothing",
    "The sender's connection breaks": "test_ten_thousand_single_sends_over_new_connections_are_ten_thousand_tasks",
    "The same, sending in bulk": "test_ten_thousand_tasks_in_bulk_over_connections_that_all_break",
}
#: Plants a bug into the scripts and has the model look for it; told once a bug.
PLANTED = "test_a_planted_bug_is_found"


def main() -> None:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(
        prog="scripts/survival", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="of chaos (default 10)")
    parser.add_argument("--seed", help="of chaos (default: drawn, and told)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        held, rows = scenarios(Path(folder) / "figures")
        quiet, chaos_rows = chaos(Path(folder) / "chaos.json", options.minutes, options.seed)
    show(rows + chaos_rows, markdown=options.markdown)
    sys.exit(not (held and quiet))


def scenarios(figures: Path) -> tuple[bool, list[tuple[str, str]]]:
    """Runs the scenarios; returns whether all held, and what each told."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--long",
        "--figures",
        str(figures),
        "-k",
        " or ".join([*SCENARIOS.values(), PLANTED]),
    ]
    done = subprocess.run([*command, "tests/scenarios", "tests/integration/api", "tests/model"], check=False)
    told: dict[str, list[str]] = {}
    for line in figures.read_text().splitlines() if figures.exists() else []:
        entry = json.loads(line)
        told.setdefault(entry["test"], []).append(entry["told"])
    rows = [(what, "; ".join(told.get(test, ["FAILED"]))) for what, test in SCENARIOS.items()]
    rows.append(
        ("Bugs are planted into the scripts", f"{len(told.get(PLANTED, []))}, each found by the random test of all transitions")
    )
    return done.returncode == 0, rows


def chaos(output: Path, minutes: float, seed: str | None) -> tuple[bool, list[tuple[str, str]]]:
    """Runs chaos; returns whether everything held, and its rows."""
    command = [sys.executable, "-m", "tests.chaos", "--minutes", f"{minutes:g}", "--json", str(output)]
    done = subprocess.run([*command, *(["--seed", seed] if seed else [])], check=False)
    told = json.loads(output.read_bytes())
    tasks, faults = told["figures"], told["faults"]
    broken = sum(len(each["broken"]) for each in told["rounds"])
    forgotten = {name.removeprefix("lost by "): many for name, many in tasks.items() if name.startswith("lost by ")}
    what = f"{minutes:g} minutes of chaos, seed {told['seed']}"
    events = {name: many for name, many in faults.items() if not name.startswith("worker asked")}
    came = (
        f"{tasks['accepted']:,} tasks, {sum(events.values()):,} faults of {len(events)} kinds: {broken} promises broken; "
        f"{tasks['repeated']:,} runs repeated, each for a reason"
    )
    lost = ", ".join(f"{many:,} by {name}" for name, many in sorted(forgotten.items())) or "nothing"
    return done.returncode == 0, [
        (what, came),
        ("The server itself is made to forget", f"lost, all of it in what it forgot: {lost}"),
    ]


def show(rows: list[tuple[str, str]], *, markdown: bool) -> None:
    """Prints the table."""
    if markdown:
        print("| attack | what came of it |\n|---|---|")
        for what, came in rows:
            print(f"| {what} | {came} |")
        return
    table = Table("attack", "what came of it", box=box.ROUNDED)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
