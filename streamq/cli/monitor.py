"""`streamq monitor`: a queue at work, live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
import msgspec

from streamq.cli import figures
from streamq.cli.options import DURATION
from streamq.cli.stats import Reader

if TYPE_CHECKING:
    from streamq.cli.state import State
    from streamq.pending import Pending
    from streamq.stats import Stats

#: How many readings the curve of the throughput goes back at most.
HISTORY: Final = 300
#: How many stuck tasks are named.
_NAMED: Final = 5
_RATES: Final = ("sent", "finished", "failed")


class Moment(NamedTuple):
    """What one reading tells."""

    stats: Stats
    stuck: int
    #: The longest stuck, with what will happen to each.
    named: list[Pending]
    #: Tasks a second since the reading before; empty at the first one.
    rates: dict[str, float]
    #: What finished a second at each reading, the newest last.
    history: tuple[float, ...]


class Watch:
    """Reads a queue again and again, and what changed between two readings.

    Args:
        state: what the command was handed.
    """

    def __init__(self, state: State) -> None:
        from streamq.pending import wanted_by

        self._reader = Reader(state)
        self._wanted = wanted_by(state.settings.worker)._replace(stuck=True, limit=_NAMED)
        self._before: Stats | None = None
        self._history: tuple[float, ...] = ()

    def read(self) -> Moment:
        """What is so now.

        Raises:
            ServerError: the server is away.
        """
        from streamq import pending

        found = self._reader.read()
        stuck = pending.read(self._reader.transitions, self._wanted)
        rates = changes(self._before, found)
        self._before = found
        if rates:
            self._history = (*self._history, rates["finished"])[-HISTORY:]
        return Moment(found, stuck.stuck, stuck.tasks, rates, self._history)


def changes(before: Stats | None, now: Stats) -> dict[str, float]:
    """How many tasks a second were sent, finished and failed between two readings; empty where nothing can be said."""
    if before is None or now.now_ms <= before.now_ms:
        return {}
    seconds = (now.now_ms - before.now_ms) / 1000
    total = {name: getattr(now, f"{name}_total") - getattr(before, f"{name}_total") for name in _RATES}
    return {name: max(0, many) / seconds for name, many in total.items()}


@click.command()
@click.option("--once", is_flag=True, help="Print the view one time.")
@click.option("--interval", type=DURATION, default="1s", show_default=True, metavar="DURATION", help="How often it is read.")
@click.pass_obj
def monitor(state: State, *, once: bool, interval: float) -> None:
    """Watch the queue live: what waits, runs and died, how fast it goes, who works; q or Ctrl-C quits.

    Where stdout is no terminal, the figures are printed in blocks; with --json, one object each interval.
    """
    watch = Watch(state)
    if once:
        _print(state, watch.read())
        return
    from streamq.cli import live

    if not live.can_take_over(state.out):
        live.in_blocks(watch.read, lambda moment: _print(state, moment), interval)
        return
    from streamq.cli.monitor_view import Frame

    live.on_terminal(state.out.console, watch.read, lambda moment, wrong: Frame(moment, wrong, interval), interval)


def _print(state: State, moment: Moment) -> None:
    """Print one reading where no screen is taken over."""
    if state.json:
        state.out.write(_json(moment))
    elif state.out.rich:
        from streamq.cli.monitor_view import Frame

        state.out.console.print(Frame(moment, None, None))
    else:
        state.out.pairs([*figures.pairs(moment.stats), ("stuck", figures.number(moment.stuck))])
        if moment.stats.workers:
            state.out.line("")
            state.out.rows(moment.stats.workers, figures.worker_columns(moment.stats.now_ms))
        state.out.line("")


def _json(moment: Moment) -> dict[str, Any]:
    """The figures as `stats` has them, what is stuck, and the rates since the reading before (null at the first one)."""
    rates = {f"{name}_per_s": round(moment.rates[name], 3) if moment.rates else None for name in _RATES}
    return msgspec.structs.asdict(moment.stats) | {"stuck": moment.stuck} | rates
