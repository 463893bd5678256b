"""Paths below the roots while somebody changes the tree: what lies outside is neither read nor written, not once."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from streamq.images import writing
from streamq.images.errors import ForbiddenPath
from streamq.images.roots import Roots

#: Tries of a race; in a long run more.
MANY = 500
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a folder three deep, beside a folder of the same form with secrets."""
    for name in ("root", "outside"):
        (tmp_path / name / "a/b/c").mkdir(parents=True)
        (tmp_path / name / "a/b/c/x.jpg").write_bytes(name.encode())
    return tmp_path / "root"


def exchange(one: Path, other: Path) -> None:
    """Swap two names in one step, as only the kernel of Linux can; elsewhere in three."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        kept = one.with_name("kept")
        one.rename(kept)
        other.rename(one)
        kept.rename(other)
    elif libc.renameat2(_AT_FDCWD, bytes(one), _AT_FDCWD, bytes(other), _RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """Swap two names as fast as can be, all the time."""
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            exchange(one, other)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def lure(root: Path, way: str, kind: str) -> tuple[Path, Path]:
    """What is swapped: a part of the way, and a link or a folder that leads out."""
    bait, outside = root / "bait", root.parent / "outside" / way
    if kind == "link":
        bait.symlink_to(outside)
    elif kind == "relative":
        bait.symlink_to(os.path.relpath(outside, (root / way).parent))
    else:
        bait.mkdir()
    return root / way, bait


WAYS = [(way, kind) for way in ("a", "a/b", "a/b/c", "a/b/c/x.jpg") for kind in ("link", "relative", "folder")]


@pytest.mark.parametrize(("way", "kind"), WAYS)
def test_a_source_outside_is_never_read(root: Path, *, way: str, kind: str, is_long: bool) -> None:
    """Each part of the way is swapped for a link out, or for an empty folder, for the whole test."""
    roots = Roots([root], root)

    def attempt() -> bytes:
        with roots.open_source("a/b/c/x.jpg") as descriptor:
            return os.read(descriptor, 100)

    with swapping(*lure(root, way, kind)):
        seen = tried(attempt, MANY * 60 if is_long else MANY)
    assert seen <= {b"root", None}
    assert b"root" in seen


@pytest.mark.parametrize(("way", "kind"), [(way, kind) for way, kind in WAYS if way != "a/b/c/x.jpg"])
def test_an_output_outside_is_never_written(root: Path, *, way: str, kind: str, is_long: bool) -> None:
    """Neither the result nor a temporary file nor a folder, nor is anything swept there."""
    roots = Roots([root], root)
    source = (root / "a/b/c/x.jpg").stat()
    outside = root.parent / "outside"
    before = picture(outside)

    def attempt() -> bool:
        located = roots.target("a/b/c/new/out.jpg")
        with roots.open_folder(located, fsync=False) as folder:
            writing.sweep(folder)
            writing.write(memoryview(b"made"), "out.jpg", folder, source=source, guard=lambda: None, fsync=False)
        return True

    with swapping(*lure(root, way, kind)):
        seen = tried(attempt, MANY * 60 if is_long else MANY)
    assert True in seen
    assert picture(outside) == before


def test_an_output_that_becomes_a_link_is_replaced_and_not_followed(root: Path) -> None:
    """The name is given to the finished file in one step: what stood there is gone; where a link led, nothing changes."""
    roots = Roots([root], root)
    source = (root / "a/b/c/x.jpg").stat()
    link, plain = root / "out.jpg", root / "plain"
    plain.write_bytes(b"old")
    link.symlink_to(root.parent / "outside/a/b/c/x.jpg")

    def attempt() -> bool:
        with roots.open_folder(roots.target("out.jpg"), fsync=False) as folder:
            writing.write(memoryview(b"made"), "out.jpg", folder, source=source, guard=lambda: None, fsync=False)
        return True

    with swapping(link, plain):
        tried(attempt, MANY)
    assert (root.parent / "outside/a/b/c/x.jpg").read_bytes() == b"outside"


def test_a_source_that_is_changed_for_a_pipe_hangs_nobody(root: Path) -> None:
    """Nobody ever writes to it."""
    roots = Roots([root], root)
    os.mkfifo(root / "bait")

    def attempt() -> bytes:
        with roots.open_source("a/b/c/x.jpg") as descriptor:
            return os.read(descriptor, 100)

    with swapping(root / "a/b/c/x.jpg", root / "bait"):
        seen = tried(attempt, MANY)
    assert seen <= {b"root", None}


def tried(attempt: Callable[[], object], many: int) -> set[object]:
    """What came of many attempts; None for a refusal, or for what was not there."""
    seen: set[object] = set()
    for _ in range(many):
        outcome = None
        with suppress(ForbiddenPath, FileNotFoundError, FileExistsError):
            outcome = attempt()
        seen.add(outcome)
    return seen


def picture(folder: Path) -> dict[str, bytes | None]:
    """All that lies in a folder."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
