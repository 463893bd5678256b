"""`streamq config` as people call it: a process, its output and its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from streamq.config import text
from streamq.config.fields import fields


def run(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m streamq config …` in a directory."""
    return subprocess.run(
        [sys.executable, "-m", "streamq", "config", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_init_writes_what_check_accepts(tmp_path: Path) -> None:
    """The written file is the documented one, whole, and right."""
    assert run(tmp_path, "init").returncode == 0
    assert (tmp_path / "config.yaml").read_text(encoding="utf-8") == text.document()
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    checked = run(tmp_path, "check")
    assert checked.returncode == 0
    assert checked.stdout.startswith(f"ok: {tmp_path / 'config.yaml'}; ")


def test_init_replaces_a_file_only_when_forced(tmp_path: Path) -> None:
    """What the user wrote stays, even a broken file; `--force` replaces it."""
    mine = tmp_path / "config.yaml"
    mine.write_text("broken: [", encoding="utf-8")
    refused = run(tmp_path, "init")
    assert (refused.returncode, mine.read_text(encoding="utf-8")) == (2, "broken: [")
    assert refused.stderr == f"streamq: error: {mine} is there already\nhint: --force replaces it.\n"
    assert run(tmp_path, "init", "--force").returncode == 0
    assert mine.read_text(encoding="utf-8") == text.document()


def test_check_prints_every_fault_and_exits_with_2(tmp_path: Path) -> None:
    """One line a fault, no traceback; a file may be named."""
    (tmp_path / "other.yaml").write_text("queue:\n  nam: x\nworker: {lease: soon}\n", encoding="utf-8")
    checked = run(tmp_path, "check", "other.yaml")
    assert (checked.returncode, checked.stdout) == (2, "")
    assert checked.stderr.splitlines() == [
        "streamq: error: other.yaml:2: queue.nam: unknown key; did you mean name?",
        "streamq: error: other.yaml:3: worker.lease: expected a duration from 1s to 1d, such as 30s or 5m, not 'soon'",
    ]


def test_show_prints_values_origins_and_no_password(tmp_path: Path) -> None:
    """Each key on a line, with where it comes from; the password of an address is masked."""
    (tmp_path / "config.yaml").write_text("server: {url: 'redis://:geheim@h'}\nworker: {lease: 90}\n", encoding="utf-8")
    shown = run(tmp_path, "show", "--origin", "--queue", "mail")
    assert shown.returncode == 0
    assert "geheim" not in shown.stdout
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in shown.stdout.splitlines()}
    assert rows["server.url"] == ['"redis://:***@h"', "config.yaml:1"]
    assert rows["worker.lease"] == ["1m30s", "config.yaml:2"]
    assert rows["queue.name"] == ["mail", "option"]
    assert rows["log.level"] == ["info", "default"]
    assert set(fields()) <= set(rows)


@pytest.mark.parametrize(("asked", "keys"), [("log", ["log.level", "log.format"]), ("worker.lease", ["worker.lease"])])
def test_show_prints_json_of_what_was_asked(tmp_path: Path, asked: str, keys: list[str]) -> None:
    """With `--json` an object a line; a section or a key may be named."""
    rows = [json.loads(line) for line in run(tmp_path, "show", asked, "--json").stdout.splitlines()]
    assert [row["key"] for row in rows] == keys
    assert all(row["origin"] == "default" for row in rows)


def test_show_refuses_a_key_that_there_is_not(tmp_path: Path) -> None:
    """A misspelt key is wrong usage, not an empty answer."""
    refused = run(tmp_path, "show", "worker.lese")
    assert (refused.returncode, refused.stdout) == (2, "")


def test_schema_is_json_and_needs_no_right_configuration(tmp_path: Path) -> None:
    """It is what one needs to mend a broken file."""
    (tmp_path / "config.yaml").write_text("broken: [", encoding="utf-8")
    made = run(tmp_path, "schema")
    assert (made.returncode, json.loads(made.stdout)) == (0, text.schema())
