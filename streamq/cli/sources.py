"""Which images a `produce` means: files, folders, globs and lists on stdin, found as they are sent.

A tree of a million photographs costs no more memory than the names in its largest folder. A source that cannot be sent is one
`Refused` among the others and stops none of them. What an image contains is never looked at.
"""

# To make a Path of each file would take longer than to send it.
# ruff: noqa: PTH100, PTH112, PTH116, PTH118, PTH207

from __future__ import annotations

import errno
import glob
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from streamq.errors import UsageError
from streamq.images import formats
from streamq.images.roots import SAMPLES, Located, Roots

#: The argument that stands for paths on stdin.
STDIN = "-"
#: Longest line, in bytes: longer than the largest task.
_LONGEST = 1 << 22


class Refused(NamedTuple):
    """A source that cannot be sent, and why."""

    source: str
    error: str


class Image(NamedTuple):
    """A source that can be sent."""

    #: As the user knows it.
    source: str
    located: Located


def found(arguments: Sequence[str], *, recursive: bool, skip: Path) -> Iterator[str | Refused]:
    """The files that arguments mean, folders in order of their names.

    Args:
        arguments: paths and globs, relative to the working directory.
        recursive: whether folders in folders are entered.
        skip: a folder that is never entered by itself: that of the results.
    """
    for argument in arguments:
        if os.path.isdir(argument):
            yield from _in_folder(argument, recursive=recursive, skip=skip)
        elif glob.has_magic(argument) and not os.path.lexists(argument):
            yield from _matching(argument, skip)
        else:
            yield argument


def _in_folder(folder: str, *, recursive: bool, skip: Path) -> Iterator[str | Refused]:
    many = 0
    for path in _walk(folder, recursive=recursive, skip=os.path.realpath(skip)):
        many += 1
        yield path
    if not many:
        hint = "" if recursive else "; --recursive looks into its folders"
        yield Refused(folder, f"no image in this folder{hint}")


def _walk(folder: str, *, recursive: bool, skip: str) -> Iterator[str | Refused]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if entry.name[0] != ".")
    except OSError as error:
        yield Refused(folder, error.strerror or str(error))
        return
    for name, is_folder in listed:
        path = os.path.join(folder, name)
        if not is_folder:
            if formats.of_path(name) is not None:
                yield path
        elif recursive and os.path.realpath(path) != skip:
            yield from _walk(path, recursive=True, skip=skip)


def _matching(pattern: str, skip: Path) -> Iterator[str | Refused]:
    many = 0
    below = os.path.realpath(skip) + os.sep
    for path in sorted(glob.glob(pattern, recursive=True)):
        if not os.path.isdir(path) and not os.path.realpath(path).startswith(below):
            many += 1
            yield path
    if not many:
        yield Refused(pattern, "nothing matches this pattern")


def stdin() -> FileIO:
    """What is written on stdin, to be read as it comes."""
    return FileIO(sys.stdin.fileno(), closefd=False)


def arrived(end: bytes, file: FileIO) -> Iterator[list[bytes]]:
    """What is written to a file, each piece ended by `end`, in lists of those that have arrived: none waits for the next one.

    Raises:
        UsageError: a piece is longer than any path or task.
    """
    rest = b""
    while data := file.read(1 << 16):
        *pieces, rest = (rest + data).split(end)
        if len(rest) > _LONGEST:
            raise UsageError(f"a line {'on stdin' if file.name == 0 else f'of {file.name}'} is longer than {_LONGEST} bytes")
        yield pieces
    if rest:
        yield [rest]


def paths(pieces: Sequence[bytes]) -> Iterator[str]:
    """The paths that stdin names; an empty line names none."""
    return (os.fsdecode(piece) for piece in pieces if piece)


def samples() -> list[str]:
    """The photographs that the package carries."""
    return sorted(str(path) for path in SAMPLES.iterdir() if formats.of_path(path.name) is not None)


def located(source: str, roots: Roots) -> Image | Refused:
    """Where a source lies, or why it cannot be sent: missing, unreadable, no ordinary file, outside of the roots."""
    path = os.path.abspath(source)
    try:
        path.encode()
        kind = os.stat(path).st_mode
        if not stat.S_ISREG(kind):
            raise UsageError("is a folder" if stat.S_ISDIR(kind) else "is no ordinary file")
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return Image(source, roots.source(path))
    except OSError as error:
        return Refused(source, error.strerror or str(error))
    except UnicodeError:
        return Refused(source, "its name cannot be sent: it is not UTF-8")
    except ValueError as error:
        return Refused(source, str(error))
    except UsageError as error:
        return Refused(source, error.what + (f". {error.hint}" if error.hint else ""))
