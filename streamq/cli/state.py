"""What every command is handed as `ctx.obj`: the settings in force, the server, the queue, and where the output goes.

Everything is made when it is first asked for, so that a command pays only for what it uses, and closed when the command ends.
Called by the commands (`@click.pass_obj`); `options.py` puts in what the user said.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from streamq.cli.render import Output, note

if TYPE_CHECKING:
    from streamq.config import Settings
    from streamq.keys import Keys
    from streamq.queue import Queue
    from streamq.server.connect import Link
    from streamq.server.endpoint import Endpoint
    from streamq.transitions import Transitions

#: Option of every command -> the key of the configuration that it sets.
OVERRIDES = {"url": "server.url", "queue": "queue.name", "data": "server.data"}


class State:
    """One run of the program."""

    def __init__(self) -> None:
        #: Values of the options of every command, by name; what was not given is absent.
        self.given: dict[str, object] = {}
        self._links: list[Link] = []

    @property
    def json(self) -> bool:
        """Whether the output is to be JSON."""
        return bool(self.given.get("json"))

    @property
    def debug(self) -> bool:
        """Whether errors are to show their traceback, and the log its debug messages."""
        return bool(self.given.get("debug"))

    @functools.cached_property
    def settings(self) -> Settings:
        """The configuration in force, these options included.

        Raises:
            UsageError: it has faults, or the file that was named does not exist.
        """
        from streamq.config import load

        config = self.given.get("config")
        overrides = {key: self.given.get(name) for name, key in OVERRIDES.items()}
        if self.debug:
            overrides["log.level"] = "debug"
        return load(None if config is None else str(config), overrides)

    @functools.cached_property
    def out(self) -> Output:
        """Where results are printed."""
        return Output(json=self.json)

    @functools.cached_property
    def keys(self) -> Keys:
        """The keys of the queue in force."""
        from streamq.keys import Keys

        return Keys(self.settings.queue.name)

    @functools.cached_property
    def endpoint(self) -> Endpoint:
        """The server in force; nothing is started or connected yet."""
        from streamq.server.endpoint import Endpoint

        return Endpoint.of(self.settings)

    def link(self, name: str | None = None) -> Link:
        """A connection of its own to the server, closed when the command ends; connects at its first call."""
        from streamq.server.connect import Link

        self._start_log()
        link = Link(self.endpoint, name=name)
        self._links.append(link)
        return link

    @functools.cached_property
    def transitions(self) -> Transitions:
        """The transitions of the queue, over one connection of the command's thread."""
        from streamq.transitions import Transitions

        return Transitions(self.link(), self.keys, history=self.settings.worker.history)

    @functools.cached_property
    def _queue(self) -> Queue:
        from streamq.queue import Queue

        self._start_log()
        return Queue(self.settings)

    def queue(self) -> Queue:
        """The queue of these settings, closed when the command ends."""
        return self._queue

    def announce(self) -> None:
        """Say on stderr which server is used: `produce` and `consume` that do not meet show it so."""
        where = f"embedded, data {self.endpoint.data}" if self.endpoint.embedded else "given"
        note(f"server {self.endpoint.masked} ({where}), queue {self.keys.queue}")

    def _start_log(self) -> None:
        from streamq.log import set_up

        set_up(self.settings.log)

    def close(self) -> None:
        """Close what was opened."""
        for link in self._links:
            link.close()
        if "_queue" in self.__dict__:
            self._queue.close()
