"""Figures: what follows from their rounds, how they are kept, and how they come into a document and a picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from scripts.lib.bench import chart, report
from scripts.lib.bench.against import costs_more
from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.figures import Figure, Goal, Hot, Peer, Peers, Profile, Results, Row, number

MACHINE = {"processor": "a processor", "redis": "8.1.0"}


def rate(own: list[float], other: list[float], goal: Goal | None) -> Figure:
    """A rate beside another one."""
    return Figure(what="empty tasks", unit="/s", rounds=own, beside="limit", beside_rounds=other, goal=goal)


def row(name: str, *figures: Figure) -> Row:
    """A row that was measured."""
    at = "2026-01-02T03:04:05+00:00"
    return Row(
        name=name, figures=list(figures), at=at, commit="abc", settings={"rounds": "3"}, machine=MACHINE, server="valkey 9"
    )


def peer(name: str, **figures: float) -> Peer:
    """A queue beside others."""
    return Peer(name=name, version=f"{name} 1.2.3, Python 3.13.0", way="threads", figures=figures)


def results() -> Results:
    """Everything that a file can hold."""
    reached = rate([80.0, 90.0], [100.0, 100.0], Goal(0.75))
    missed = Figure(what="memory `x`", unit="bytes", rounds=[90.0], goal=Goal(80, of="value", way="most"))
    hot = [Hot("settle", 0.5, 2.0, 0.01)]
    profile = Profile(
        at="now",
        commit="abc",
        server="valkey 9",
        machine=MACHINE,
        tasks=10,
        rate=5.0,
        threads=hot,
        functions=hot,
        commands=hot,
    )
    return Results(
        rows=[row("sync", reached), row("bytes", missed)],
        peers=Peers(
            queues=[peer("streamq", noop=9.0, p50=0.25), peer("slow", noop=2.0, p50=0.5, rss=3.0)],
            at="then",
            commit="abc",
            machine=MACHINE,
            server="valkey 9",
            options="--tasks 10",
        ),
        profile=profile,
    )


def test_the_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    """A round in which the machine was slow changes neither ratio nor verdict."""
    figure = rate([80.0, 8.0, 79.0], [100.0, 10.0, 100.0], Goal(0.75))
    assert figure.ratio == pytest.approx(0.8)
    assert figure.median == 79
    assert figure.reached


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (Goal(0.5), True),
        (Goal(0.51), False),
        (Goal(0.5, way="most"), True),
        (Goal(0.49, way="most"), False),
        (Goal(50, of="value"), True),
        (Goal(51, of="value"), False),
        (Goal(50, of="value", way="most"), True),
        (Goal(49, of="value", way="most"), False),
        (None, None),
    ],
)
def test_a_goal_is_of_the_ratio_or_of_the_value_and_goes_either_way(goal: Goal | None, reached: object) -> None:
    """What is just at the goal has reached it."""
    assert rate([50.0], [100.0], goal).reached is reached


def test_results_are_read_as_they_were_written() -> None:
    """What follows from the rounds stands in the file for whoever reads it, and is worked out anew by us."""
    written = results().encode()
    told = msgspec.json.decode(written)["rows"][0]["figures"][0]
    assert (told["median"], told["low"], told["high"], told["ratio"], told["reached"]) == (85, 80, 90, 0.85, True)
    assert msgspec.json.decode(written, type=Results) == results()


def test_a_row_takes_the_place_of_its_older_self() -> None:
    """The others stay, and all stand in the order of the table."""
    kept = results()
    newer = row("sync", rate([1.0], [1.0], None))
    kept.put(newer, ["bytes", "sync"])
    assert [each.name for each in kept.rows] == ["bytes", "sync"]
    assert kept.rows[1] is newer


def test_a_document_is_filled_between_its_marks_and_nowhere_else(tmp_path: Path) -> None:
    """Filling it twice changes nothing more."""
    document = tmp_path / "page.md"
    marks = "\n".join(
        f"before {name}\n<!-- {name}: begin -->\nold\n<!-- {name}: end -->" for name in ("figures", "peers", "profile")
    )
    document.write_text(f"{marks}\nthe end\n")
    report.fill(document, results(), tmp_path / "pictures" / "chart")
    filled = document.read_text()
    assert "old" not in filled
    assert filled.startswith("before figures\n<!-- figures: begin -->\n![")
    assert "(pictures/chart.svg)" in filled
    assert "| empty tasks | 85.0/s | 80.0 to 90.0 | limit: 100/s | 0.85" in filled
    assert "abc" in filled
    assert "| streamq | streamq 1.2.3, Python 3.13.0 | threads | 9.00 | 0.25 | - |" in filled
    assert "| slow | slow 1.2.3, Python 3.13.0 | threads | 2.00 | 0.50 | 3.00 |" in filled
    assert "| slow | 4.5 \N{MULTIPLICATION SIGN} | 0.5 \N{MULTIPLICATION SIGN} | - |" in filled
    assert "valkey 9; options --tasks 10." in filled
    assert filled.endswith("<!-- profile: end -->\nthe end\n")
    report.fill(document, results(), tmp_path / "pictures" / "chart")
    assert document.read_text() == filled


def test_a_document_without_marks_is_left_as_it_is(tmp_path: Path) -> None:
    """The error names the mark."""
    document = tmp_path / "page.md"
    document.write_text("text")
    with pytest.raises(BenchError, match="no section figures"):
        report.fill(document, results(), None)
    assert document.read_text() == "text"


def test_the_document_of_this_package_has_all_marks(tmp_path: Path) -> None:
    """It can be filled."""
    document = tmp_path / "performance.md"
    document.write_text((Path(__file__).parents[2] / "docs" / "performance.md").read_text())
    report.fill(document, results(), tmp_path / "chart")
    assert "Not measured yet" not in document.read_text()


def test_a_chart_is_a_png_and_an_svg(tmp_path: Path) -> None:
    """Both can be read; the SVG holds its words as words."""
    png, svg = chart.draw(results(), tmp_path / "chart")
    with Image.open(png) as picture:
        assert picture.width > 1000
    words = " ".join("".join(each.itertext()) for each in ET.parse(svg).iter() if each.tag.endswith("text"))  # noqa: S314 - ours
    assert "empty tasks" in words
    assert "memory x" in words
    assert "streamq" in words


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    """The hint says what to measure."""
    with pytest.raises(BenchError, match="no figure with a goal"):
        chart.draw(Results(), tmp_path / "chart")


def test_attainment_is_one_at_the_goal_and_more_beyond_it() -> None:
    """Whichever way the goal goes."""
    least, most = rate([1.0], [1.0], Goal(0.5)), rate([1.0], [1.0], Goal(0.5, way="most"))
    assert chart.attainment(least, 1.0) == chart.attainment(most, 0.25) == 2
    assert chart.attainment(least, 0.5) == chart.attainment(most, 0.5) == 1


def test_what_costs_more_than_it_may_is_told() -> None:
    """And nothing else is."""
    slower, same = rate([85.0], [100.0], Goal(0.9)), rate([95.0], [100.0], Goal(0.9))
    [told] = costs_more([slower, same])
    assert "0.85" in told


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.00"), (0.123, "0.12"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (123456, "123,456")]
)
def test_numbers_have_three_figures_or_more(value: float, text: str) -> None:
    """As people write them."""
    assert number(value) == text
