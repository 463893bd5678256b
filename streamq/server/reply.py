"""What an error reply of a server means: worth waiting for, hopeless, full, or an answer that the caller has to judge.

Made from the reply's first word, its code. `connect.py` builds every error reply with `error_of`; callers above compare `ReplyError.code`
(`NOSCRIPT`, `NOGROUP`, `BUSYGROUP`, `UNBLOCKED`, `WRONGTYPE`).
"""

from __future__ import annotations

import re

from streamq.errors import ServerError, ServerUnreachable, ServerUnusable, StreamqError


class ReplyError(StreamqError):
    """The server refused one command and can be used as before.

    Attributes:
        code: the first word of the reply, such as `NOGROUP`; `ERR` for the errors that have no code of their own.
        text: the whole reply.
    """

    def __init__(self, text: str) -> None:
        super().__init__(f"the server refused a command: {text}")
        self.text = text
        self.code = code_of(text)


class ReplyLost(ServerUnreachable):
    """The connection broke, or the time was over, after a command was sent: it may have been executed, or not."""


class MemoryFull(ServerError):
    """The server has reached `maxmemory` and takes nothing new; what it holds can still be worked off."""


class CannotPersist(ServerError):
    """The server cannot write to its disk and refuses writes until it can."""


# Up to Redis 6.2 the error of a command inside a script comes wrapped, its code behind the script's name and line.
_WRAPPED = re.compile(r"^ERR Error running script .*?@user_script: ?\d+: (?:@user_script: ?\d+: )?-?(?=[A-Z]{3,} )")

_WAIT = {
    "LOADING": "the server is still loading its data",
    "BUSY": "the server is busy with a script that does not end",
    "MASTERDOWN": "the server is a replica that has lost its master",
    "CLUSTERDOWN": "the cluster is down",
    "TRYAGAIN": "the cluster is moving the queue to another node",
    "ERR max number of clients reached": "the server has as many clients as it accepts",
}

_LOGIN = "check user name and password in the URL (redis://USER:PASSWORD@HOST:PORT)"
_CLUSTER = "give the URL of a server that is not part of a cluster"
_HOPELESS = {
    "NOAUTH": ("the server wants a password", _LOGIN),
    "WRONGPASS": ("the server refuses user name or password", _LOGIN),
    "ERR invalid password": ("the server refuses the password", _LOGIN),
    "ERR AUTH": ("the server has no password, but the URL gives one", "leave the password out of the URL"),
    "ERR Client sent AUTH": ("the server has no password, but the URL gives one", "leave the password out of the URL"),
    "NOPERM": ("the user of the URL may not do what a queue needs", "grant it the commands and keys: ~streamq:* +@all -@dangerous"),
    "DENIED": ("the server is in protected mode and refuses connections from other hosts", "set a password or `bind` on the server"),
    "READONLY": ("the server is a read-only replica", "give the URL of the master"),
    "MOVED": ("the server is a node of a cluster that holds the queue elsewhere", _CLUSTER),
    "ASK": ("the server is a node of a cluster that is moving the queue", _CLUSTER),
    "CROSSSLOT": ("the server is a cluster's, or a proxy's, that splits a queue", _CLUSTER),
    "ERR unknown command": ("the server lacks a command that a queue needs", "use Redis 6.2 or newer, or Valkey"),
    "ERR Unknown Redis command": ("the server lacks a command that a queue needs", "use Redis 6.2 or newer, or Valkey"),
    "ERR DB index is out of range": ("the server has no database of this number", "correct the number at the end of the URL"),
    "ERR SELECT is not allowed": ("the server has only database 0", "leave the number out of the URL"),
}


def code_of(text: str) -> str:
    """The code of an error reply: its first word."""
    return text.partition(" ")[0]


def error_of(text: str) -> StreamqError:
    """The error that an error reply stands for.

    Returns:
        `ServerUnreachable` (worth waiting for), `ServerUnusable`, `MemoryFull`, `CannotPersist`, else `ReplyError`.
    """
    text = _WRAPPED.sub("", text)
    code = code_of(text)
    if code == "OOM":
        return MemoryFull("the server's memory is full (maxmemory)", hint="raise its maxmemory, or let workers empty the queue first")
    if code == "MISCONF":
        return CannotPersist(f"the server cannot write to its disk: {text}", hint="free space on the disk of its data directory")
    if code in _WAIT:
        return ServerUnreachable(_WAIT[code])
    if code in _HOPELESS:
        what, hint = _HOPELESS[code]
        return ServerUnusable(f"{what}: {text}", hint=hint)
    if code == "ERR":
        return _of_sentence(text)
    return ReplyError(text)


def _of_sentence(text: str) -> StreamqError:
    """Errors without a code, told apart by how their sentence begins."""
    for start, what in _WAIT.items():
        if text.startswith(start):
            return ServerUnreachable(what)
    for start, (what, hint) in _HOPELESS.items():
        if text.startswith(start):
            return ServerUnusable(f"{what}: {text}", hint=hint)
    return ReplyError(text)
