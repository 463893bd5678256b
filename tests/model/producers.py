"""What producers do: send, send again where the reply was lost, and send numbers that are long past."""

from __future__ import annotations

import pytest

from streamq.server.reply import ReplyError
from tests.model.driver import Driver

#: Of all streams together.
BOUND = 60


class Producers(Driver):
    """The steps of producers."""

    def _new_tasks(self) -> tuple[list[str | bytes | int], list[tuple[str, str | None]]]:
        args: list[str | bytes | int] = []
        told: list[tuple[str, str | None]] = []
        for _ in range(self.rng.randint(1, 10)):
            letter = self.rng.choice("hdl")
            key = f"key{self.rng.randrange(30)}" if self.rng.random() < 0.15 else None
            due = f"+{self.rng.randint(1, 40)}" if self.rng.random() < 0.25 else ""
            expires = f"+{self.rng.randint(1, 60)}" if self.rng.random() < 0.05 else ""
            head = f"{letter};{due};{expires};{'u' if key else ''}" if key or due or expires else letter
            flat = ["task", "image", "args", "{}", *(("key", key) if key else ())]
            args += [head, len(flat), *flat]
            told.append((letter, key))
        return args, told

    def _accept(self, ids: list[str], told: list[tuple[str, str | None]]) -> None:
        for task_id, (priority, key) in zip(ids, told, strict=False):
            if task_id.startswith("="):
                assert key is not None
                assert self.model.keys.get(key) == task_id[1:], f"{key} is held by {self.model.keys.get(key)}, not by {task_id}"
            else:
                self.model.accept(task_id, priority, key)

    def add(self) -> None:
        """A producer sends, and sends again where the reply was lost, with a kill of the server between."""
        lane, number = self.lane()
        args, told = self._new_tasks()
        room = BOUND - len(self.model.at)
        again, ids = self.run.add(lane, number, BOUND, args)
        assert not again
        self._accept(ids, told)
        fresh = [task_id for task_id in ids if not task_id.startswith("=")]
        assert len(ids) == len(told) or len(fresh) == max(room, 0), f"{len(ids)} of {len(told)} were accepted, room was {room}"
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            if self.rng.random() < 0.03:
                self.restart()
            assert self.run.add(lane, number, BOUND, args) == (True, ids), "a repeated send was not answered as the first"
        if self.rng.random() < 0.2:
            with pytest.raises(ReplyError, match="STALE"):
                self.run.add(lane, number - 1, BOUND, args)

    def add_and_lose_the_reply(self) -> None:
        """The server is killed while a send is under way; the send is repeated: its tasks are there once."""
        lane, number = self.lane()
        args, told = self._new_tasks()
        self.call_and_kill(self.run.command("add", (lane, number, BOUND, *args)))
        self._accept(self.run.add(lane, number, BOUND, args)[1], told)
