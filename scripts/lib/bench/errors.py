"""What goes wrong while measuring, told in one line with what to do."""

from __future__ import annotations


class BenchError(Exception):
    """Something could not be measured.

    Args:
        what: what was wrong, and where.
        hint: what to do.
    """

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
