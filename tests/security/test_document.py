"""The numbers of docs/security.md are those of the code."""

from __future__ import annotations

import re

from streamq import wire
from streamq.config.fields import fields
from streamq.config.text import written
from tests.security.roles import DOCUMENT


def test_the_table_has_the_defaults() -> None:
    """Each key with its default as a configuration file would hold it."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert len(rows) >= 8
    for key, default in rows:
        assert default == written(fields()[key], fields()[key].default), key
    assert {key for key in fields() if key.startswith("images.limits.")} <= {key for key, _ in rows}


def test_the_limits_of_entries_are_those_that_are_kept() -> None:
    """As the document words them."""
    text = DOCUMENT.read_text()
    assert (wire.ARGS_MOST, wire.ENTRY_MOST - wire.ARGS_MOST) == (1 << 20, 64 << 10)
    for limit in (
        f"{wire.ARGS_MOST >> 20} MiB of JSON",
        f"{wire.DEPTH_MOST} deep",
        f"{wire.NAME_MOST} printable characters",
        f"{wire.KEY_MOST} bytes",
    ):
        assert f"| {limit} |" in text
