"""The results as a picture: each figure beside its goal, and other queues beside streamq where they were measured."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.figures import TIMES, Figure, Peer, Results, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_REACHED, _MISSED, _OTHER, _INK, _FAINT = "#2a7f62", "#c8553d", "#b8bec6", "#24292f", "#d9dde2"
#: So many times the goal ends the scale.
_MOST = 2.0
_INCHES = 0.3
_WIDTH = 11.0


def draw(results: Results, path: Path) -> list[Path]:
    """Draw a PNG and an SVG beside each other; returns both.

    Raises:
        BenchError: nothing with a goal was measured.
    """
    judged = [figure for row in results.rows for figure in row.figures if figure.goal is not None]
    if not judged:
        raise BenchError("no figure with a goal was measured", hint="name rows with goals: scripts/bench sync bulk --chart FILE")
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"font.family": "sans-serif", "font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "streamq"})
    parts = [len(judged) + 1] + ([len(results.peers.queues) + 1] if results.peers is not None else [])
    height = sum(parts) * _INCHES + 1.1 * len(parts)
    canvas, axes = plt.subplots(len(parts), 1, figsize=(_WIDTH, height), height_ratios=parts, squeeze=False, layout="constrained")
    _goals(axes[0][0], judged)
    if results.peers is not None:
        _peers(axes[1][0], results.peers.queues)
    files = [path.with_suffix(".png"), path.with_suffix(".svg")]
    canvas.savefig(files[0], dpi=160)
    canvas.savefig(files[1], metadata={"Date": None})
    plt.close(canvas)
    return files


def attainment(figure: Figure, value: float) -> float:
    """A value of a figure as a multiple of its goal: 1 and more is reached, whichever way the goal goes."""
    assert figure.goal is not None  # noqa: S101 - only those with a goal are drawn
    if figure.goal.way == "least":
        return value / figure.goal.bound
    return figure.goal.bound / value if value else _MOST


def _goals(axes: Axes, figures: list[Figure]) -> None:
    """A bar a figure; a line where the goal is."""
    for i, figure in enumerate(figures):
        every = [attainment(figure, value) for value in figure.judged]
        middle = attainment(figure, statistics.median(figure.judged))
        colour = _REACHED if figure.reached else _MISSED
        axes.barh(i, min(middle, _MOST), height=0.62, color=colour, zorder=2)
        low, high = (min(value, _MOST) for value in (min(every), max(every)))
        axes.plot([low, high], [i, i], color=_INK, linewidth=1.1, solid_capstyle="butt", zorder=3)
        axes.text(_MOST * 1.02, i, _caption(figure), va="center", ha="left", color=_INK)
        if middle > _MOST:
            axes.text(_MOST * 0.985, i, f"{middle:.1f} {TIMES}", va="center", ha="right", color="white", weight="bold", zorder=4)
    axes.axvline(1, color=_INK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=4)
    axes.set_xlim(0, _MOST)
    axes.set_xticks([0, 0.5, 1, 1.5, 2], ["0", "0.5", "goal", "1.5", "2"])
    axes.set_title("Measured, as a multiple of the goal (right of the line: better)", loc="left", pad=8, weight="bold")
    _plain(axes, [figure.what.replace("`", "") for figure in figures])


def _caption(figure: Figure) -> str:
    value = number(figure.median, figure.unit)
    if figure.goal is not None and figure.goal.of == "ratio":
        return f"{figure.ratio:.3g} {TIMES} {figure.beside} (goal {figure.goal}), {value}"
    return f"{value} (goal {figure.goal})"


def _peers(axes: Axes, peers: list[Peer]) -> None:
    """Empty tasks a second of each queue, the fastest first."""
    ranked = sorted(((peer.figures["noop"], peer.name) for peer in peers if peer.figures.get("noop")), reverse=True)
    for i, (rate, name) in enumerate(ranked):
        axes.barh(i, rate, height=0.62, color=_REACHED if name == "streamq" else _OTHER, zorder=2)
        axes.text(rate * 1.03, i, number(rate, "/s"), va="center", ha="left", color=_INK)
    axes.set_xscale("log")
    axes.set_xlim(min(rate for rate, _ in ranked) / 2, ranked[0][0] * 2)
    axes.set_title("Empty tasks a second, one worker process, ten slots (logarithmic)", loc="left", pad=8, weight="bold")
    _plain(axes, [name for _, name in ranked])


def _plain(axes: Axes, labels: list[str]) -> None:
    """The names at the left, the first at the top, and no frame."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="both", length=0, colors=_INK)
    axes.grid(axis="x", color=_FAINT, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
