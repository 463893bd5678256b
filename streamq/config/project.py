"""Which directory is the project, and which file configures it.

`config.yaml` and `.streamq` are looked for upward from the working directory, as git looks for its own, so that commands started
in two folders of a project meet at one server. A file further up can name modules that a worker imports, so one that belongs to
a stranger is refused unless it is named.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from streamq.errors import UsageError

FILE = "config.yaml"
DATA = ".streamq"


class Project(NamedTuple):
    """Where the project is."""

    #: The project directory, absolute.
    directory: Path
    #: The file in force, absolute, or None.
    file: Path | None


def find(cwd: Path, config: str | os.PathLike[str] | None = None) -> Project:
    """Return the project that a working directory belongs to.

    Args:
        cwd: the working directory, absolute.
        config: a file that was named by the user; it has to exist, and its folder is the project.

    Raises:
        UsageError: the named file does not exist, or what was found above belongs to another user.
    """
    if config is not None:
        # Not resolved: the folder of a symbolic link is the project, as in mounted configurations whose files are links.
        file = Path(os.path.normpath(cwd / Path(config).expanduser()))
        if not file.exists() or file.is_dir():
            raise UsageError(f"{config}: no such configuration file", hint="`streamq config init` writes a documented one.")
        return Project(file.parent, file)
    for directory in (cwd, *cwd.parents):
        if (file := directory / FILE).is_file():
            return Project(directory, _trusted(file, cwd, "--config"))
    for directory in (cwd, *cwd.parents):
        if (data := directory / DATA).is_dir():
            _trusted(data, cwd, "--data")
            return Project(directory, None)
    return Project(cwd, None)


def _trusted(found: Path, cwd: Path, option: str) -> Path:
    owner = found.stat().st_uid
    if found.parent != cwd and owner not in (0, os.geteuid(), cwd.stat().st_uid):
        raise UsageError(
            f"{found} belongs to another user", hint=f"Name it with {option} {found} if you trust it, or another one."
        )
    return found
