"""Which commands are bounded whatever a queue holds, judged by their words alone."""

from __future__ import annotations

from collections.abc import Callable

#: Most entries, rows or members that one command may read, and most words that it may have.
PAGE, WORDS = 5000, 1100

#: Commands of which one costs the same at any depth, or the logarithm of it, for each word.
_ONE_BY_ONE = frozenset(
    (
        *("exists", "get", "hdel", "hexists", "hget", "hincrby", "hmget", "hset", "hsetnx", "set", "sismember", "sadd", "time"),
        *("xack", "xadd", "xclaim", "xdel", "xgroup", "xlen", "zadd", "zcard", "zcount", "zmscore", "zrem", "zscore"),
        *("echo", "script", "info", "config", "command", "hello", "acl", "ping", "multi", "discard", "client"),
    )
)
#: What these do is seen by the commands that they send.
_SCRIPTS = frozenset(("evalsha", "eval"))
#: Hashes and sets that are as large as the fleet, the counters, or the number of queues or of names, and may be read whole.
_WHOLE = (":fleet", ":running", ":limits", ":stats", "streamq:queues")
#: The zset of the fleet.
_FLEET = ":workers"


def unbounded(words: list[str]) -> bool:
    """Whether a command may read without bound."""
    name = words[0]
    rule = _RULES.get(name)
    if len(words) > WORDS and name not in _SCRIPTS:
        return True
    return name not in _ONE_BY_ONE | _SCRIPTS and (rule is None or not rule(words))


def _count(words: list[str], word: str = "COUNT", *, off: int = 1) -> bool:
    """Whether the number behind a word is small."""
    upper = [each.upper() for each in words]
    return word in upper and int(words[upper.index(word) + off]) <= PAGE


def _is_range(words: list[str]) -> bool:
    """XRANGE of one entry, or with a bound."""
    return words[2] == words[3] or _count(words)


def _is_pending(words: list[str]) -> bool:
    """XPENDING as a summary, or from an entry on with a bound; with IDLE it looks at all that is pending."""
    return len(words) == 3 or (words[3].upper() != "IDLE" and int(words[5]) <= PAGE)


def _is_zrange(words: list[str]) -> bool:
    """ZRANGE by place, or by score with a bound; the fleet may be read whole."""
    if words[1].endswith(_FLEET):
        return True
    if "BYSCORE" in words:
        return _count(words, "LIMIT", off=2)
    return 0 <= int(words[3]) - int(words[2]) <= PAGE


_RULES: dict[str, Callable[[list[str]], bool]] = {
    "hgetall": lambda words: words[1].endswith(_WHOLE),
    "hvals": lambda words: words[1].endswith(_WHOLE),
    "smembers": lambda words: words[1].endswith(_WHOLE),
    "hscan": _count,
    "zscan": _count,
    "xautoclaim": _count,
    "xinfo": lambda words: "FULL" not in words,
    "xpending": _is_pending,
    "xrange": _is_range,
    "xrevrange": _is_range,
    "xread": _count,
    "xreadgroup": _count,
    "zrange": _is_zrange,
    "zrangebyscore": lambda words: words[1].endswith(_FLEET) or _count(words, "LIMIT", off=2),
}
