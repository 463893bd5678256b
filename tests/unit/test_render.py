"""What is printed: harmless, aligned, short."""

from __future__ import annotations

import json

import pytest

from streamq.cli.render import Column, Output, ago, compact, safe, span, to_json

HOSTILE = "a\x1b[2J\n\r\t\x00\x07\x7f\x9b31m\u202egpj.exe\u2028\udcff"


def test_safe_text_has_nothing_that_a_terminal_obeys() -> None:
    """Control characters of both sets, separators, marks of direction and broken bytes are spelled out; other writing stays."""
    assert safe(HOSTILE) == r"a\x1b[2J\n\r\t\x00\x07\x7f\x9b31m\u202egpj.exe\u2028\udcff"
    assert safe("Grüße 写真 🙂") == "Grüße 写真 🙂"
    assert safe("x" * 9, 5) == "xxxx…"


def test_json_says_the_same_and_harms_nobody() -> None:
    """Whoever reads it gets the text back; a terminal gets nothing to obey, not even the C1 controls that JSON allows."""
    text = to_json({"a": HOSTILE, "n": 1})
    assert json.loads(text) == {"a": HOSTILE, "n": 1}
    assert text.isascii()
    assert "\x9b" not in text
    assert to_json("ü") == '"ü"'


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"source": "a.jpg", "width": 5, "deep": {"x": [1]}}, 'source=a.jpg width=5 deep={"x":[1]}'),
        ("raw\n", r"raw\n"),
        ([1], "[1]"),
    ],
)
def test_arguments_in_one_cell(args: object, text: str) -> None:
    """Names and values of an object, else JSON."""
    assert compact(args) == text


@pytest.mark.parametrize(
    ("ms", "text"), [(None, "-"), (100_000, "just now"), (99_600, "just now"), (40_000, "1m ago"), (172_000, "in 1m12s")]
)
def test_times_are_relative_for_people(ms: int | None, text: str) -> None:
    """Ago, ahead, or now."""
    assert ago(ms, 100_000) == text


def test_lengths_of_time() -> None:
    """As durations are written."""
    assert (span(None), span(250), span(90_000)) == ("-", "250ms", "1m30s")


def test_rows_in_a_pipe_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """A heading and a line each; numbers to the right, nothing behind the last column, and no row of one text twice as wide."""
    columns = [
        Column("name", lambda row: row[0]),
        Column("n", lambda row: row[1], right=True),
        Column("last", lambda row: row[2]),
    ]
    many = Output(json=False).rows([("a", 5, None), ("bb\n", 1234, "x")], columns)
    assert many == 2
    assert capsys.readouterr().out == "NAME     N  LAST\na        5  -\nbb\\n  1234  x\n"


def test_no_rows_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even a heading."""
    assert Output(json=False).rows([], [Column("name", str)]) == 0
    assert capsys.readouterr().out == ""


def test_pairs_are_aligned_and_leave_out_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    """A value may have several lines."""
    Output(json=False).pairs([("a", "1\n2"), ("long", 3), ("none", None)])
    assert capsys.readouterr().out == "a     1\n      2\nlong  3\n"
