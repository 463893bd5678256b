"""Paths inside the roots, and nothing else."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamq.images.errors import ForbiddenPath
from streamq.images.roots import SAMPLES, Roots


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A root with a file, beside a folder that is none with a secret."""
    (tmp_path / "root/sub").mkdir(parents=True)
    (tmp_path / "root/sub/a.jpg").write_bytes(b"inside")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/a.jpg").write_bytes(b"secret")
    return tmp_path / "root"


@pytest.fixture
def roots(inside: Path) -> Roots:
    """One root for sources and results."""
    return Roots([inside], inside)


def read(roots: Roots, source: str) -> bytes:
    """The content of a source."""
    with roots.open_source(source) as descriptor:
        return os.read(descriptor, 100)


def test_a_source_is_read_below_the_first_root_or_by_its_absolute_path(roots: Roots, inside: Path) -> None:
    """Both are the same file."""
    assert read(roots, "sub/a.jpg") == read(roots, str(inside / "sub/a.jpg")) == read(roots, "sub/../sub/./a.jpg") == b"inside"


def test_the_samples_are_always_a_root(roots: Roots) -> None:
    """So that the first run needs no picture of one's own."""
    assert read(roots, str(SAMPLES / "rocket.jpg"))[:3] == b"\xff\xd8\xff"
    assert roots.source(str(SAMPLES / "rocket.jpg")).below == Path("rocket.jpg")


@pytest.mark.parametrize("source", ["../secret/a.jpg", "sub/../../secret/a.jpg", "/etc/passwd", "", ".", "/", "a\0b", "\ud800"])
def test_a_source_outside_of_the_roots_is_refused(roots: Roots, source: str) -> None:
    """Whether it exists or not."""
    with pytest.raises(ForbiddenPath):
        read(roots, source)


def test_a_link_inside_the_roots_is_followed_and_one_that_leads_out_is_not(roots: Roots, inside: Path) -> None:
    """A file, a folder and a chain of links alike."""
    (inside / "good.jpg").symlink_to("sub/a.jpg")
    (inside / "file.jpg").symlink_to("../secret/a.jpg")
    (inside / "folder").symlink_to("../secret")
    (inside / "chain").symlink_to("folder/a.jpg")
    assert read(roots, "good.jpg") == b"inside"
    for source in ("file.jpg", "folder/a.jpg", "chain"):
        with pytest.raises(ForbiddenPath, match="outside of the image roots"):
            read(roots, source)


@pytest.mark.parametrize("swapped", ["sub", "sub/a.jpg"])
def test_a_link_that_is_put_in_the_way_while_it_is_opened_is_never_followed(inside: Path, roots: Roots, swapped: str) -> None:
    """A thread swaps a folder, or the file, for a link that leads out, as fast as it can: the secret is never read."""
    way, stop = inside / swapped, threading.Event()
    secret = inside.parent / "secret" / ("a.jpg" if swapped.endswith("jpg") else "")
    link, kept = inside / "link", inside / "kept"

    def swap() -> None:
        while not stop.is_set():
            link.symlink_to(secret)
            way.rename(kept)
            link.rename(way)
            way.unlink()
            kept.rename(way)

    thread = threading.Thread(target=swap)
    thread.start()
    seen, tries = set(), 0
    try:
        while tries < 3000 or b"inside" not in seen:  # a thread alone on its processor may be in the way each time
            tries += 1
            try:
                seen.add(read(roots, "sub/a.jpg"))
            except (ForbiddenPath, FileNotFoundError):
                seen.add(b"")
    finally:
        stop.set()
        thread.join()
    assert seen <= {b"inside", b""}


def test_only_ordinary_files_are_opened(roots: Roots, inside: Path) -> None:
    """A pipe that nobody writes to would hang a worker for ever."""
    os.mkfifo(inside / "pipe.jpg")
    (inside / "folder.jpg").mkdir()
    with pytest.raises(ForbiddenPath, match=r"pipe\.jpg is a pipe"):
        read(roots, "pipe.jpg")
    with pytest.raises(ForbiddenPath, match=r"folder\.jpg is a folder"):
        read(roots, "folder.jpg")


def test_a_device_is_refused() -> None:
    """Even below a root."""
    with pytest.raises(ForbiddenPath, match="is a device"):
        read(Roots([Path("/dev")], Path("/dev")), "/dev/zero")


def test_a_missing_file_may_come_yet_a_way_through_a_file_never_leads_anywhere(roots: Roots) -> None:
    """The one is an OSError that names the source, the other is final."""
    with pytest.raises(FileNotFoundError, match=r"source sub/b\.jpg"):
        read(roots, "sub/b.jpg")
    with pytest.raises(ForbiddenPath):
        read(roots, "sub/a.jpg/b.jpg")
    with pytest.raises(ForbiddenPath, match="name is too long"):
        read(roots, "x" * 300)


def test_what_permissions_forbid_is_tried_again() -> None:
    """Somebody may mend them: both errors are of the operating system, and name what they are about."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        (path / "a.jpg").touch(0)
        path.chmod(0o555)
        unreadable(path)
        path.chmod(0o755)


def unreadable(path: Path) -> None:
    """A folder that cannot be written to, with a file that cannot be read."""
    with anybody():
        roots = Roots([path], path)
        with pytest.raises(ForbiddenPath, match=r"source a\.jpg may not be read"):
            read(roots, "a.jpg")
        with (
            pytest.raises(PermissionError, match=r"output .*/new/out\.jpg"),
            roots.open_folder(roots.target("new/out.jpg"), fsync=False),
        ):
            pass


@contextmanager
def anybody() -> Iterator[None]:
    """For a while, be a user to whom permissions mean something."""
    before = os.geteuid()
    os.seteuid(before or 65_534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("output", ["../out.jpg", "/etc/out.jpg", "sub/../../out.jpg", "sub/", "", ".", "..", "sub/.", "a\0.jpg"])
def test_an_output_outside_of_the_output_root_is_refused(roots: Roots, output: str) -> None:
    """And one that names no file."""
    with pytest.raises(ForbiddenPath):
        roots.target(output)


def test_an_outputs_folder_that_leads_out_is_refused(roots: Roots, inside: Path) -> None:
    """Links in its folders are followed first."""
    (inside / "folder").symlink_to("../secret")
    with pytest.raises(ForbiddenPath, match="outside of the output root"):
        roots.target("folder/out.jpg")


def test_folders_of_an_output_are_made(roots: Roots, inside: Path) -> None:
    """As the umask has it."""
    with roots.open_folder(roots.target("new/deep/out.jpg"), fsync=True) as folder:
        assert os.path.samestat(os.fstat(folder), (inside / "new/deep").stat())
    assert stat.S_ISDIR((inside / "new/deep").stat().st_mode)


def test_a_folder_that_became_a_link_is_not_written_to(roots: Roots, inside: Path) -> None:
    """The output was checked before."""
    located = roots.target("late/out.jpg")
    (inside / "late").symlink_to("../secret")
    with pytest.raises(ForbiddenPath, match="changed while it was opened"), roots.open_folder(located, fsync=False):
        pass


def test_an_output_root_apart_from_the_first_root_is_what_outputs_are_relative_to(tmp_path: Path) -> None:
    """Else no relative output could be written at all."""
    roots = Roots([tmp_path / "in"], tmp_path / "out")
    assert roots.target("a.jpg").path == tmp_path / "out/a.jpg"
    assert Roots([tmp_path / "in"], tmp_path).target("a.jpg").path == tmp_path / "in/a.jpg"
