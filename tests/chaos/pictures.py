"""What the pictures of a round have left: a file each, whole, and a row of the catalogue that tells of this very file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from tests.chaos.audit import History
    from tests.chaos.place import Place


def check(place: Place, history: History) -> list[str]:
    """Return what is wrong with the files and the rows of finished pictures."""
    return list(_faults(place, history))


def _faults(place: Place, history: History) -> Iterator[str]:
    out = place.folder / "out"
    finished = [task for task in history.tasks.values() if task.kind == "i" and any(run.returned for run in task.runs)]
    if not finished:
        return
    with psycopg.connect(place.database.url) as connection:
        text = "SELECT id, output, sha256 FROM images WHERE queue = %s"
        rows = {row[0]: (row[1], row[2]) for row in connection.execute(text, (place.queue,))}
    for task in finished:
        file = out / f"{task.n}.png"
        for task_id in task.ids:
            if task_id not in rows:
                yield f"picture {task.n} ({task_id}) has no row in the catalogue"
            elif not file.exists():
                yield f"picture {task.n} ({task_id}) has no file"
            elif hashlib.sha256(file.read_bytes()).hexdigest() != rows[task_id][1]:
                yield f"picture {task.n} ({task_id}) is not the file that the catalogue tells of"
