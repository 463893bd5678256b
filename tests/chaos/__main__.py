"""Real workers, real faults, and the whole history checked.

    scripts/chaos --minutes 60 --seed 7

Rounds follow each other. In each, producers send and workers work while processes are killed and halted, connections cut, the
server, its memory, the disk and the database taken away; then all is mended, the queue is worked off, and every task is looked
at. In every second round the server itself is made to forget something, once: what is lost then must lie in what it forgot. A
seed decides what happens and when; what the machine makes of it is another matter.
"""

from __future__ import annotations

import itertools
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from tests.chaos import disk, faults, report
from tests.chaos.fleet import has_containers
from tests.chaos.round import Outcome, Plan, Round
from tests.integration.catalogue.databases import Postgres


def plans(seed: str, seconds: float) -> Iterator[Plan]:
    """The rounds of a run, without end.

    Args:
        seed: of the run.
        seconds: how long the faults of one round go on.
    """
    possible = faults.losses()
    losses = itertools.cycle(random.Random(seed).sample(possible, len(possible)))  # noqa: S311 - to be repeated
    for number in itertools.count(1):
        loss = None if number % 2 else next(losses)
        fsync = "everysec" if loss in faults.OF_EVERYSEC or number % 4 == 3 else "always"
        yield Plan(number, f"{seed}/{number}", seconds, fsync, loss)


@click.command()
@click.option("--minutes", type=click.FloatRange(0.1), default=2.0, show_default=True, help="How long rounds are begun.")
@click.option("--seed", default=None, help="What happens, and when.  [default: drawn, and told]")
@click.option("--round", "only", type=click.IntRange(1), help="Play only this round of the run.")
@click.option("--seconds", type=click.FloatRange(1), default=90.0, show_default=True, help="How long faults of a round go on.")
@click.option("--json", "output", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures to a file.")
def main(minutes: float, seed: str | None, only: int | None, seconds: float, output: Path | None) -> None:
    """Torment streamq, and check that it has kept its promises."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that whatever was started is ended
    seed = seed or str(random.SystemRandom().randrange(10**6))
    print(f"chaos with seed {seed}", flush=True)
    if not has_containers():
        print("no worker in a pid namespace of its own: this user may not start one", flush=True)
    if not disk.can_hold():
        print("no slow fsync: this user may not hold a thread of the server (ptrace)", flush=True)
    if output is not None and not output.parent.is_dir():
        raise click.BadParameter(f"there is no folder {output.parent}", param_hint="--json")
    interrupted = False
    outcomes: list[Outcome] = []
    database, end = Postgres(), time.monotonic() + minutes * 60
    try:
        for plan in plans(seed, seconds):
            if only is not None and plan.number != only:
                continue
            if time.monotonic() > end:
                break
            database.start()
            outcomes.append(Round(plan, database).play())
            report.tell(outcomes[-1])
            if only is not None:
                break
    except KeyboardInterrupt:
        interrupted = True
    finally:
        database.close()
    report.sum_up(seed, outcomes)
    if output is not None:
        output.write_bytes(report.as_json(seed, outcomes))
    sys.exit(130 if interrupted else any(outcome.verdict.faults for outcome in outcomes))


if __name__ == "__main__":
    main()
