"""`streamq bench` with the rights that the documentation names, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import redis

from tests.cli.conftest import Program
from tests.security.conftest import Serve
from tests.security.roles import People, documented

DOCUMENT = Path(__file__).parents[2] / "docs/security.md"


def more() -> list[str]:
    """What `bench` may do besides everything else."""
    told: list[str] = re.findall(r"`bench` [^.]*?`((?:\+\w+ ?)+)`", DOCUMENT.read_text().replace("\n", " "))
    [rights] = told
    return rights.split()


@pytest.mark.parametrize("missing", [None, 0, 1, 2])
def test_who_may_measure(tmp_path: Path, streamq: Program, serve: Serve, missing: int | None) -> None:
    """With the rights that are named it works, and nothing is left; without one of them it is refused."""
    rights = more()
    assert len(rights) == 3
    port = serve("--requirepass", "admin")
    with redis.Redis(port=port, password="admin") as admin:  # noqa: S106 - of a server of the test's own
        people = People(streamq, admin, port, "images")
        rules = documented()["everything"] + rights + ([] if missing is None else [rights[missing].replace("+", "-")])
        people.user("measurer", rules)
        ended = people.run("measurer", "bench", "--seconds", "50ms", "send", "latency", "--processes", "1")
        if missing is None:
            assert ended.status == 0, ended
            assert admin.dbsize() == 0
        else:
            assert ended.status == 3
            assert "may not do what a queue needs" in ended.err
