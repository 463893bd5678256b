"""The checks of the code are those of the documentation: ids, levels and what is mended."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from streamq.doctor.finding import CHECKS, LEVELS
from streamq.doctor.mend import _DONE
from streamq.doctor.queue import _WORDS

ROOT = Path(__file__).parents[3]
#: A line of the tables: the id, bold where it is mended, and its levels.
LINE = re.compile(r"^\| (\*\*)?`([a-z-]+)`(?:\*\*)? \| ([a-z, ]+) \| (.+) \|$", re.MULTILINE)
AREAS = {"Server": "server", "Data directory, of the embedded server": "directory", "Workers": "workers", "Queue": "queue"}


def documented() -> dict[str, tuple[str, bool, set[str]]]:
    """Id -> area, whether it is mended, levels."""
    text = (ROOT / "docs" / "doctor.md").read_text()
    found = {}
    for title, area in AREAS.items():
        section = text.partition(f"### {title}\n")[2].partition("\n#")[0]
        for bold, name, levels, _ in LINE.findall(section):
            found[name] = (area, bool(bold), set(levels.split(", ")))
    return found


def levels_in_code() -> dict[str, set[str]]:
    """Id -> the levels that calls of `finding` give it where both are written out."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "streamq" / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "finding":
                check, level = node.args[:2]
                if isinstance(check, ast.Constant):
                    found.setdefault(str(check.value), set()).update(_constants(level))
    for name, words in _WORDS.items():
        found[name] = {words.level, "ok"}
    return found


def _constants(node: Any) -> set[str]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and each.value in LEVELS}


def test_every_check_is_documented_and_every_documented_one_exists() -> None:
    """In the section of its area, bold where `--repair` mends it."""
    assert {name: each[:2] for name, each in documented().items()} == {
        name: (check.area, check.mends) for name, check in CHECKS.items()
    }
    assert {name for name, check in CHECKS.items() if check.mends} == set(_DONE)


def test_every_level_that_a_check_has_is_documented() -> None:
    """And none that it never has."""
    told = levels_in_code()
    told["clock"] |= {"note", "warning"}  # chosen by the size of the difference
    assert {name: each[2] for name, each in documented().items()} == told
