"""The data directory: refused, with a reason, where it is not ours to use; and the lock that a server inherits."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from streamq.errors import ServerUnusable
from streamq.server import embedded
from streamq.server.directory import DataDirectory
from tests.integration.server.servers import in_child


def test_a_file_is_no_data_directory(tmp_path: Path) -> None:
    """Neither itself nor a part of its path may be a file."""
    (tmp_path / "file").touch()
    with pytest.raises(ServerUnusable, match="is a file"):
        embedded.ensure(tmp_path / "file")
    with pytest.raises(ServerUnusable, match="Not a directory"):
        embedded.ensure(tmp_path / "file" / "data")


def test_a_directory_that_cannot_be_written_is_refused() -> None:
    """The reason is the system's, the hint names --data."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        said = in_child(lambda: embedded.ensure(Path(folder, ".streamq")), unprivileged=True)
        assert said.startswith("ServerUnusable: the data directory")
        assert "Permission denied" in said
        Path(folder).chmod(0o755)


def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    """Whoever owns it could have put a server of his own there: not even a connection is made."""
    foreign = Path("/usr")
    if os.geteuid() == 0:
        foreign = tmp_path / "foreign"
        foreign.mkdir()
        os.chown(foreign, 65534, 65534)
    for act in (embedded.ensure, embedded.stop, embedded.status):
        with pytest.raises(ServerUnusable, match="belongs to another user"):
            act(foreign)


def test_a_directory_with_other_files_is_not_closed_to_others_behind_their_back(tmp_path: Path) -> None:
    """`--data .` in a shared project is refused and its mode stays."""
    tmp_path.chmod(0o755)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ServerUnusable, match=r"open to other users and holds other files \(config.yaml\)"):
        embedded.ensure(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_an_empty_directory_is_closed_to_others(home: Path) -> None:
    """One that `mkdir` made, with the catalogue in it, is taken as it is meant."""
    home.mkdir(mode=0o755)
    (home / "catalogue.db").touch()
    embedded.ensure(home)
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_short_name_that_somebody_else_has_taken_is_refused(tmp_path: Path) -> None:
    """The link in /tmp must lead to our directory."""
    deep = tmp_path / ("x" * 100) / "data"
    link = DataDirectory(deep).socket().parent
    link.unlink()
    link.symlink_to("/elsewhere")
    try:
        with pytest.raises(ServerUnusable, match="taken by somebody else"):
            embedded.ensure(deep)
    finally:
        link.unlink()


def test_a_child_forked_while_the_lock_is_passed_on_does_not_keep_it(tmp_path: Path) -> None:
    """Its copy would hold `server.lock` for as long as it lives, and no server could be started again."""
    home = DataDirectory(tmp_path)
    claim = home.claim()
    assert claim is not None
    reader, writer = os.pipe()
    ready_reader, ready_writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(writer)
        os.write(ready_writer, b"!")
        os.read(reader, 1)  # lives until the test is done
        os._exit(0)
    os.read(ready_reader, 1)
    claim.close()
    again = home.claim()
    for descriptor in (reader, writer, ready_reader, ready_writer):
        os.close(descriptor)
    os.waitpid(pid, 0)
    assert again is not None
    again.close()


def test_the_lock_is_held_once(tmp_path: Path) -> None:
    """While one holds `server.lock`, another gets nothing; the same with `start.lock`, until the time is over."""
    home = DataDirectory(tmp_path)
    with home.starting(time.monotonic()):
        claim = home.claim()
        assert claim is not None
        with claim:
            assert home.claim() is None
    with home.starting(time.monotonic()):
        pass
