"""What the rules stand on: a queue on a real server, its consumers, calls whose reply is lost, and the check after each step.

One process plays everybody, so that the model knows after each step what must be. The rules are in `producers.py`, `workers.py`,
`verdicts.py`, `faults.py`, `recovery.py` and `people.py`. All chance is drawn by Hypothesis, as plain numbers: whatever it prints
of a failure can be pasted into a test. A number chooses among what there is at that moment, modulo how many there are.
"""

from __future__ import annotations

import functools
import shutil
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Concatenate, Literal, ParamSpec, TypeVar

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from streamq.keys import GROUP, Keys
from streamq.server.reply import MemoryFull, ReplyError
from streamq.server.resp import pack
from streamq.transitions import Transitions
from tests.lua.servers import Server
from tests.lua.state import State
from tests.model import clock
from tests.model.invariants import Examiner
from tests.model.model import Model, Run, Task

HISTORY = 20
WORKERS = 4
#: A play kills its server so often at most: each time costs as much as fifty other steps.
KILLS = 3
#: A server that has written so much is replaced by an empty one before the next play, so that it starts quickly.
LOG_BYTES = 1 << 20

#: Chooses one of what there is.
WHICH = st.integers(0, 99)
#: How the reply of a call is lost: the connection is cut when it had been executed, or when half of it had been sent, or the
#: server is killed when it had been executed.
Loss = Literal["cut", "half", "kill"]
LOSSES: st.SearchStrategy[Loss] = st.sampled_from(("cut", "half", "kill"))

T = TypeVar("T")
P = ParamSpec("P")
M = TypeVar("M", bound="Base")


def step(
    when: Callable[[Any], object] = bool, **drawn: st.SearchStrategy[Any]
) -> Callable[[Callable[Concatenate[M, P], None]], Callable[Concatenate[M, P], None]]:
    """A rule of the machine: after it everything is compared, whether Hypothesis chose it or a test calls it.

    Args:
        when: the machine as it must be for the rule to be chosen.
        drawn: what its arguments are drawn from.
    """

    def decorate(function: Callable[Concatenate[M, P], None]) -> Callable[Concatenate[M, P], None]:
        @functools.wraps(function)
        def played(self: M, /, *args: P.args, **kwargs: P.kwargs) -> None:
            self.sound = False
            clock.tick(self.link)
            function(self, *args, **kwargs)
            self.examine()

        ruled: Any = rule(**drawn)  # type: ignore[call-overload]  # no strategy is called `target`
        chosen: Callable[Concatenate[M, P], None] = precondition(lambda self: bool(when(self)))(ruled(played))
        return chosen

    return decorate


def one_of(things: Sequence[T], which: int) -> T:
    """The thing that a drawn number chooses."""
    return things[which % len(things)]


