"""`streamq consume`: what is refused before a worker starts."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Program


@pytest.mark.parametrize("module", ["nomod", "nomod.tasks"])
def test_a_module_that_does_not_exist_is_told_before_anything_starts(alone: Program, module: str) -> None:
    """One error, exit status 2; no process, no server."""
    (alone.folder / "good.py").write_text("raise SystemExit\n", encoding="utf-8")
    ended = alone("consume", "--tasks", "good", "--tasks", module)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.splitlines() == [
        f"streamq: error: no module named {module} in {alone.folder} or among the installed ones",
        "hint: is it spelled as in `import`?",
    ]
    assert [each.name for each in alone.folder.iterdir()] == ["good.py"]
