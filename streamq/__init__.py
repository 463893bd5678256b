"""streamq: a task queue on Redis Streams that cannot lose a task."""
