"""What `import streamq` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import streamq


def test_every_public_name_is_there() -> None:
    """`__all__` is what is public: each name is found, is documented, and nothing else is listed."""
    assert sorted(streamq.__all__) == streamq.__all__
    assert set(streamq.__all__) == {*streamq._WHERE, "backoff", "__version__"}
    for name in streamq.__all__:
        assert getattr(streamq, name).__doc__
    assert set(streamq.__all__) <= set(dir(streamq))


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'Worker'"):
        _ = streamq.Worker


def test_the_version_is_that_of_the_package() -> None:
    """It is written in two places, and they agree."""
    project = tomllib.loads((Path(streamq.__file__).parents[1] / "pyproject.toml").read_text())
    assert streamq.__version__ == project["project"]["version"]


def test_importing_streamq_loads_nothing_heavy() -> None:
    """An app can be made, and tasks defined, without a server's client, an event loop or a picture library."""
    code = """
import sys
from streamq import App, Context, Discard, Retry, Snooze, backoff
app = App("images")
@app.task(retries=2, backoff=backoff.exponential(1, 600))
def resize(source: str, width: int = 800, *, ctx: Context) -> None: ...
resize.options(priority="high", delay="10m").prepare("a.jpg")
heavy = {"redis", "asyncio", "PIL", "rich", "sqlite3", "psycopg", "yaml"}
print(*sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
