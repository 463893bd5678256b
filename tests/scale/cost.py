"""What calls cost their server: how many commands it ran, for how long, how much it answered, and each of them as it was sent."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import redis

#: What the measuring itself sends.
_OWN = {"config", "info", "monitor", "echo", "client", "slowlog"}
_SCRIPTS = {"evalsha", "eval"}
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
_MARK = "that was it"


class Cost(NamedTuple):
    """What one call cost its server."""

    #: Name of a command -> how often it ran, in scripts too.
    commands: dict[str, int]
    #: Time of the scripts, or where there are none of the commands, in microseconds.
    micros: int
    #: Time of the longest script or command, in microseconds; 0 where it is less than a millisecond.
    longest: int
    #: Bytes that the server answered.
    answered: int


def measure(client: redis.Redis, call: Callable[[], object]) -> Cost:
    """Make a call, and say what it cost a server that does nothing else."""
    client.config_set("slowlog-log-slower-than", 1000)
    client.slowlog_reset()
    client.config_resetstat()
    call()
    answered = client.info("stats")["total_net_output_bytes"]
    told = {name.removeprefix("cmdstat_"): each for name, each in client.info("commandstats").items()}
    told = {name: each for name, each in told.items() if name.partition("|")[0] not in _OWN}
    timed = told.keys() & _SCRIPTS or told.keys()
    longest = max((each["duration"] for each in client.slowlog_get(-1) if _name(each["command"]) not in _OWN), default=0)
    commands = {name: each["calls"] for name, each in told.items()}
    return Cost(commands, sum(told[name]["usec"] for name in timed), longest, answered)


def _name(command: bytes) -> str:
    return command.partition(b" ")[0].lower().decode()


def watch(client: redis.Redis, path: str, call: Callable[[], object]) -> list[list[str]]:
    """Make a call, and return each command that the server ran meanwhile, those in scripts too, words as they were sent.

    Args:
        client: any connection.
        path: of the server's socket.
        call: what is watched.
    """
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(path)
        lines = monitor.makefile("rwb")
        lines.write(b"MONITOR\r\n")
        lines.flush()
        assert lines.readline() == b"+OK\r\n"
        call()
        client.echo(_MARK)
        seen: list[list[str]] = []
        for line in lines:
            words = _WORD.findall(line.decode())
            if words[-1] == _MARK:
                return seen
            seen.append([words[0].lower(), *words[1:]])
    raise AssertionError("the server told of no end")
