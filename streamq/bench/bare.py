"""The yardstick: what redis-py does on the same server with the same entries, and nothing around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamq.errors import ServerUnreachable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from streamq.server.endpoint import Endpoint

#: What an entry of the task `empty` holds.
ENTRY: Final = {"task": "empty", "args": "{}"}


class Bare:
    """redis-py's client, which adds entries to a stream; its errors become ours where the `with` block ends.

    Args:
        endpoint: the server.
        stream: the key.
    """

    def __init__(self, endpoint: Endpoint, stream: str) -> None:
        import redis

        self._client = redis.Redis.from_url(endpoint.resolve())
        self._shown = endpoint.masked
        self._stream = stream

    def add(self) -> None:
        """Add one entry."""
        self._client.xadd(self._stream, ENTRY)  # type: ignore[arg-type]

    def add_many(self, many: int) -> None:
        """Add so many entries in one pipeline."""
        pipeline = self._client.pipeline(transaction=False)
        for _ in range(many):
            pipeline.xadd(self._stream, ENTRY)  # type: ignore[arg-type]
        pipeline.execute()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()
        if error is not None:
            from redis.exceptions import RedisError

            if isinstance(error, RedisError):
                raise ServerUnreachable(f"redis-py at {self._shown}: {error}") from error
