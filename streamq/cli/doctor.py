"""`streamq doctor`: what the server can promise, what is wrong with a queue, and the mending of it.

Exit status 1: a fault was found, and is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from streamq.cli.figures import number
from streamq.cli.render import note

if TYPE_CHECKING:
    from streamq.cli.state import State
    from streamq.doctor.examine import Report

#: Sign and colour of a level on a terminal.
_SIGNS: Final = {"ok": ("✓", "green"), "note": ("·", "cyan"), "warning": ("!", "yellow"), "fault": ("✗", "bold red")}
_MENDED: Final = ("✓", "bold green")
_AREAS: Final = {"server": "Server", "directory": "Data directory", "workers": "Workers", "queue": "Queue"}


@click.command()
@click.option("--repair", is_flag=True, help="Mend what can be mended without losing a task; settings are left alone.")
@click.pass_obj
def doctor(state: State, *, repair: bool) -> int:
    """Say what the server can promise and what it cannot, and find what is wrong with the queue.

    Nothing is changed without --repair. Exit status 1: a fault was found.
    """
    from streamq.doctor.examine import examine
    from streamq.transitions import Transitions

    link = state.link()
    if state.out.rich:
        with state.out.console.status("looking the queue over"):
            report = examine(link, Transitions(link, state.keys), state.settings, repair=repair)
    else:
        report = examine(link, Transitions(link, state.keys), state.settings, repair=repair)
    if state.json:
        shown = {"ok": report.ok, "findings": report.findings, "queue": report.queue, "looked": report.looked}
        state.out.write(shown)
    elif state.out.rich:
        _picture(state, report)
    else:
        _lines(state, report)
    if not state.json and not repair and any(each.repairable for each in report.findings):
        note("`streamq doctor --repair` mends what can be mended")
    return 0 if report.ok else 1


def _lines(state: State, report: Report) -> None:
    """A line a finding, the level first; what to change is set in."""
    width = max(len(each.id) for each in report.findings)
    for each in report.findings:
        state.out.line(f"{'mended' if each.mended else each.level:<7}  {each.id:<{width}}  {each.what}")
        for text in filter(None, (each.mended, each.mend)):
            state.out.line(f"{'':<{width + 9}}  -> {text}")
    state.out.line(_summary(report))


def _picture(state: State, report: Report) -> None:
    """The findings by what they are about; what is well is told in few words."""
    from rich.padding import Padding
    from rich.table import Table

    console, styled = state.out.console, state.out.styled
    console.print(styled(f"queue {report.queue}, {number(report.looked)} entries and records looked at", "dim"))
    for area, title in _AREAS.items():
        of = [each for each in report.findings if each.area == area]
        if not of:
            continue
        console.print()
        console.print(styled(title, "bold"))
        table = Table.grid(padding=(0, 1))
        for each in of:
            sign, colour = _MENDED if each.mended else _SIGNS[each.level]
            table.add_row(styled(sign, colour), styled(each.what, "dim" if each.level == "ok" and not each.mended else ""))
            for text in filter(None, (each.mended and f"mended: {each.mended}", each.mend)):
                table.add_row("", styled(f"→ {text}", "green" if each.mended else "cyan"))
        console.print(Padding(table, (0, 0, 0, 2)))
    console.print()
    console.print(styled(_summary(report), "bold green" if report.ok else "bold red"))


def _summary(report: Report) -> str:
    """How many of which level, in words."""
    counts = {level: sum(each.level == level for each in report.findings) for level in ("fault", "warning", "note")}
    parts = [f"{many or 'no'} {level}{'s' * (many > 1)}" for level, many in counts.items() if many or level == "fault"]
    mended = sum(each.mended is not None for each in report.findings)
    return ", ".join([*parts, f"{mended} mended"] if mended else parts)
