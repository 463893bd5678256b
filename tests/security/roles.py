"""What each kind of user does, through the real program, and what the server counted of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cli.conftest import Ended, Program
from tests.commands import run
from tests.workshop import JOBS

if TYPE_CHECKING:
    import redis

DOCUMENT = Path(__file__).parents[2] / "docs/security.md"
_LINE = re.compile(r"^ *ACL SETUSER (\w+) (.+)$", re.MULTILINE)

#: How long a command may take, in seconds; one that lacks a right may wait for ever.
LIMIT = 20.0
#: What `produce --file` sends: tasks that end in each way there is.
TASKS: tuple[dict[str, Any], ...] = (
    *({"task": "work", "args": {"n": n}, "priority": priority} for n, priority in enumerate(("high", "default", "low"))),
    {"task": "awork", "args": {"n": 10}, "unique": "one"},
    {"task": "awork", "args": {"n": 10}, "unique": "one"},
    {"task": "work", "args": {"n": 11}, "delay": "1ms"},
    {"task": "fail", "args": {"n": 12, "times": 1}},
    {"task": "fail", "args": {"n": 13}, "max": 2},
    {"task": "work", "args": {"n": 14}, "expires": "1ms"},
    {"task": "stubborn", "args": {"n": 15}, "timeout": "100ms", "max": 1},
    {"task": "work", "args": {"wrong": 16}},
    {"task": "nobody-knows", "args": {}},
    {"task": "die", "args": {"n": 17, "how": "kill"}, "max": 3},
)


def documented() -> dict[str, list[str]]:
    """The rules of each user in the documentation, as ACL SETUSER takes them, without its password."""
    text = DOCUMENT.read_text().replace("\\\n", "")
    return {name: [rule for rule in rules.split() if not rule.startswith(">")] for name, rules in _LINE.findall(text)}


def commands_of(rules: Iterable[str]) -> list[str]:
    """The commands that rules allow, such as `xadd` and `xgroup|create`."""
    return [rule.removeprefix("+") for rule in rules if rule.startswith("+")]


QUICK = """
from streamq import App

app = App()

@app.task
def quick(n: int) -> None:
    pass
