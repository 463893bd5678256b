"""What the server promises: what a crash of it can lose, what it throws away by itself, what it refuses, and how its clock goes.

All of it is asked for, nothing is inferred from a version. A server may hide INFO or CONFIG (an ACL, a managed service): what it
does not tell is said to be unknown, and is a note.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from streamq.doctor.finding import finding, many
from streamq.server.probe import Facts, probe
from streamq.units import duration, human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streamq.doctor.finding import Finding, Level
    from streamq.server.connect import Link

#: Settings that decide what the server promises, beside those in INFO.
_SETTINGS: Final = (
    "appendonly",
    "appendfsync",
    "save",
    "maxmemory-policy",
    "min-replicas-to-write",
    "stop-writes-on-bgsave-error",
    "no-appendfsync-on-rewrite",
)
#: From these shares of `maxmemory` on the server is nearly full, and full.
_NEARLY, _FULL = 0.8, 1.0
#: Clocks that differ by less, in ms, are taken to agree; by more than the second, people are misled by times.
_CLOCK_NOTE, _CLOCK_WARNING = 2_000, 60_000
#: The best of so many round trips measures the clock.
_ROUND_TRIPS: Final = 5


class Told(dict[str, str]):
    """What a server tells of itself: INFO and CONFIG in one; a name that it does not tell is empty."""

    def __missing__(self, name: str) -> str:
        return ""

    def number(self, name: str) -> int | None:
        """A number; None: not told."""
        return int(self[name]) if self[name].isdigit() else None


def ask(link: Link) -> Told:
    """Ask a server for all that it tells of itself, in one round trip.

    Raises:
        ServerError: it does not answer.
    """
    info, *settings = link.batch([("INFO",), *[("CONFIG", "GET", name) for name in _SETTINGS]])
    told = Told()
    for reply in settings:
        if isinstance(reply, list) and len(reply) == 2:  # noqa: PLR2004 - a name and its value
            told[reply[0].decode()] = reply[1].decode(errors="replace")
    if isinstance(info, bytes):
        for line in info.decode(errors="replace").splitlines():
            name, _, value = line.partition(":")
            told[name] = value
    return told


def examine(link: Link) -> Iterator[Finding]:
    """Look at a server.

    Raises:
        ServerError: it does not answer.
    """
    facts, told = probe(link), ask(link)
    yield _kind(facts)
    yield _durability(facts, told)
    yield _persistence(told)
    yield _eviction(facts)
    yield _evicted(told)
    yield _memory(facts)
    yield _replication(told)
    yield _min_replicas(told)
    yield clock(link)


def _kind(facts: Facts) -> Finding:
    embedded = ", embedded" if facts.embedded else ""
    return finding("server", "ok", f"{facts.kind} {facts.version}{embedded}, at {facts.url}")


def _durability(facts: Facts, told: Told) -> Finding:
    """What a crash can lose."""
    embedded = facts.embedded
    if facts.durability == "always":
        return finding("durability", "ok", "every write is on the disk before it is acknowledged: a crash loses nothing")
    if facts.durability == "everysec":
        what = "a crash of the machine can lose the last second, up to two while the disk is slow (fsync each second)"
        if told["no-appendfsync-on-rewrite"] == "yes":
            what += "; while the append-only file is rewritten nothing is synced, and what the system holds can be lost"
        mend = "`server.durability: always` loses nothing, and is slower" if embedded else _set("appendfsync always")
        return finding("durability", "note", what, mend)
    if facts.durability == "no":
        what = "a crash of the machine can lose what the system has not written yet, about 30 s (fsync no)"
        return finding("durability", "warning", what, _set("appendfsync everysec"))
    if facts.durability == "none":
        return finding("durability", "fault", _without_file(told), _set("appendonly yes"))
    return finding("durability", "note", "the server does not tell whether it writes to a disk", _INFO)


def _without_file(told: Told) -> str:
    """What is lost without an append-only file."""
    last = told.number("rdb_last_save_time")
    if "save" in told and not told["save"]:
        return "nothing is written to a disk: a restart of the server loses every task"
    ago = "" if last is None else f", the last one was {duration(max(0, round(time.time() - last)))} ago"
    return f"there is no append-only file: a crash loses all since the last snapshot{ago}"


def _persistence(told: Told) -> Finding:
    """Whether what is to be written can be written."""
    snapshots_stop_writes = (
        told["rdb_last_bgsave_status"] == "err" and told["stop-writes-on-bgsave-error"] != "no" and told["save"]
    )
    if told["aof_last_write_status"] == "err":
        what = "the append-only file cannot be written: the server refuses writes, what it accepted last is in memory alone"
        mend = "do not stop the server, that would be lost; free space on its disk: it writes by itself within a second"
    elif snapshots_stop_writes:
        what, mend = "the last snapshot failed: the server refuses all writes until one succeeds", _DISK
    elif told["aof_last_bgrewrite_status"] == "err":
        return finding("persistence", "warning", "the last rewrite of the append-only file failed: it only grows", _DISK)
    elif told["rdb_last_bgsave_status"] == "err":
        return finding("persistence", "note", "the last snapshot failed", _DISK)
    elif told["rdb_last_bgsave_status"] == "":
        return finding("persistence", "note", "the server does not tell whether its last writes succeeded", _INFO)
    else:
        return finding("persistence", "ok", "the last writes to the disk succeeded")
    return finding("persistence", "fault", what, mend)


def _eviction(facts: Facts) -> Finding:
    if facts.eviction == "noeviction":
        return finding("eviction", "ok", "nothing is evicted: a full server refuses, and deletes no task (noeviction)")
    if facts.eviction == "unknown":
        return finding("eviction", "note", "the server does not tell whether it evicts keys when its memory is full", _INFO)
    when = "" if facts.max_memory_bytes else " (it has no limit now; the day it gets one it begins)"
    what = f"when its memory is full the server deletes keys, tasks among them: {facts.eviction}{when}"
    return finding("eviction", "fault", what, _set("maxmemory-policy noeviction"))


def _evicted(told: Told) -> Finding:
    """Whether the server has already thrown keys away, whatever its policy is now."""
    evicted = told.number("evicted_keys")
    if evicted is None:
        return finding("evicted", "note", "the server does not tell whether it has evicted keys", _INFO)
    if not evicted:
        return finding("evicted", "ok", "no key has been evicted since the server started")
    what = f"{many(evicted, 'key was', 'keys were')} evicted for want of memory since the server started: tasks may be lost"
    mend = "see that `eviction` is ok, then send again what is missing; CONFIG RESETSTAT on the server ends this warning"
    return finding("evicted", "warning", what, mend)


def _memory(facts: Facts) -> Finding:
    used, most = facts.used_memory_bytes, facts.max_memory_bytes
    if used is None or most is None:
        return finding("memory", "note", "the server does not tell how much memory it uses", _INFO)
    if not most:
        return finding("memory", "ok", f"{human_bytes(used)} used, without a limit of its own")
    what = f"{human_bytes(used)} of {human_bytes(most)} used ({used / most:.0%})"
    if used >= _FULL * most:
        return finding("memory", "fault", f"{what}: nothing new is accepted, what is there can be worked off", _MEMORY)
    if used >= _NEARLY * most:
        return finding("memory", "warning", f"{what}: soon nothing new is accepted", _MEMORY)
    return finding("memory", "ok", what)


def _replication(told: Told) -> Finding:
    replicas = told.number("connected_slaves")
    if told["role"] == "slave":
        return finding("replication", "fault", "this is a replica: it takes no task", "give the URL of the master")
    if replicas is None:
        return finding("replication", "note", "the server does not tell whether it has replicas", _INFO)
    if not replicas:
        return finding("replication", "ok", "no replica: what the disk of this server loses is lost")
    what = f"{many(replicas, 'replica')}, asynchronous: a failover loses what had not been replicated"
    return finding("replication", "note", what, "let nothing fail over by itself that must not lose an accepted task")


def _min_replicas(told: Told) -> Finding:
    wanted = told.number("min-replicas-to-write")
    good, connected = told.number("min_slaves_good_slaves"), told.number("connected_slaves")
    if not wanted:
        told_it = "min-replicas-to-write" in told
        what = "writes wait for no replica" if told_it else "the server does not tell whether writes need replicas"
        return finding("min-replicas", "ok" if told_it else "note", what, None if told_it else _INFO)
    there = connected if good is None else good
    what = f"with fewer than {many(wanted, 'replica')} the server refuses all writes, finished tasks cannot be settled either"
    if (there or 0) < wanted:
        return finding("min-replicas", "fault", f"{what}; now it has {there or 0}", _set("min-replicas-to-write 0"))
    return finding("min-replicas", "warning", f"{what}; now it has {there}", _set("min-replicas-to-write 0"))


def clock(link: Link, now: Callable[[], float] = time.time) -> Finding:
    """How far the clock of the server is from this machine's, measured around a few round trips.

    Args:
        link: to the server.
        now: this machine's clock, in seconds since the epoch.
    """
    best, away = float("inf"), 0.0
    for _ in range(_ROUND_TRIPS):
        began, before = time.perf_counter(), now()
        seconds, micros = link.call("TIME")
        took = time.perf_counter() - began
        if took < best:
            best, away = took, int(seconds) + int(micros) / 1e6 - before - took / 2
    ms, exact = round(away * 1000), max(1, round(best * 500))
    what = f"the server's clock is {abs(ms):,} ms {'ahead of' if ms >= 0 else 'behind'} this machine's (± {exact} ms)"
    if abs(ms) - exact < _CLOCK_NOTE:
        return finding("clock", "ok", what)
    what += "; leases and due times go by the server's alone"
    level: Level = "warning" if abs(ms) - exact >= _CLOCK_WARNING else "note"
    return finding("clock", level, what, "let both machines follow one time server (NTP)")


def _set(setting: str) -> str:
    return f"on the server: CONFIG SET {setting}, and in its configuration file, so that it stays"


_INFO = "allow the user of the URL INFO and CONFIG|GET, or ask whoever runs the server"
_DISK = "free space on the disk of the server's data directory, and see its log"
_MEMORY = "raise maxmemory, or let workers empty the queue first; `queue.max_size` bounds it"
