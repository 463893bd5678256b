"""How many more tasks a worker may start (`--max-tasks`), shared by its processes without a lock that a killed one could keep."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct

from streamq.worker.table import anonymous_file

_LEFT = struct.Struct("<q")


class Budget:
    """A number in shared memory; POSIX locks on its file are freed by the kernel when a process dies.

    Args:
        fd: a descriptor made by `create`.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, _LEFT.size)

    @classmethod
    def create(cls, tasks: int) -> Budget:
        """A new budget of so many tasks."""
        fd = anonymous_file()
        os.ftruncate(fd, _LEFT.size)
        budget = cls(fd)
        _LEFT.pack_into(budget._memory, 0, tasks)
        return budget

    def left(self) -> int:
        """How many more may start."""
        left: int = _LEFT.unpack_from(self._memory)[0]
        return left

    def use(self) -> bool:
        """Takes one task from the budget; False: none is left."""
        return self._change(-1) == -1

    def give_back(self, tasks: int) -> None:
        """Returns tasks that were to start and have not."""
        if tasks:
            self._change(tasks)

    def _change(self, by: int) -> int:
        fcntl.lockf(self.fd, fcntl.LOCK_EX)
        try:
            (left,) = _LEFT.unpack_from(self._memory)
            by = max(by, -left)
            _LEFT.pack_into(self._memory, 0, left + by)
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN)
        return by
