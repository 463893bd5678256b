"""Which commands the program needs, whether the server has them, and whether the user of the URL may use them on a queue's keys.

What the scripts call is read from the scripts themselves. Whether a command is allowed is asked with ACL DRYRUN; who may not ask
that has each command queued in a transaction that is thrown away: the server checks rights when it queues, and runs nothing.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import msgspec

from streamq.doctor.finding import finding, some
from streamq.keys import GROUP, QUEUES, Keys
from streamq.scripts import load
from streamq.server.reply import Forbidden

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq.doctor.finding import Finding
    from streamq.errors import ServerUnusable
    from streamq.server.connect import Link
    from streamq.server.endpoint import Endpoint

Command = list[str | int]

_CALL = re.compile(r"(?:call\(|\{)'([A-Z]+)'(?:, '([A-Z]+)')?")
#: Commands whose second word says what they do.
_CONTAINERS: Final = {"XGROUP", "XINFO", "CLIENT", "COMMAND", "CONFIG", "SCRIPT"}
#: A command as it may be sent: `$` stands for a key of the queue, `@` for the key with the names of all queues.
_FORMS: Final = {
    "DEL": "$",
    "EVAL": "x 1 $",
    "EVALSHA": "x 1 $",
    "EXISTS": "$",
    "GET": "$",
    "HDEL": "$ f",
    "HEXISTS": "$ f",
    "HGET": "$ f",
    "HGETALL": "$",
    "HINCRBY": "$ f 1",
    "HMGET": "$ f",
    "HSCAN": "$ 0",
    "HSET": "$ f v",
    "HSETNX": "$ f v",
    "HVALS": "$",
    "INFO": "server",
    "SADD": "@ m",
    "SCRIPT LOAD": "x",
    "SET": "$ v",
    "SISMEMBER": "@ m",
    "SMEMBERS": "@",
    "TIME": "",
    "XACK": f"$ {GROUP} 0-1",
    "XADD": "$ * f v",
    "XAUTOCLAIM": f"$ {GROUP} c 1 0-0",
    "XCLAIM": f"$ {GROUP} c 0 0-1",
    "XDEL": "$ 0-1",
    "XGROUP CREATE": f"$ {GROUP} 0",
    "XGROUP DELCONSUMER": f"$ {GROUP} c",
    "XINFO GROUPS": "$",
    "XINFO CONSUMERS": f"$ {GROUP}",
    "XINFO STREAM": "$",
    "XLEN": "$",
    "XPENDING": f"$ {GROUP}",
    "XRANGE": "$ - +",
    "XREAD": "STREAMS $ 0",
    "XREADGROUP": f"GROUP {GROUP} c STREAMS $ >",
    "XREVRANGE": "$ + -",
    "XTRIM": "$ MAXLEN 1",
    "ZADD": "$ 0 m",
    "ZCARD": "$",
    "ZCOUNT": "$ 0 1",
    "ZMSCORE": "$ m",
    "ZRANGE": "$ 0 1",
    "ZRANGEBYSCORE": "$ 0 1",
    "ZREM": "$ m",
    "ZSCAN": "$ 0",
    "ZSCORE": "$ m",
}
#: What the program itself sends, its scripts aside.
OF_PROGRAM: Final = frozenset(
    (
        *("EVAL", "EVALSHA", "EXISTS", "HGET", "HGETALL", "HMGET", "HSCAN", "INFO", "SADD", "SCRIPT LOAD", "SISMEMBER"),
        *("SMEMBERS", "TIME", "XINFO CONSUMERS", "XINFO GROUPS", "XINFO STREAM", "XPENDING", "XRANGE", "XREAD", "XREADGROUP"),
        *("XREVRANGE", "ZCOUNT", "ZMSCORE", "ZRANGE"),
    )
)
#: What it sends and can do without: a server that refuses these tells less of itself.
NICE: Final = frozenset(
    (
        "ACL DRYRUN",
        "ACL WHOAMI",
        "CLIENT SETNAME",
        "COMMAND INFO",
        "CONFIG GET",
        "CONFIG SET",
        "HELLO",
        "PING",
        "MULTI",
        "DISCARD",
    )
)


#: What `doctor` needs beside the rights of those who may do everything with a queue: to try rights, and to look it over.
OF_DOCTOR: Final = "+multi +discard +xinfo|consumers +zscan"

#: The scripts that a worker runs, and what it sends beside them.
_WORKER: Final = (
    *("admit", "beat", "bury", "open", "park", "quarantine", "reap", "remains", "renew", "settle", "sweep", "take"),
)
_BESIDE: Final = frozenset(("EVAL", "EVALSHA", "EXISTS", "HGETALL", "INFO", "SADD", "SISMEMBER", "TIME"))


@functools.cache
def of_scripts(*names: str) -> frozenset[str]:
    """The commands that scripts call, all of them where none is named, as their texts name them."""
    found = set()
    for name in names or every_script():
        for first, second in _CALL.findall(load(name).source):
            found.add(f"{first} {second}" if first in _CONTAINERS else first)
    return frozenset(found)


def every_script() -> list[str]:
    """The names of all scripts."""
    files = (resources.files("streamq") / "lua").iterdir()
    return [file.name.removesuffix(".lua") for file in files if file.name.endswith(".lua")]


def of_worker() -> frozenset[str]:
    """The commands without which a worker cannot work."""
    return of_scripts(*_WORKER) | _BESIDE


def needed() -> list[str]:
    """All commands that a queue cannot do without, in order."""
    return sorted(of_scripts() | OF_PROGRAM)


def example(command: str, keys: Keys) -> Command:
    """A command as it may be sent, on keys of the queue."""
    stand_for = {"$": keys["default"], "@": QUEUES}
    return [*command.split(), *(stand_for.get(word, word) for word in _FORMS[command].split())]


def examine(link: Link, keys: Keys) -> Iterator[Finding]:
    """Look at what the server has and what the user may do.

    Raises:
        ServerError: the server does not answer.
    """
    yield _commands(link)
    yield _rights(link, keys)


def _commands(link: Link) -> Finding:
    names = sorted({command.split()[0] for command in needed()})
    [reply] = link.batch([("COMMAND", "INFO", *names)])
    if not isinstance(reply, list):
        return finding(
            "commands", "note", "the server does not tell which commands it has", "allow the user of the URL COMMAND|INFO"
        )
    missing = [name for name, known in zip(names, reply, strict=True) if not known]
    if missing:
        what = f"the server lacks commands that a queue needs: {', '.join(missing)}"
        return finding("commands", "fault", what, "do not rename commands; use Redis 6.2 or newer, or Valkey", missing)
    return finding("commands", "ok", f"the server has all {len(names)} commands that a queue needs")


def _rights(link: Link, keys: Keys) -> Finding:
    commands = needed()
    [user] = link.batch([("ACL", "WHOAMI")])
    name = user.decode(errors="replace") if isinstance(user, bytes) else _user(link.endpoint)
    denied = _dry(link, name, commands, keys) if name else None
    if denied is None:
        denied = _queued(link, commands, keys)
    if denied is None:
        what = "whether the user may do all that a queue needs cannot be tried"
        mend = f"ACL SETUSER {name or 'NAME'} {OF_DOCTOR}, beside the rights of `everything` in docs/security.md"
        return finding("rights", "note", what, mend)
    who = f"user {name}" if name else "the user of the URL"
    if denied:
        works = of_worker().isdisjoint(denied)
        does = "may work on the queue, and not use every command" if works else "may not work on the queue"
        what = f"{who} {does}; it lacks {some(denied, 8)}"
        grant = " ".join(f"+{command.lower().replace(' ', '|')}" for command in denied)
        mend = f"ACL SETUSER {name or 'NAME'} ~streamq:* {grant}"
        return finding("rights", "note" if works else "fault", what, mend, denied)
    return finding("rights", "ok", f"{who} may do all that a queue needs")


def in_the_way(error: ServerUnusable, found: Finding) -> Finding:
    """The finding about rights where the queue could not be looked over for want of one; any other finding as it is."""
    if found.id != "rights" or found.level == "fault" or not isinstance(error, Forbidden):
        return found
    what = f"{found.what}; the queue was not looked over: {error}"
    return msgspec.structs.replace(found, level=found.level if found.subjects else "fault", what=what)


def _user(endpoint: Endpoint) -> str | None:
    """The user that the URL names."""
    name = None if endpoint.embedded else urlsplit(str(endpoint.where)).username
    return unquote(name) if name else None


def _dry(link: Link, user: str, commands: list[str], keys: Keys) -> list[str] | None:
    """What a user may not do; None: it cannot be asked."""
    replies = link.batch([["ACL", "DRYRUN", user, *example(command, keys)] for command in commands])
    if any(isinstance(reply, Exception) for reply in replies):
        return None
    return [command for command, reply in zip(commands, replies, strict=True) if reply != b"OK"]


def _queued(link: Link, commands: list[str], keys: Keys) -> list[str] | None:
    """The same, by a transaction that is thrown away; None: there is none.

    Nothing is sent before the transaction stands: outside of one these commands would be executed.
    """
    [begun] = link.batch([["MULTI"]])
    if isinstance(begun, Exception):
        return None
    *replies, _ = link.batch([*(example(command, keys) for command in commands), ["DISCARD"]])
    return [command for command, reply in zip(commands, replies, strict=True) if isinstance(reply, Forbidden)]
