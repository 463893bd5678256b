"""The variables `STREAMQ_…` to the values that they set.

`STREAMQ_URL`, `STREAMQ_QUEUE` and `STREAMQ_DATA` are short for the three keys that are set most; every key has
`STREAMQ_SECTION__KEY`, with two underscores for each dot: `STREAMQ_WORKER__BACKOFF__BASE=2s`. An empty variable sets nothing, as
an unset one. A variable with `__` that names no key is a fault; one without belongs to somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streamq.config.convert import Raw

#: Names the configuration file; read before everything else.
CONFIG = "STREAMQ_CONFIG"

#: Short name -> key. The short name wins over the long one.
SHORT = {"STREAMQ_URL": "server.url", "STREAMQ_QUEUE": "queue.name", "STREAMQ_DATA": "server.data"}

_PREFIX = "STREAMQ_"


def variable(key: str) -> str:
    """Return the long name of the variable that sets a key: `worker.lease` -> `STREAMQ_WORKER__LEASE`."""
    return _PREFIX + key.upper().replace(".", "__")


def read(environ: Mapping[str, str]) -> Iterator[Raw]:
    """Yield what the environment sets; where a key comes twice, the later one wins."""
    for name in sorted(environ):
        if name.startswith(_PREFIX) and "__" in name and environ[name]:
            yield Raw(name.removeprefix(_PREFIX).lower().replace("__", "."), environ[name], f"environment {name}", text=True)
    for name, key in SHORT.items():
        if environ.get(name):
            yield Raw(key, environ[name], f"environment {name}", text=True)
