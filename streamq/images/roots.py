"""Where images may be read and written: paths inside the roots, and nothing else, whatever a task asks for.

Symbolic links are followed first; what they lead to has to lie inside a root. The file is then opened by walking down from that
root, one folder at a time and following no link any more, so that a link which is put in the way between the check and the
opening is refused instead of followed. Only ordinary files are opened: no device, no pipe, no folder. Called by the task, and by
`produce`, which refuses before it sends.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from streamq.config import Settings
from streamq.images.errors import ForbiddenPath

#: The photographs that the package carries; always readable.
SAMPLES = Path(__file__).parent / "samples"

# Opening a folder for its entries only needs no right to list it; what macOS has not, it does without.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC


class Located(NamedTuple):
    """A path inside a root, links followed."""

    #: The root, absolute, links followed.
    root: Path
    #: The way from the root to the file.
    below: Path

    @property
    def path(self) -> Path:
        """The absolute path."""
        return self.root / self.below


class Roots:
    """The folders below which images are read, and the one below which results are written.

    Args:
        inputs: absolute paths; relative sources are relative to the first. The package's samples are always one more.
        output: absolute path.
    """

    def __init__(self, inputs: Sequence[Path], output: Path) -> None:
        self.inputs = [Path(os.path.realpath(root)) for root in (*inputs, SAMPLES)]
        self.output = Path(os.path.realpath(output))
        first = self.inputs[0]
        #: What relative outputs are relative to: the first root, or the output root where neither lies inside the other.
        self.base = first if first.is_relative_to(self.output) or self.output.is_relative_to(first) else self.output

    @classmethod
    def of(cls, settings: Settings) -> Roots:
        """Return the roots of a configuration."""
        return cls(settings.image_roots, settings.output_root)

    def source(self, written: str, kind: str = "source") -> Located:
        """Return where a source, or what errors call by another `kind`, lies; the file need not exist.

        Raises:
            ForbiddenPath: it lies outside of the input roots.
        """
        real = _real(self.inputs[0], written)
        for root in self.inputs:
            if real.is_relative_to(root) and real != root:
                return Located(root, real.relative_to(root))
        raise ForbiddenPath(
            f"{kind} {written} lies outside of the image roots",
            hint=f"The roots are: {', '.join(map(str, self.inputs))}. Set images.roots to read elsewhere.",
        )

    def target(self, written: str) -> Located:
        """Return where an output lies, links in its folders followed; a link as its last part is not.

        Raises:
            ForbiddenPath: it lies outside of the output root, or names no file.
        """
        path = self.base / _named(written)
        if path.name in ("", "..") or written.endswith(("/", "/.")):
            raise ForbiddenPath(f"output {written} names no file")
        real = _real(path.parent, "") / path.name
        if not real.is_relative_to(self.output) or real == self.output:
            raise ForbiddenPath(
                f"output {written} lies outside of the output root {self.output}", hint="Set images.output to write elsewhere."
            )
        return Located(self.output, real.relative_to(self.output))

    def shown(self, path: Path) -> str:
        """Return an output as it would be written in a task: relative to the base where it lies below."""
        return str(path.relative_to(self.base) if path.is_relative_to(self.base) else path)

    @contextmanager
    def open_source(self, written: str, kind: str = "source") -> Iterator[int]:
        """Open a source, or what errors call by another `kind`, for reading and yield its descriptor, which is closed at the end.

        Raises:
            ForbiddenPath: it lies outside of the input roots, may not be read, or is no ordinary file.
            OSError: it is missing or the disk fails: trying again may help.
        """
        located, what = self.source(written, kind), f"{kind} {written}"
        try:
            with _explained(what), opened_folder(located, _PASS) as folder:
                name = located.below.name
                _ordinary(os.stat(name, dir_fd=folder, follow_symlinks=False), what)
                descriptor = os.open(name, _READ, dir_fd=folder)
        except PermissionError:
            raise ForbiddenPath(f"{what} may not be read by the worker: permission denied") from None
        try:
            _ordinary(os.fstat(descriptor), what)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def open_folder(self, located: Located, *, fsync: bool) -> Iterator[int]:
        """Open the folder of an output and yield its descriptor; folders that are missing are made.

        What goes wrong while the caller writes into it is told with the output's path too.

        Args:
            located: what `target` returned.
            fsync: force new folders to the disk.

        Raises:
            ForbiddenPath: a part of the way is no folder any more.
            OSError: it cannot be made or opened: trying again may help.
        """
        located.root.mkdir(parents=True, exist_ok=True)
        with _explained(f"output {located.path}"), opened_folder(located, _LIST, create=True, fsync=fsync) as folder:
            yield folder


@contextmanager
def opened_folder(located: Located, flags: int, *, create: bool = False, fsync: bool = False) -> Iterator[int]:
    """Walk from the root to the folder of a file, following no link, and yield the folder's descriptor."""
    current = os.open(located.root, flags)
    try:
        for part in located.below.parts[:-1]:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=current)
                    if fsync:
                        os.fsync(current)
            deeper = os.open(part, flags, dir_fd=current)
            os.close(current)
            current = deeper
        yield current
    finally:
        os.close(current)


def _real(base: Path, written: str) -> Path:
    """The path with its links resolved."""
    try:
        return Path(os.path.realpath(base / _named(written)))
    except OSError as error:
        if error.errno != errno.EINVAL:  # what was a link when it was looked at is none when it is read
            raise
        raise ForbiddenPath(f"{written}: a part of the path changed while it was resolved") from None


def _named(written: str) -> str:
    """The path itself, if the operating system can take it."""
    try:
        if b"\0" not in os.fsencode(written):
            return written
    except UnicodeEncodeError:
        pass
    raise ForbiddenPath(f"{written!r} is no path")


def _ordinary(found: os.stat_result, what: str) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    if stat.S_ISLNK(found.st_mode):
        raise ForbiddenPath(f"{what} became a symbolic link while it was opened")
    kind = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}.get(stat.S_IFMT(found.st_mode))
    raise ForbiddenPath(f"{what} is {kind or 'a device'}, no ordinary file")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Tell what can only be a path that changes, or a way through a file, from what may pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise ForbiddenPath(f"{what}: a part of the path is no folder, or changed while it was opened") from None
        if error.errno == errno.ENAMETOOLONG:
            raise ForbiddenPath(f"{what}: a name is too long") from None
        raise OSError(error.errno, error.strerror, what) from None
