"""Every key of a queue, and the names that stand in them: letters of streams, addresses of tasks, consumers.

All keys of a queue share one hash tag, `streamq:{images}:…`, so that each script is single-slot on a cluster. An address is the
letter of the stream that a task stands in and its entry id there (`d1764000000000-0`); the id of a task is its first address.
Nothing else in streamq spells out a key.
"""

from __future__ import annotations

import os
import re
from typing import Final, Literal

Priority = Literal["high", "default", "low"]

#: The consumer group of every stream of tasks.
GROUP: Final = "workers"
#: The priorities, most urgent first.
PRIORITIES: Final[tuple[Priority, ...]] = ("high", "default", "low")
#: Letter of a stream -> its name. `s` holds what was sent with a delay.
STREAMS: Final = {"h": "high", "d": "default", "l": "low", "s": "later"}
#: Priority -> letter of its stream.
LETTERS: Final = {"high": "h", "default": "d", "low": "l"}
#: The set of the queues that a server holds. It and the next one are the only keys outside a queue's hash tag: no script touches
#: them.
QUEUES: Final = "streamq:queues"
#: The set of the queues that runs of `bench` have made and not yet removed.
BENCHES: Final = "streamq:benches"

_ID = re.compile(r"[hdls][0-9]{1,20}-[0-9]{1,20}\Z")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


class Keys:
    """The keys of one queue.

    Args:
        queue: its name; letters, digits, `.`, `_` and `-`, at most 64.

    Raises:
        ValueError: the name holds anything else.
    """

    def __init__(self, queue: str) -> None:
        if not is_name(queue):
            raise ValueError(f"{queue!r} is no name of a queue")
        self.queue = queue
        self.prefix = f"streamq:{{{queue}}}:"
        #: Stream, as the server names it -> its letter.
        self.letters = {self.stream(letter).encode(): letter for letter in STREAMS}

    def __getitem__(self, name: str) -> str:
        """The key with this name: `keys["high"]`, `keys["retry:low"]`."""
        return self.prefix + name

    def stream(self, letter: str) -> str:
        """The stream of a letter."""
        return self.prefix + STREAMS[letter]

    def result(self, task_id: str) -> str:
        """Where the result of a task is kept for a while."""
        return f"{self.prefix}result:{task_id}"


def is_id(text: object) -> bool:
    """Whether it is a text that has the form of a task's id: `d1764000000000-0`."""
    return isinstance(text, str) and _ID.match(text) is not None


def is_name(text: object) -> bool:
    """Whether it is a text that may name a queue or a worker."""
    return isinstance(text, str) and _NAME.match(text) is not None


def sent_ms(task_id: str) -> int:
    """When a task was sent, in milliseconds of the server's clock: the time that its id was given."""
    return int(task_id[1:].partition("-")[0])


def new_consumer(worker: str) -> str:
    """A name for one incarnation of one worker process: people see `worker1`, the group sees `worker1-5f0c9a41`."""
    return f"{worker}-{os.urandom(4).hex()}"


def worker_of(consumer: str) -> str:
    """The worker's name that people know a consumer by."""
    return consumer.rpartition("-")[0] or consumer
