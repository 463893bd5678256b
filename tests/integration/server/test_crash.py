"""The embedded server killed again and again under load: nothing that was acknowledged is lost, and nobody needs help."""

from __future__ import annotations

import random
import signal
from pathlib import Path

from streamq.server import embedded
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from tests.conftest import wait_until
from tests.integration.server.servers import kill_server, output, python, servers_of

WRITER = """
import sys
from pathlib import Path
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
from streamq.server.patience import waiting

data, ledger, name = sys.argv[1:]
link = Link(Endpoint(Path(data), durability="always"))
with open(ledger, "a", buffering=1) as acknowledged, open(ledger + ".tries", "a", buffering=1) as tries:
    number = 0
    while not Path(data, "enough").exists():
        task = f"{name}-{number}"
        waiting(lambda: link.call("XADD", "stream", "*", "task", task), 60, on_wait=lambda *_: print(file=tries))
        acknowledged.write(task + "\\n")
        number += 1
"""


def test_nothing_acknowledged_is_lost_when_the_server_is_killed_under_writers(home: Path, tmp_path: Path) -> None:
    """Six writers, eight kills: each writer goes on, one server serves all, and every acknowledged entry is in the stream."""
    ledgers = [tmp_path / f"ledger-{number}" for number in range(6)]
    writers = [python(WRITER, home, ledger, number) for number, ledger in enumerate(ledgers)]

    def written() -> list[str]:
        return [line for ledger in ledgers if ledger.exists() for line in ledger.read_text().splitlines()]

    moments = random.Random(3)  # noqa: S311 - moments, no secrets
    pids = set()
    for _ in range(8):
        goal = len(written()) + moments.randint(50, 300)
        wait_until(lambda goal=goal: len(written()) >= goal, "the writers have written more")  # type: ignore[misc]
        [server] = servers_of(home)
        pids.add(server.pid)
        server.send_signal(signal.SIGKILL)
        wait_until(lambda server=server: not server.is_running() or servers_of(home) != [server], "that server is gone")  # type: ignore[misc]
    (home / "enough").touch()
    for writer in writers:
        output(writer)
    assert len(pids) == 8
    kill_server(home)
    link = Link(Endpoint(home))
    kept = [fields[1].decode() for _, fields in link.call("XRANGE", "stream", "-", "+")]
    link.close()
    acknowledged = written()
    assert set(acknowledged) <= set(kept)
    # Each kill can have cost each writer one reply, and the repeat of that command is one entry more.
    assert len(kept) - len(acknowledged) <= 8 * len(writers)
    assert len(servers_of(home)) == 1


def test_writers_wait_through_a_stop_until_a_command_starts_the_server_again(home: Path, tmp_path: Path) -> None:
    """`server stop` under load: nobody starts it, nobody gives up; `server start`, and all go on."""
    ledger, tries = tmp_path / "ledger", tmp_path / "ledger.tries"
    writer = python(WRITER, home, ledger, "w")
    wait_until(lambda: ledger.exists() and ledger.stat().st_size > 100, "the writer writes")
    assert embedded.stop(home)
    log, size = (home / "server.log").read_text(), ledger.stat().st_size
    wait_until(lambda: tries.exists() and tries.stat().st_size >= 5, "the writer has tried to come back several times")
    assert servers_of(home) == []
    assert (home / "server.log").read_text() == log
    embedded.ensure(home)
    wait_until(lambda: ledger.stat().st_size > size + 100, "the writer goes on")
    (home / "enough").touch()
    output(writer)
