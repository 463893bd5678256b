"""What an error reply of a server means: worth waiting for, hopeless, full, or an answer that the caller has to judge.

Told by the reply's first word, its code, or by how its sentence begins. `connect.py` builds every error reply with `error_of`;
callers above compare `ReplyError.code` (`NOSCRIPT`, `NOGROUP`, `BUSYGROUP`, `UNBLOCKED`, `WRONGTYPE`).
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
        self.code = text.partition(" ")[0]


class ReplyLost(ServerUnreachable):
    """The connection broke, or the time was over, after a command was sent: it may have been executed, or not."""


class MemoryFull(ServerError):
    """The server has reached `maxmemory` and takes nothing new; what it holds can still be worked off."""


class CannotPersist(ServerError):
    """The server cannot write to its disk and refuses writes until it can."""


class NotWritable(ServerUnreachable):
    """The server takes no writes for the time being: a failover is under way, or it has too few replicas."""


class Forbidden(ServerUnusable):
    """The user of the connection may not run this command, or not on this key (NOPERM)."""


#: What keeps a server from taking anything new although it answers. Workers wait for the end of it, since they hold tasks and
#: make room themselves; senders say so at once: what they send is refused for certain, and a minute seldom mends it.
FULL = (MemoryFull, CannotPersist)

# Up to Redis 6.2 the error of a command inside a script comes wrapped, its code behind the script's name and line; on all servers
# an error that a script raises again comes so.
_WRAPPED = re.compile(r"^ERR (?:Error running script [^:]*: )?(?:@?user_script: ?\d+: )+-?(?=[A-Z]{3,} |The user )")
#: Only a command that was sent by itself is refused with a code of its own; one that a script calls, in three ways.
_FORBIDDEN = ("NOPERM ", "The user executing the script ", "ERR The user executing the script ", "ERR ACL failure in script")

_LOGIN = "check user name and password in the URL (redis://USER:PASSWORD@HOST:PORT)"
_NO_LOGIN = "leave the password out of the URL"
# What a server says that names rights: Redis 6.2 names neither user nor command, 7.0 the command.
_COMMAND = re.compile(r"(?:User (\S+)|user) has no permissions to run the '([^']+)' command")
_KEY = re.compile(r"access (?:a|the|one|at least one)\b.*\bkeys?\b")
_RIGHTS = "`streamq doctor` names the commands that it lacks; its keys are ~streamq:*"
_CLUSTER = "give the URL of a server that is not part of a cluster"
_OLD = "use Redis 6.2 or newer, or Valkey"
_MEMORY = (
    "raise its maxmemory, or let workers empty the queue, then send again; queue.max_size makes senders wait before it is full"
)
_DISK = "free space on the disk of its data directory, then send again: it takes tasks as soon as it can write"

#: Beginning of the reply, what kind of error it is, what it means, how to mend it.
_MEANINGS: tuple[tuple[str, type[ServerError], str, str | None], ...] = (
    ("LOADING ", ServerUnreachable, "the server is still loading its data", None),
    ("BUSY ", ServerUnreachable, "the server is busy with a script that does not end", "`SCRIPT KILL` on the server ends it"),
    ("MASTERDOWN ", ServerUnreachable, "the server is a replica that has lost its master", None),
    ("CLUSTERDOWN ", ServerUnreachable, "the cluster is down", None),
    ("TRYAGAIN ", ServerUnreachable, "the cluster is moving the queue to another node", None),
    ("ERR max number of clients", ServerUnreachable, "the server has as many clients as it accepts", "raise its maxclients"),
    ("OOM ", MemoryFull, "the server's memory is full (maxmemory)", _MEMORY),
    ("MISCONF ", CannotPersist, "the server cannot write to its disk", _DISK),
    *((told, Forbidden, "the user of the URL may not do what a queue needs", _RIGHTS) for told in _FORBIDDEN),
    ("NOAUTH ", ServerUnusable, "the server wants a password", _LOGIN),
    ("WRONGPASS ", ServerUnusable, "the server refuses user name or password", _LOGIN),
    ("ERR invalid password", ServerUnusable, "the server refuses the password", _LOGIN),
    ("ERR AUTH ", ServerUnusable, "the server has no password, but the URL gives one", _NO_LOGIN),
    ("ERR Client sent AUTH", ServerUnusable, "the server has no password, but the URL gives one", _NO_LOGIN),
    ("DENIED ", ServerUnusable, "the server refuses connections from other hosts (protected mode)", "give the server a password"),
    ("READONLY ", NotWritable, "the server is a read-only replica", "give the URL of the master"),
    ("NOREPLICAS ", NotWritable, "the server has too few replicas to take writes", "its min-replicas-to-write asks for more"),
    ("MOVED ", ServerUnusable, "the server is a node of a cluster, and not the queue's", _CLUSTER),
    ("ASK ", ServerUnusable, "the server is a node of a cluster that is moving the queue", _CLUSTER),
    ("CROSSSLOT ", ServerUnusable, "the server is a cluster's, or a proxy's, that splits a queue", _CLUSTER),
    ("ERR unknown command", ServerUnusable, "the server lacks a command that a queue needs", _OLD),
    ("ERR Unknown Redis command", ServerUnusable, "the server lacks a command that a queue needs", _OLD),
    ("ERR DB index", ServerUnusable, "the server has no database of this number", "correct the number at the end of the URL"),
    ("ERR SELECT is not allowed", ServerUnusable, "the server has only database 0", "leave the number out of the URL"),
)


def _grant(text: str) -> str:
    """How to give a user the right that a server has told to be missing."""
    command = _COMMAND.search(text)
    if command:
        grant = f"`ACL SETUSER {command[1] or 'NAME'} +{command[2]}` on the server grants it"
        return f"{grant}; `streamq doctor` names all that is missing"
    if _KEY.search(text):
        return "`ACL SETUSER NAME ~streamq:*` on the server grants all keys of streamq; `streamq doctor` names what else it lacks"
    return _RIGHTS


def error_of(text: str) -> StreamqError:
    """The error that an error reply stands for.

    Returns:
        `ServerUnreachable` (worth waiting for; `NotWritable` is one), `ServerUnusable`, `MemoryFull`, `CannotPersist`, else
        `ReplyError`.
    """
    text = _WRAPPED.sub("", text)
    for beginning, kind, what, hint in _MEANINGS:
        if text.startswith(beginning):
            return kind(f"{what} ({text})", hint=_grant(text) if kind is Forbidden else hint)
    return ReplyError(text)
