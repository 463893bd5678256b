"""What a server has accepted and cannot write to its disk: it is in memory alone, and lost if the server ends.

That is so with `everysec`: the server accepts, and writes a moment later; from the first write that fails on it refuses more,
and tries each second to write what it has. Whoever would end it asks here before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamq.server.reply import CannotPersist

if TYPE_CHECKING:
    from pathlib import Path

#: Asks for what `check_written` looks at.
PERSISTENCE = ("INFO", "persistence")
_FAILED = b"aof_last_write_status:err"


def check_written(data: Path, info: bytes, act: str, again: str) -> None:
    """See to it that nothing is lost if the server of a data directory ends now.

    Args:
        data: the directory.
        info: the server's reply to `PERSISTENCE`.
        act: what would end it, for the error.
        again: what to do when there is room.

    Raises:
        CannotPersist: its last write failed.
    """
    if _FAILED in info:
        raise CannotPersist(
            f"the server in {data} cannot write to its disk (full, or not writable): what it accepted last is in memory alone,"
            f" and would be lost: {act}",
            hint=f"free space on the disk of its data directory: it writes by itself within a second; then {again}",
        )