"""


class People:
    """Users of one server, each running the program with rights of its own, in a folder and on a queue of their own.

    Args:
        program: runs commands.
        admin: a client that may do everything.
        port: the server's.
        queue: the queue's name.
    """

    def __init__(self, program: Program, admin: redis.Redis, port: int, queue: str) -> None:
        self.program = program
        self.admin = admin
        self.port = port
        program.folder.mkdir(exist_ok=True)
        program.environment |= {"STREAMQ_QUEUE": queue}
        shutil.copy(JOBS, program.folder / "jobs.py")
        (program.folder / "quick.py").write_text(QUICK)
        worker = {"backoff": {"base": "1ms", "cap": "1ms"}, "lease": "1s", "unknown": "0s", "patience": "0s"}
        config = {"worker": worker, "server": {"wait": "0s"}, "log": {"level": "warning"}}
        (program.folder / "config.yaml").write_text(json.dumps(config))
        (program.folder / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in TASKS))

    def user(self, name: str, rules: Iterable[str]) -> None:
        """Make a user anew; scripts are to be sent again."""
        made: Any = self.admin.execute_command("ACL", "SETUSER", name, "reset", f">{name}-password", *rules)  # type: ignore[no-untyped-call]
        assert made in (True, b"OK")
        self.admin.script_flush()
        self.admin.config_resetstat()
        self.admin.acl_log_reset()

    def url(self, name: str) -> str:
        """The address with which the user logs in."""
        return f"redis://{name}:{name}-password@127.0.0.1:{self.port}"

    def run(self, name: str, *arguments: str, **environment: str) -> Ended:
        """Run a command as a user; one that has not ended after a while is ended, with status -9."""
        if arguments[0] != "consume":  # what has processes of its own is ended with them
            environment = self.program.environment | {"STREAMQ_URL": self.url(name), **environment}
            return Ended(*run(arguments, self.program.folder, environment, limit=LIMIT))
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self._start(name, *arguments, stdout=out, stderr=err, **environment)
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                self._kill(process)
            out.seek(0)
            err.seek(0)
            return Ended(process.returncode, out.read().decode(), err.read().decode())

    def counted(self) -> set[str]:
        """The commands that were run since the last user was made; Redis 6.2 counts `xgroup|create` as `xgroup`."""
        stats: Mapping[str, Any] = self.admin.info("commandstats")
        return {name.removeprefix("cmdstat_") for name, numbers in stats.items() if numbers["calls"]}

    def refused(self) -> set[str]:
        """The commands that the server refused to somebody since the last user was made, in scripts too."""
        entries: Any = self.admin.acl_log()
        return {str(entry["object"]).lower() for entry in entries if entry["reason"] == "command"}

    # What they do

    def produce(self, name: str) -> list[Ended]:
        """Send: one task that will last, many with every option, images, and to a queue that is full."""
        lasting = self.run(name, "produce", "--task", "hold", "--args", '{"n": 1}', "--priority", "high")
        sent = [self.run(name, "produce", "--file", "tasks.jsonl"), self.run(name, "produce")]
        waiting = self._start(name, "produce", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, STREAMQ_QUEUE__MAX_SIZE="1")
        is_waiting = self._reached(waiting, lambda: "xread" in self.counted())
        self._kill(waiting)
        assert waiting.stderr is not None
        return [lasting, *sent, Ended(0 if is_waiting else waiting.returncode, "", waiting.stderr.read().decode())]

    def work(self, name: str) -> list[Ended]:
        """Run all there is to its end, beside a worker that is killed while a task runs; and a queue that is new."""
        log = self.program.folder / "victim.log"
        options = ("--tasks", "jobs", "--concurrency", "1")
        with log.open("wb") as output:
            killed = self._start(name, "consume", "--processes", "1", *options, stdout=output, stderr=output)
        is_running = self._reached(killed, self._ledger)
        status = killed.poll()
        self._kill(killed)
        (self.program.folder / "open-all").touch()
        if not is_running:
            return [Ended(status or -9, "", log.read_text())]
        drained = self.run(name, "consume", "--processes", "2", *options, "--drain")
        new = f"new-{time.monotonic_ns()}"
        self._fill(new)
        quick = ("--tasks", "quick", "--prefetch", "500")  # measured, some might be handed back, and stand among the others
        fresh = self.run(name, "consume", "--drain", "--processes", "1", *quick, STREAMQ_QUEUE=new)
        return [drained, fresh, self._sweep(name)]

    def _fill(self, queue: str) -> None:
        """Many quick tasks by somebody else: so many of them end at a time that they are not deleted one by one."""
        pipeline = self.admin.pipeline(transaction=False)
        for n in range(5000):
            pipeline.xadd(f"streamq:{{{queue}}}:default", {"task": "quick", "args": json.dumps({"n": n})})
        pipeline.execute()

    def _sweep(self, name: str) -> Ended:
        """Work for so long that what others may have left is looked for, where nobody did yet; end when asked to."""
        if "xautoclaim" in self.counted():
            return Ended(0, "", "")
        log = self.program.folder / "sweeper.log"
        with log.open("wb") as output:
            worker = self._start(name, "consume", "--processes", "1", stdout=output, stderr=output)
        has_swept = self._reached(worker, lambda: "xautoclaim" in self.counted())
        worker.terminate()
        if not has_swept:
            self._kill(worker)
        return Ended(worker.wait(LIMIT), "", log.read_text())

    def look(self, name: str, finished: str, scheduled: str, dead: str) -> list[Ended]:
        """Read everything there is to see; wait for a task."""
        asked = (
            *("stats", "pending", "pending --stuck", "monitor --once", "workers", "queues --queue unheard", "dead list"),
            *(f"tasks --state {state}" for state in ("waiting", "scheduled", "running", "retrying", "finished", "dead")),
            *(f"task show {finished}", f"task wait {finished}", f"dead show {dead}"),
        )
        waited = self.run(name, "task", "wait", "--timeout", "0.3s", scheduled)
        late = Ended(
            0 if waited.status == 1 and "has not ended yet" in waited.err else waited.status or 1, waited.out, waited.err
        )
        return [*(self.run(name, *each.split()) for each in asked), late]

    def operate(self, name: str, waiting: str, dead: list[str]) -> list[Ended]:
        """Interfere: with tasks, dead letters and queues."""
        queue = self.program.environment["STREAMQ_QUEUE"]
        asked = (
            *(f"queue pause {queue}", f"queue resume {queue}", "pending --claim", f"task cancel {waiting}"),
            *(f"dead retry {dead[0]}", f"dead discard {dead[1]}", f"queue purge {queue} --yes"),
        )
        return [self.run(name, *each.split()) for each in asked]

    def _start(self, name: str, *arguments: str, **more: Any) -> subprocess.Popen[bytes]:
        streams = {stream: more.pop(stream) for stream in ("stdout", "stderr")}
        own = {"STREAMQ_URL": self.url(name), **more}
        return self.program.start(*arguments, start_new_session=True, env=self.program.environment | own, **streams)

    def _reached(self, process: subprocess.Popen[bytes], predicate: Callable[[], object]) -> bool:
        """Wait for something that a process does; False: it has ended, or does not get there."""
        end = time.monotonic() + LIMIT
        while not predicate():
            if process.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process and all below it at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _ledger(self) -> str:
        path = self.program.folder / "ledger"
        return path.read_text() if path.exists() else ""
