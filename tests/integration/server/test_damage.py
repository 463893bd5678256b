"""An append-only file that was cut or damaged: a whole beginning of what was written, and a word about it, or no start at all."""

from __future__ import annotations

import logging
import random
import re
from pathlib import Path

import pytest

from streamq.errors import ServerUnusable
from streamq.server import embedded
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from tests.conftest import wait_until
from tests.integration.server.servers import append_only, kill_server, servers_of

WRITTEN = 60


def _write(home: Path) -> None:
    """Transactions as the scripts make them: each adds an entry and raises a counter."""
    link = Link(Endpoint(home, durability="always"))
    for number in range(WRITTEN):
        link.batch([("MULTI",), ("XADD", "stream", f"{number + 1}-0", "number", number), ("INCR", "counter"), ("EXEC",)])
    link.close()


def _read(home: Path) -> int:
    """How many transactions are there, having checked that they are the first ones, and whole."""
    link = Link(Endpoint(home, durability="always"))
    numbers = [int(fields[1]) for _, fields in link.call("XRANGE", "stream", "-", "+")]
    counter = int(link.call("GET", "counter") or 0)
    link.close()
    assert numbers == list(range(counter))
    return counter


def _ends(content: bytes) -> set[int]:
    """The offsets at which a file may end so that nothing shows: behind a whole transaction, and before the first."""
    first = re.match(rb"\*2\r\n\$6\r\nSELECT\r\n\$1\r\n0\r\n", content)
    return {0, first.end() if first else 0, *(match.end() for match in re.finditer(rb"EXEC\r\n", content))}


@pytest.mark.timeout(900)
def test_a_file_cut_at_any_byte_gives_a_beginning_and_says_so(
    home: Path,
    caplog: pytest.LogCaptureFixture,
    is_long: bool,  # noqa: FBT001
) -> None:
    """Cut inside the last commands at each byte, and anywhere: as many whole transactions as there are, and a warning."""
    _write(home)
    kill_server(home)
    path = append_only(home)
    content = path.read_bytes()
    ends = _ends(content)
    late = range(len(content) - (len(content) if is_long else 40), len(content))
    anywhere = random.SystemRandom().sample(range(len(content)), 30)
    for cut in [*anywhere, *late]:
        path.write_bytes(content[:cut])
        caplog.clear()
        with caplog.at_level(logging.WARNING, "streamq.server"):
            found = _read(home)
        assert found == content[:cut].count(b"EXEC\r\n"), cut
        warned = [record.getMessage() for record in caplog.records if "it was cut there" in record.getMessage()]
        assert len(warned) == (cut not in ends), (cut, warned)
        kill_server(home)
    path.write_bytes(content)
    assert _read(home) == WRITTEN


@pytest.mark.parametrize("rewritten", [False, True])
def test_a_file_that_is_damaged_in_the_middle_is_refused_and_left_as_it_is(home: Path, rewritten: bool) -> None:  # noqa: FBT001
    """The error has the server's words and the hint a way out; once the file is mended, all is there."""
    _write(home)
    if rewritten:  # the file that is written anew has another format, with a checksum
        link = Link(Endpoint(home))
        link.call("BGREWRITEAOF")
        wait_until(lambda: b"aof_rewrite_in_progress:0" in link.call("INFO", "persistence"), "the file is rewritten")
        link.close()
    embedded.stop(home)
    path = max([append_only(home), *home.glob("appendonlydir/*.base.*")], key=lambda file: file.stat().st_size)
    content = path.read_bytes()
    for _ in range(6):
        place = random.SystemRandom().randrange(len(content) // 5, len(content) * 4 // 5 - 64)
        damaged = content[:place] + bytes(64) + content[place + 64 :]
        path.write_bytes(damaged)
        with pytest.raises(ServerUnusable, match="ended while it started") as caught:
            embedded.ensure(home)
        assert str(home / "server.log") in (caught.value.hint or ""), place
        assert "check-aof --fix" in (caught.value.hint or ""), (place, caught.value.what)
        assert path.read_bytes() == damaged
        assert servers_of(home) == []
    path.write_bytes(content)
    assert _read(home) == WRITTEN


def test_files_without_their_manifest_are_refused(home: Path) -> None:
    """A server would start empty on them, write into the old ones, and have both histories at its next start."""
    _write(home)
    embedded.stop(home)
    for manifest in home.glob("appendonlydir/*.manifest"):  # Redis 6.2 has one file and no manifest
        content = manifest.read_bytes()
        manifest.unlink()
        with pytest.raises(ServerUnusable, match="its manifest is gone"):
            embedded.ensure(home)
        assert servers_of(home) == []
        manifest.write_bytes(content)
    assert _read(home) == WRITTEN
