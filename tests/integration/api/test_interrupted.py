"""Ctrl-C in a script that sends many tasks: the traceback tells how many had been accepted."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.conftest import wait_until
from tests.integration.api.conftest import stored

if TYPE_CHECKING:
    import redis

    from streamq.keys import Keys

PROGRAM = """
import itertools, sys
from streamq import App

app = App(sys.argv[2], url=sys.argv[1])

@app.task
def tiny(n: int) -> None:
    pass

app.enqueue_many(tiny.prepare(n) for n in itertools.count())
"""


def test_it_tells_what_had_been_accepted(server: str, queue_name: str, client: redis.Redis, keys: Keys) -> None:
    """As a note of the exception, with the first id and the last; what was under way is waited for, or told of as not known."""
    command = [sys.executable, "-c", PROGRAM, server, queue_name]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as script:
        wait_until(lambda: client.xlen(keys["default"]), "it sends")
        script.send_signal(signal.SIGINT)
        err = script.communicate()[1]
    ids = [task_id for task_id, _ in stored(client, keys)]
    told = re.search(r"^(\d+) tasks had been accepted before: (\S+) to (\S+)$", err, re.MULTILINE)
    unknown = re.search(r"^(\d+) more may have been accepted, or not", err, re.MULTILINE)
    assert told or unknown, err
    many = int(told[1]) if told else 0
    assert many <= len(ids) <= many + (int(unknown[1]) if unknown else 0)
    if told:
        assert (told[2], told[3]) == (ids[0], ids[many - 1])
