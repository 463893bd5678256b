"""Sending: lanes that make a send idempotent, and the lanes of a process.

A `Producer` is one lane: an id made anew in each process, one connection, one request in flight, its sends numbered. The server
keeps the last number of a lane and the ids that it gave, so a send whose reply was lost is repeated under the same number and
never makes a second task. After a send that was accepted in part, or given up, the lane goes on with the next number: what may
still be under way of an earlier one is refused as stale. `Lanes` gives each thread a lane of its own, so that none waits for
another's round trip.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from streamq import process
from streamq.errors import ServerError, ServerUnreachable, Unconfirmed
from streamq.keys import LETTERS, QUEUES
from streamq.prepared import Prepared, not_prepared
from streamq.replies import expand_ids
from streamq.room import Room
from streamq.server.connect import Link
from streamq.server.patience import waiting
from streamq.server.reply import FULL, ReplyError, ReplyLost
from streamq.server.resp import Words, joined, word, words
from streamq.transitions import Transitions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from streamq.keys import Keys
    from streamq.prepared import Form
    from streamq.room import Full
    from streamq.server.endpoint import Endpoint

#: Most tasks of one call of `add.lua`: the server runs nothing else meanwhile, about 1 ms.
CHUNK_TASKS: Final = 300
#: Most bytes of arguments of one call, where it has more than one task.
CHUNK_BYTES: Final = 1 << 20
#: How long a send whose reply was lost is repeated, in seconds. The server forgets a lane that was idle for an hour.
REPEAT_MOST: Final = 60.0
#: Idle lanes that a process keeps connected.
_KEPT: Final = 16


class Sent(msgspec.Struct, frozen=True, gc=False):
    """What became of a task that was sent."""

    id: str
    #: False: a task with the same unique key has not ended yet, and this is its id.
    is_new: bool = True
    #: The task's name.
    task: str = ""


class Producer:
    """One lane, for one thread at a time.

    Args:
        endpoint: where the server is.
        keys: the queue's keys.
        wait: how long, in seconds, a send waits for a server that is away.
        history: how many endings the queue keeps.
    """

    def __init__(self, endpoint: Endpoint, keys: Keys, *, wait: float = 60.0, history: int = 10_000) -> None:
        self.link = Link(endpoint, name=f"streamq-send-{process.pid}")
        self.transitions = Transitions(self.link, keys, history=history)
        self.wait = wait
        self.lane = os.urandom(8).hex()
        #: The process whose lane it is.
        self.pid = process.pid
        #: Number of the last send.
        self.number = 0
        #: The server has been told that there is a queue of this name.
        self.named = False
        #: Tasks of which the caller has not been told yet: interrupted now, nobody knows what became of them.
        self.under_way = 0

    def announce(self) -> None:
        """Tell the server that there is a queue of this name."""
        self.link.call("SADD", QUEUES, self.transitions.keys.queue)
        self.named = True

    def renew(self) -> None:
        """Become a new lane, where another process goes by the id of this one: after a fork, or when the server says so."""
        self.lane, self.number, self.pid = os.urandom(8).hex(), 0, process.pid

    def send(
        self, tasks: Iterable[Prepared[Any]], full: Full, *, stop: threading.Event | None = None, ahead: bool = False
    ) -> Iterator[list[Sent]]:
        """Send tasks, and tell of them as they are accepted, in the order given.

        Args:
            tasks: the tasks; read as they are sent.
            full: what to do when the queue is full.
            stop: when it is set, nothing more is read, sent or waited for; what is under way is told of.
            ahead: read the next tasks while the server is busy with those before, of which is told the later.

        Raises:
            QueueFull: there was no room for the next task, and no waiting for it, or not any more.
            Unconfirmed: it is not known whether the next tasks were accepted.
            ServerError: the server is away, or cannot take tasks.
        """
        chunks = _chunks(tasks, stop)
        stop = stop or threading.Event()
        chunk = next(chunks, None)
        while chunk and not stop.is_set():
            sending = _Send(self, chunk, full.bound)
            following, failed = None, None
            if ahead:
                try:
                    following = next(chunks, None)
                except BaseException as error:  # noqa: BLE001 - a task that cannot be made, or Ctrl-C: raised when all is told
                    failed = error
            yield from self._accepted(sending, full, stop)
            if failed:
                raise failed
            chunk = following if ahead else next(chunks, None)

    def add(self, tasks: Sequence[Prepared[Any]], bound: int, *, stop: threading.Event | None = None) -> list[Sent]:
        """Send at most a chunk of tasks in one call; fewer than given are accepted where the queue becomes full.

        Raises:
            Unconfirmed: it is not known whether they were accepted.
            ServerError: the server is away, or cannot take tasks.
        """
        return self._end(_Send(self, tasks, bound), stop)

    def insist(self, task: Prepared[Any], full: Full, *, stop: threading.Event | None = None) -> Sent:
        """Send one task, and wait for room where there is none.

        Raises:
            QueueFull: there was no room, and no waiting for it, or not any more.
            Unconfirmed, ServerError: as `add`.
        """
        [[sent]] = self._accepted(_Send(self, (task,), full.bound), full, stop or threading.Event())
        return sent

    def _accepted(self, sending: _Send, full: Full, stop: threading.Event) -> Iterator[list[Sent]]:
        """What is accepted of a chunk that is under way, until all of it is."""
        rest, room = sending.tasks, Room(self.transitions, full, self.wait, stop)
        while True:
            accepted = self._end(sending, stop)
            rest = rest[len(accepted) :]
            if accepted:
                room.found()
                yield accepted
            self.under_way = 0
            if rest and not accepted:
                room.wait()
            if not rest:
                return
            sending = _Send(self, rest, full.bound)

    def _end(self, sending: _Send, stop: threading.Event | None) -> list[Sent]:
        """What is accepted of a send that is under way."""
        try:
            try:
                return sending.reply()
            except ServerUnreachable:
                return waiting(sending.again, self.wait, stop=stop)
        except (*FULL, Unconfirmed):
            raise  # the script looks for the number before it writes: refused, it had not been executed before either
        except ServerError as error:
            if sending.lost:
                raise sending.unconfirmed() from error
            raise


class _Send:
    """One numbered send. It is under way when it has been made; then comes `reply`, and if the server is away, `again`."""

    __slots__ = ("_call", "_failed", "_packed", "_producer", "_script", "_since", "lost", "tasks")

    def __init__(self, producer: Producer, tasks: Sequence[Prepared[Any]], bound: int) -> None:
        if producer.pid != process.pid:
            producer.renew()
        producer.number += 1
        producer.under_way = len(tasks)
        self.tasks = tasks
        #: It was sent, and its reply was not seen.
        self.lost = False
        self._producer = producer
        self._call = producer.lane, producer.number, bound
        self._script, self._packed = _packed(tasks)
        self._since = time.monotonic(), time.time()
        self._failed: ServerError | None = None
        try:
            self._post()
        except ServerError as error:
            self._failed = error

    def reply(self) -> list[Sent]:
        """What became of the first tasks; of the others that are missing: the queue is full."""
        failed, self._failed = self._failed, None
        if failed:
            raise failed
        try:
            ids = expand_ids(self._producer.transitions.added()[1])
        except ReplyLost:
            self._lose()
            raise
        except ReplyError as error:
            if error.code == "STALE":
                self._producer.renew()
                if self.lost:
                    raise self.unconfirmed() from error
            raise
        return list(map(_sent, self.tasks, ids))

    def again(self) -> list[Sent]:
        """Repeat it, and return the reply.

        Raises:
            Unconfirmed: it was too long ago.
        """
        if self.lost and self._elapsed() > REPEAT_MOST:
            raise self.unconfirmed()
        self._post()
        return self.reply()

    def unconfirmed(self) -> Unconfirmed:
        """The error of a send that was given up after its reply was lost."""
        what = "a task" if len(self.tasks) == 1 else f"{len(self.tasks)} tasks"
        return Unconfirmed(
            f"the reply to a send was lost, and the server did not give it again: {what} may have been accepted, or not",
            hint="A task with a unique key can be sent again without harm.",
        )

    def _post(self) -> None:
        if not self._producer.named:
            self._producer.announce()
        try:
            self._producer.transitions.post_add(self._script, *self._call, self._packed)
        except ReplyLost:
            self._lose()
            raise

    def _lose(self) -> None:
        self.lost = True
        self._producer.named = False  # the server may come back as another one

    def _elapsed(self) -> float:
        """Seconds since it was first sent; a machine that slept meanwhile stops one clock, a person may set the other."""
        monotonic, wall = self._since
        return max(time.monotonic() - monotonic, time.time() - wall)


class Lanes:
    """The lanes of a process to one queue: as many as its threads use at the same time. Any thread may use it, after a fork too.

    Args:
        endpoint: where the server is.
        keys: the queue's keys.
        wait: how long, in seconds, a call waits for a server that is away.
        history: how many endings the queue keeps.
    """

    def __init__(self, endpoint: Endpoint, keys: Keys, *, wait: float = 60.0, history: int = 10_000) -> None:
        self._endpoint = endpoint
        self._keys = keys
        self._wait = wait
        self._history = history
        self._idle: list[Producer] = []  # taken and given back by list.pop and append, which are atomic: no lock to fork with
        self._pid = process.pid

    def take(self) -> Producer:
        """Return a lane for the calling thread alone, until it gives it back."""
        if self._pid != process.pid:
            self._idle, self._pid = [], process.pid
        try:
            return self._idle.pop()
        except IndexError:
            return Producer(self._endpoint, self._keys, wait=self._wait, history=self._history)

    def give(self, lane: Producer) -> None:
        """Give a lane back."""
        if len(self._idle) < _KEPT:
            self._idle.append(lane)
        else:
            lane.link.close()

    def close(self) -> None:
        """Close the connections of all idle lanes; the lanes can be used as before."""
        if self._pid == process.pid:
            for lane in list(self._idle):
                lane.link.close()


def _chunks(tasks: Iterable[Prepared[Any]], stop: threading.Event | None) -> Iterator[list[Prepared[Any]]]:
    """The tasks, as many together as one call takes, until the event is set."""
    chunk: list[Prepared[Any]] = []
    size = 0
    for task in tasks:
        if type(task) is not Prepared:
            raise not_prepared(task)
        if stop is not None and stop.is_set():
            return
        size += len(task.args)
        if size > CHUNK_BYTES and chunk:
            yield chunk
            chunk, size = [], len(task.args)
        chunk.append(task)
        if len(chunk) == CHUNK_TASKS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


@functools.lru_cache(256)
def _head(form: Form, many: int) -> Words:
    return words((many, *form.argv))


@functools.lru_cache(256)
def _one(form: Form) -> Words:
    """What stands before the arguments of one task, where `add_one.lua` takes it; nothing where it does not."""
    head, _, *fields = form.argv
    return words((head, *fields)) if head in LETTERS.values() else (0, b"")


def _packed(tasks: Sequence[Prepared[Any]]) -> tuple[Literal["add", "add_one"], Words]:
    """Tasks as a script takes them, and which; in `add`, those that differ in their arguments alone share all the rest."""
    if len(tasks) == 1 and (one := _one(tasks[0].form))[0]:
        return "add_one", joined(one, word(tasks[0].args))
    parts: list[Words] = []
    for form, alike in groupby(tasks, _form):
        args = [task.args for task in alike]
        parts += _head(form, len(args)), words(args)
    return "add", (sum([many for many, _ in parts]), b"".join([packed for _, packed in parts]))


_form = attrgetter("form")


def _sent(task: Prepared[Any], id_: str) -> Sent:
    return Sent(id_[1:], False, task.form.name) if id_[0] == "=" else Sent(id_, True, task.form.name)
