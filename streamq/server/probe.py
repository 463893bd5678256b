"""What the server is and what it can promise, found by asking it; versions are told, never compared.

`stats`, `monitor` and `doctor` show these facts. A server may hide INFO or CONFIG (an ACL, a managed service): what it does not
tell is `unknown` or None, and no error.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamq.server.connect import Link
    from streamq.server.endpoint import Endpoint

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Facts:
    """The `server` object of `stats`, and more. Sizes in bytes."""

    #: `redis` or `valkey`.
    kind: str
    version: str
    #: Its password is hidden.
    url: str
    embedded: bool
    used_memory_bytes: int | None
    #: 0: no limit.
    max_memory_bytes: int | None
    #: `maxmemory-policy`; anything but `noeviction` may throw tasks away.
    eviction: str
    #: `always`, `everysec` or `no`: when its append-only file is synced; `none`: it has no such file.
    durability: str
    connected: bool
    pid: int | None = None
    #: Changes with every start of the server.
    run_id: str | None = None
    #: `master` or `slave`.
    role: str = UNKNOWN
    uptime_ms: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The facts as a JSON object."""
        return asdict(self)


def away(endpoint: Endpoint) -> Facts:
    """The facts about a server that does not answer."""
    return Facts(UNKNOWN, UNKNOWN, endpoint.masked, endpoint.embedded, None, None, UNKNOWN, UNKNOWN, connected=False)


def probe(link: Link) -> Facts:
    """Ask a server what it is, in one round trip.

    Raises:
        ServerError: it does not answer.
    """
    settings = [("CONFIG", "GET", name) for name in ("appendonly", "appendfsync", "maxmemory-policy")]
    asked = link.batch([("INFO",), ("HELLO",), *settings])
    info = _info(asked[0])
    hello = _pairs(asked[1])
    config = {name: value for reply in asked[2:] for name, value in _pairs(reply).items()}
    kind = "valkey" if "valkey_version" in info else info.get("server_name") or hello.get("server", UNKNOWN)
    aof = {"1": "yes", "0": "no"}.get(info.get("aof_enabled", ""), config.get("appendonly", UNKNOWN))
    uptime = _number(info.get("uptime_in_seconds"))
    return Facts(
        kind="redis" if kind == UNKNOWN and "redis_version" in info else kind,
        version=info.get("valkey_version") or info.get("redis_version") or hello.get("version", UNKNOWN),
        url=link.endpoint.masked,
        embedded=link.endpoint.embedded,
        used_memory_bytes=_number(info.get("used_memory")),
        max_memory_bytes=_number(info.get("maxmemory")),
        eviction=info.get("maxmemory_policy") or config.get("maxmemory-policy", UNKNOWN),
        durability="none" if aof == "no" else config.get("appendfsync", UNKNOWN) if aof == "yes" else UNKNOWN,
        connected=True,
        pid=_number(info.get("process_id")),
        run_id=info.get("run_id"),
        role=info.get("role", hello.get("role", UNKNOWN)),
        uptime_ms=None if uptime is None else uptime * 1000,
    )


def _info(reply: object) -> dict[str, str]:
    if not isinstance(reply, bytes):
        return {}
    return dict(line.split(":", 1) for line in reply.decode(errors="replace").splitlines() if ":" in line)


def _pairs(reply: object) -> dict[str, str]:
    """The reply of HELLO or CONFIG GET: names and values in turn; errors and nested values are left out."""
    if not isinstance(reply, list):
        return {}
    texts = [value.decode(errors="replace") if isinstance(value, bytes) else None for value in reply]
    return {name: value for name, value in zip(texts[::2], texts[1::2], strict=False) if name is not None and value is not None}


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