class Base(RuleBasedStateMachine):
    """One queue under random use, on an empty server."""

    #: Given by `machine.py`; it syncs its append-only file at each write.
    server: ClassVar[Server]
    #: Steps of all plays.
    steps: ClassVar[int] = 0
    #: The first failure, and after how many steps it came.
    found: ClassVar[tuple[str, int] | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.sound = True
        self.starts = 1
        self.done = 0
        self.paused = self.full = False
        self.names = 0
        self.link = self.server.link()
        self.clean()
        self.keys = Keys("model")
        #: A hash that stands where it must not be, where a step wants that; made now, since memory may be full then.
        self.link.call("HSET", self.keys["spare"], "a", "1")
        self.run = Transitions(self.link, self.keys, history=HISTORY)
        self.model = Model()
        self.born_ms = clock.server_ms(self.link)
        self.workers = [self.new_name("w") for _ in range(WORKERS)]
        self.quarantine = self.new_name("q")
        #: What one play does only once, since it ends or stops so much.
        self.spent: set[str] = set()
        #: Stopped processes: they neither renew nor call, until they come back.
        self.frozen: set[str] = set()
        #: Of these, those whose supervisors are stopped with them: they do not beat either.
        self.silent: set[str] = set()
        #: Ended without a word: their heartbeats will expire.
        self.ghosts: list[str] = []
        self.examiner = Examiner(self.link, self.keys, self.model, HISTORY, self.born_ms)

    def clean(self) -> None:
        """Empty the server; one whose log has become long starts anew."""
        if sum(path.stat().st_size for path in self.server.folder.rglob("*.aof")) > LOG_BYTES:
            self.link.close()
            self.server.kill()
            for path in self.server.folder.glob("appendonly*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            self.server.start()
        self.link.call("CONFIG", "SET", "maxmemory", 0)
        self.link.call("FLUSHALL")
        self.link.call("SCRIPT", "FLUSH")

    def examine(self) -> None:
        """Compare everything; every tenth step what is seldom wrong, too."""
        type(self).steps += 1
        self.done += 1
        self.examiner.look(thorough=self.done % 10 == 0)
        self.sound = True

    def new_name(self, letter: str) -> str:
        """A consumer that never was."""
        self.names += 1
        return f"{letter}-{self.names:04d}"

    # The server

    def restart(self) -> None:
        """Kill the server and start it again: it has kept all that it answered, but for its memory limit."""
        self.link.close()
        self.server.kill()
        self.server.start()
        self.starts += 1
        self.full = False

    @property
    def may_restart(self) -> bool:
        """Whether this play may kill the server once more."""
        return self.starts <= KILLS

    def spend(self, name: str) -> None:
        """Note that something is done that one play does only once."""
        self.spent.add(name)

    def lose(self, script: str, args: Iterable[Any], loss: Loss, more_keys: Sequence[str] = ()) -> bool:
        """Run a script and lose its reply; returns whether it was executed."""
        self.run.load(script)
        packed = pack([self.run.command(script, args, more_keys)])
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.server.url.removeprefix("unix://"))
            connection.sendall(packed[: len(packed) // 2] if loss == "half" else packed)
            if loss != "half":
                connection.recv(1)
        if loss == "kill" and self.may_restart:
            self.restart()
        return loss != "half"

    def parked(self) -> set[str]:
        """The addresses of all that is parked."""
        return set(self.examiner.parked())

    def marks(self) -> bool:
        """Whether the group of some stream was made anew, and not all below its mark has been read."""
        reply: Any = self.link.call("HMGET", self.keys["control"], *"hdls")
        return any(reply)

    def changed(self, call: Callable[[], object]) -> State:
        """What a call changes in the whole state of the queue."""
        before = self.examiner.state()
        call()
        after = self.examiner.state()
        return {name: after.get(name) for name in before.keys() | after.keys() if before.get(name) != after.get(name)}

    # Consumers

    def awake(self) -> list[str]:
        """The consumers that live and are not stopped."""
        return [consumer for consumer in (*self.workers, self.quarantine) if consumer not in self.frozen]

    def worker(self, who: int) -> str:
        """A worker that is not stopped; where all are, one of them wakes up."""
        awake = [worker for worker in self.workers if worker not in self.frozen]
        chosen = one_of(awake or self.workers, who)
        self.wake(chosen)
        return chosen

    def wake(self, consumer: str) -> None:
        """A consumer goes on, if it was stopped."""
        self.frozen.discard(consumer)
        self.silent.discard(consumer)

    def end_consumer(self, consumer: str) -> None:
        """A consumer's process is gone; another one takes its place."""
        self.wake(consumer)
        self.ghosts.append(consumer)
        if consumer == self.quarantine:
            self.quarantine = self.new_name("q")
        else:
            self.workers[self.workers.index(consumer)] = self.new_name("w")

    def beat_all(self) -> None:
        """All whose supervisors are there beat at once."""
        beating = [consumer for consumer in (*self.workers, self.quarantine) if consumer not in self.silent]
        lease, ttl = clock.LEASE * clock.UNIT_MS, clock.HEARTBEAT * clock.UNIT_MS
        self.run.beat(lease, f"run {self.starts}", ttl, [(consumer, b"{}", "") for consumer in beating])
        self.model.fleet.beat(self.model.now, self.starts, beating)

    def renew_one(self, consumer: str) -> None:
        """A consumer renews: it is told what it holds, no more and no less."""
        held = {(row.address, row.count) for row in self.run.renew(consumer)}
        assert held == {(run.address, run.deliveries) for run in self.model.runs(consumer)}
        self.model.renew(consumer)

    def advance(self, units: int, *, awake: bool) -> None:
        """Let time pass, in which everybody who is awake beats and renews, or nobody does."""
        self.examiner.follow()
        for _ in range(units if awake else 1):
            clock.advance(self.link, self.keys, 1 if awake else units)
            self.model.now += 1 if awake else units
            if awake:
                self.beat_all()
                for consumer in self.awake():
                    self.renew_one(consumer)

    # Runs

    def some_runs(self, who: int, most: int, late: int = 0) -> list[Run]:
        """Runs of one consumer that is awake: some that it holds, the newest first where `who` is odd, and some that are over."""
        holders = sorted({run.consumer for run in self.model.runs()} & {*self.awake()})
        if not holders:
            return []
        consumer = one_of(holders, who)
        held = self.model.runs(consumer)[:: -1 if who % 2 else 1][:most]
        taken = {run.address for run in held}
        over = [run for run in self.model.late(consumer) if run.address not in taken]
        return held + list({run.address: run for run in over[late - 1 :: -1]}.values()) if late else held

    def some_run(self, which: int, *, keyed: bool = False) -> Run | None:
        """One run that is held by somebody awake; those with a unique key first, where asked."""
        awake = self.awake()
        runs = [run for run in self.model.runs() if run.consumer in awake]
        if keyed:
            runs.sort(key=lambda run: self.model.at[run.address].key is None)
        return one_of(runs, which) if runs else None

    def in_order(self, tasks: Sequence[Task]) -> list[Task]:
        """Tasks in the order of their entries."""
        return sorted(tasks, key=lambda task: _entry(task.address))

    def delete_group(self, letter: str) -> None:
        """Somebody destroys the group of a stream, where there is one; Redis 6.2 refuses that when its memory is full."""
        [reply] = self.link.batch([["XGROUP", "DESTROY", self.keys.stream(letter), GROUP]])
        if not isinstance(reply, MemoryFull):
            assert not isinstance(reply, Exception) or isinstance(reply, ReplyError), f"no group can be destroyed: {reply}"
            self.model.group_gone(letter)


def _entry(address: str) -> tuple[int, ...]:
    return tuple(map(int, address[1:].split("-")))
