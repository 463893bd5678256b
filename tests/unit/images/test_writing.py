"""The whole old file or the whole new one."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamq import process
from streamq.errors import LeaseLost
from streamq.images import writing
from streamq.images.errors import ForbiddenPath
from tests.conftest import wait_until


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What the results are made from."""
    path = tmp_path / "source.jpg"
    path.write_bytes(b"the source")
    return path


@pytest.fixture
def folder(tmp_path: Path, source: Path) -> Iterator[int]:
    """Descriptor of the folder that results are written into."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def write(
    folder: int, source: Path, data: bytes = b"new", name: str = "out.jpg", guard: Callable[[], object] = lambda: None
) -> writing.Written:
    """Write a result."""
    return writing.write(memoryview(data), name, folder, source=source.stat(), guard=guard, fsync=True)


def names(path: Path) -> set[str]:
    """What lies in a folder."""
    return {each.name for each in path.iterdir()}


def test_a_result_takes_the_place_of_the_old_one(folder: int, source: Path, tmp_path: Path) -> None:
    """Its size and hash are those of the file."""
    (tmp_path / "out.jpg").write_bytes(b"old")
    written = write(folder, source)
    assert (tmp_path / "out.jpg").read_bytes() == b"new"
    assert written == (3, hashlib.sha256(b"new").hexdigest())
    assert names(tmp_path) == {"source.jpg", "out.jpg"}


def test_a_result_has_the_mode_that_the_umask_leaves(folder: int, source: Path, tmp_path: Path) -> None:
    """As any file that the user makes."""
    before = os.umask(0o027)
    try:
        write(folder, source)
    finally:
        os.umask(before)
    assert (tmp_path / "out.jpg").stat().st_mode & 0o777 == 0o640


def test_a_run_that_lost_its_lease_leaves_the_old_file(folder: int, source: Path, tmp_path: Path) -> None:
    """The guard is asked when everything is written and before the name is taken."""
    (tmp_path / "out.jpg").write_bytes(b"old")

    def lost() -> None:
        assert (tmp_path / "out.jpg").read_bytes() == b"old"
        assert len(names(tmp_path)) == 3
        raise LeaseLost("lost")

    with pytest.raises(LeaseLost):
        write(folder, source, guard=lost)
    assert (tmp_path / "out.jpg").read_bytes() == b"old"
    assert names(tmp_path) == {"source.jpg", "out.jpg"}


@pytest.mark.parametrize("name", ["source.jpg", "hard.jpg", "soft.jpg", "folder.jpg", "pipe.jpg"])
def test_the_source_and_what_is_no_ordinary_file_are_never_replaced(folder: int, source: Path, tmp_path: Path, name: str) -> None:
    """Another name of the source is the source too."""
    (tmp_path / "hard.jpg").hardlink_to(source)
    (tmp_path / "soft.jpg").symlink_to(source)
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    before = names(tmp_path)
    with pytest.raises(ForbiddenPath):
        write(folder, source, name=name)
    assert source.read_bytes() == b"the source"
    assert names(tmp_path) == before


def test_a_full_disk_leaves_the_old_file_and_nothing_else(folder: int, source: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    (tmp_path / "out.jpg").write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            write(folder, source, data=b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert raised.value.errno == errno.EFBIG
    assert (tmp_path / "out.jpg").read_bytes() == b"old"
    assert names(tmp_path) == {"source.jpg", "out.jpg"}


WRITER = """
import os, sys, itertools
from pathlib import Path
from streamq.images import writing
folder = os.open(sys.argv[1], os.O_RDONLY)
source = os.stat(sys.argv[1] + "/source.jpg")
for number in itertools.cycle(range(256)):
    writing.write(memoryview(bytes([number]) * 2_000_000), "out.jpg", folder, source=source, guard=lambda: None, fsync=False)
    print(number, flush=True)
"""


def test_a_process_killed_while_it_writes_leaves_a_whole_file(folder: int, source: Path, tmp_path: Path) -> None:
    """A writer is killed in the middle, again and again: what has the name is always one whole file, and the rest is swept."""
    for round_ in range(8):
        with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(round_ + 1):
                writer.stdout.readline()
            wait_until(lambda: names(tmp_path) - {"out.jpg", "source.jpg"}, "a temporary file is there")
            writer.kill()
        content = (tmp_path / "out.jpg").read_bytes()
        assert len(content) == 2_000_000
        assert len(set(content)) == 1
        writing.sweep(folder)
        assert names(tmp_path) == {"source.jpg", "out.jpg"}


def test_the_temporary_files_of_living_processes_are_never_swept(folder: int, source: Path, tmp_path: Path) -> None:
    """However old they are; those of dead ones are, however new, and those of other machines after a day."""
    own = tmp_path / writing.temporary_name()
    with subprocess.Popen(
        [sys.executable, "-c", "from streamq.images.writing import temporary_name as t; print(t())"],
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        dead = tmp_path / other.stdout.read().strip()
    _, machine, pid, start, token = own.name.split("-")
    reused = tmp_path / f".streamq-{machine}-{pid}-{int(start) + 1}-{token}"
    fresh, stale = tmp_path / f".streamq-{'0' * 12}-{pid}-{start}-a.tmp", tmp_path / f".streamq-{'0' * 12}-{pid}-{start}-b.tmp"
    foreign = tmp_path / ".somebody.tmp"
    for path in (own, dead, reused, fresh, stale, foreign):
        path.touch()
    long_ago = own.stat().st_mtime - 2 * writing.FOREIGN_AGE
    for path in (own, stale, foreign):
        os.utime(path, (long_ago, long_ago))
    assert writing.sweep(folder) == 3
    assert names(tmp_path) == {"source.jpg", own.name, fresh.name, foreign.name}
    assert process.look(process.current()) == "alive"


def test_two_writers_of_one_result_leave_one_of_both(folder: int, source: Path, tmp_path: Path) -> None:
    """Whole, and no temporary file."""
    contents = [bytes([number]) * 300_000 for number in range(8)]
    threads = [threading.Thread(target=write, args=(folder, source, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "out.jpg").read_bytes() in contents
    assert names(tmp_path) == {"source.jpg", "out.jpg"}
