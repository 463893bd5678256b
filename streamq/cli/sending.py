"""Sends what `produce` has made, tells of each task, and waits for their ends where asked to.

Tasks go out in bulk as they are found; of those that were sent no more is kept than their ids, and these only where they are
waited for. What was refused is told and counted, and stops nothing; nor does a reader of stdout that goes, as `head` does.
A Ctrl-C or SIGTERM stops it, and what is under way then is told of too: the number of tasks that were accepted is right.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from streamq import browse
from streamq.cli.interrupt import Interrupt
from streamq.cli.progress import Progress
from streamq.cli.render import compact, note, report
from streamq.cli.sources import Refused
from streamq.cli.task import line_of
from streamq.errors import QueueFull, ServerUnreachable, Unconfirmed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streamq.browse import Record
    from streamq.cli.images import Item
    from streamq.cli.state import State
    from streamq.cli.waiting import Wait
    from streamq.prepared import Prepared
    from streamq.producer import Sent

#: Tasks that are listed on a terminal; in a pipe all are.
_LISTED = 10
#: Refused sources that are told one by one; with `--json` all are.
_TOLD = 5


class Sending:
    """One sending of tasks.

    Args:
        state: the command's.
        on_full: `block` or `reject`; None: as the configuration says.
        wait: whether the ends of the tasks are waited for.
        dry_run: whether the tasks are only shown.
        many: how many tasks there are; None: nobody knows yet.
    """

    def __init__(self, state: State, *, on_full: str | None, wait: bool, dry_run: bool, many: int | None) -> None:
        self._state = state
        self._out = state.out
        self._on_full = on_full
        self._dry_run = dry_run
        self._wait = _wait(state) if wait and not dry_run else None
        self._unsent: deque[Item] = deque()
        self._ids: dict[str, None] = {}
        self._listed: list[str] = []
        self._sent = self._known = self._refused = 0
        self._interrupt = Interrupt()
        self._began = time.localtime()
        self._progress = Progress("sending", many, shown=self._out.draws)

    def run(self, bursts: Iterable[Iterable[Item | Refused]]) -> int:
        """Send tasks, each burst as soon as it is there, and return the exit status.

        Raises:
            QueueFull: there was no room, and no waiting for it.
            ServerError: the server is away, or cannot take tasks.
            KeyboardInterrupt: it was interrupted; what was sent before has been told.
        """
        if not self._dry_run:
            self._out.outlive_reader()
        try:
            with self._progress, self._interrupt as interrupt:
                for burst in interrupt.reading(bursts):
                    self._send(burst)
        except (QueueFull, ServerUnreachable, Unconfirmed) as error:
            if not self._interrupt.asked:
                raise
            if isinstance(error, Unconfirmed):  # else it is what was waited for when all waiting ended
                note(error.what)
        finally:
            self._conclude()
        self._interrupt.check()
        self._look_for_workers()
        failed = self._follow(self._wait) if self._wait else 0
        self._out.flush()
        return int(bool(self._refused or failed))

    def _send(self, burst: Iterable[Item | Refused]) -> None:
        tasks = self._tasks(burst)
        if self._dry_run:
            for _ in tasks:
                self._tell(self._unsent.popleft(), None)
            return
        for sent in self._state.queue().send_each(tasks, on_full=self._on_full, stop=self._interrupt.stop):
            self._tell(self._unsent.popleft(), sent)
        self._out.flush()

    def _tasks(self, burst: Iterable[Item | Refused]) -> Iterator[Prepared[Any]]:
        """The tasks of a burst, as they are to be sent; the others are told of."""
        for each in self._interrupt.reading(burst):
            if isinstance(each, Refused):
                self._refuse(each)
            else:
                self._unsent.append(each)
                yield each.prepared

    def _refuse(self, refused: Refused) -> None:
        self._refused += 1
        if self._out.json:
            self._out.write({"source": refused.source, "error": refused.error}, flush=False)
        elif self._refused <= _TOLD:
            report(f"{refused.source}: {refused.error}")

    def _tell(self, item: Item, sent: Sent | None) -> None:
        """Tell of a task that was accepted, or of one that would be sent."""
        if sent is None or sent.is_new:
            self._sent += 1
        else:
            self._known += 1
        self._progress.advance()
        task_id, task_state = (sent.id, self._state_of(sent)) if sent else (None, None)
        if task_id is not None and self._wait:
            self._ids[task_id] = None
        if self._out.json:
            prepared = item.prepared
            line = {"id": task_id, "task": prepared.name, "priority": prepared.priority, "args": msgspec.Raw(prepared.args)}
            self._out.write(line | {"state": task_state}, flush=False)
        elif not self._out.rich:
            self._out.line("  ".join(filter(None, (task_id, task_state, item.label))))
        elif len(self._listed) < _LISTED:
            self._listed.append("  ".join(filter(None, (task_id, item.label))))

    def _state_of(self, sent: Sent) -> str:
        if sent.is_new:
            return "scheduled" if sent.id[0] == "s" else "waiting"
        with self._state.queue().transitions() as transitions:
            return browse.locate(transitions, [sent.id])[sent.id].state

    def _conclude(self) -> None:
        """Say what was sent, however the sending ended."""
        for line in self._listed:
            self._out.line(line)
        if self._listed and self._progress.done > len(self._listed):
            self._out.line(f"… and {self._progress.done - len(self._listed):,} more")
        if self._refused > _TOLD and not self._out.json:
            note(f"… and {self._refused - _TOLD:,} more cannot be sent; --json names them all")
        verb = "would send" if self._dry_run else "sent"
        known = f", {self._known:,} had been sent before and have not ended (--unique)" if self._known else ""
        refused = f", {self._refused:,} refused" if self._refused else ""
        interrupted = "interrupted: " if self._interrupt.asked else ""
        note(f"{interrupted}{verb} {_tasks(self._sent)}{known}{refused}")
        if interrupted and self._sent and not self._dry_run:
            began = time.strftime("%Y-%m-%dT%H:%M:%S", self._began)
            report(None, f"`streamq tasks --since {began}` lists them, `streamq task cancel ID…` takes them back")

    def _look_for_workers(self) -> None:
        """Say how to start a worker where there is none: nothing would happen to what was sent."""
        if not self._sent or self._dry_run:
            return
        with self._state.queue().transitions() as transitions:
            workers = transitions.keys["workers"]
            if not transitions.link.call("ZCOUNT", workers, transitions.now_ms(), "+inf"):
                note(f"no worker runs at queue {transitions.keys.queue}: `streamq consume` starts one")

    def _follow(self, wait: Wait) -> int:
        """Wait for the ends of the tasks; returns how many did not finish."""
        failed: list[Record] = []
        with Progress("running", len(self._ids), shown=self._out.draws) as progress:
            for record in wait.ends(self._ids):
                progress.advance()
                if record.state != "finished":
                    failed.append(record)
                if self._out.json:
                    self._out.write(line_of(record))
                elif not self._out.rich:
                    self._out.line(f"{record.id}  {record.state}" + (f": {record.error}" if record.error else ""))
        for record in failed if self._out.rich else ():
            self._out.line(f"{record.id}  {record.state}: {record.error or '-'}  {compact(record.args)}", "red")
        finished = len(self._ids) - len(failed)
        note(f"{_tasks(finished)} finished" + (f", {len(failed):,} did not" if failed else ""))
        return len(failed)


def _wait(state: State) -> Wait:
    """Begin to follow the endings, before anything is sent."""
    from streamq.cli.waiting import Wait

    return Wait(state)


def _tasks(many: int) -> str:
    return f"{many:,} task{'s' * (many != 1)}"
