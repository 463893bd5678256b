"""The embedded server: one a data directory, whoever starts, kills, stops or pauses what."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest

from streamq.errors import ServerError, ServerUnreachable, ServerUnusable
from streamq.server import embedded
from streamq.server.directory import DataDirectory
from tests.conftest import wait_until
from tests.integration.server.servers import (
    append_only,
    kill_server,
    output,
    program,
    python,
    real_program,
    real_server,
    says,
    servers_of,
)

ENSURE = """
import sys
from pathlib import Path
from streamq.server import embedded
from streamq.server.directory import DataDirectory
embedded.ensure(Path(sys.argv[1]))
"""

INCREMENT = (
    ENSURE
    + """
from streamq.server.connect import Link
from streamq.server.endpoint import Endpoint
print(Link(Endpoint(Path(sys.argv[1]))).call("INCR", "counter"))
"""
)


def ask(data: Path, *command: str) -> object:
    """One command to the server that runs in a data directory."""
    return embedded.ask(DataDirectory(data).socket(), command)[0]


def test_twenty_processes_that_start_at_once_share_one_server(home: Path) -> None:
    """Each finds a server, and all of them the same: their counter goes from 1 to 20."""
    processes = [python(INCREMENT, home) for _ in range(20)]
    assert sorted(int(output(process)) for process in processes) == list(range(1, 21))
    assert len(servers_of(home)) == 1


def test_the_directory_and_socket_are_its_owners_alone(home: Path) -> None:
    """Nobody else may look into the data or speak to the server, and git does not see it."""
    path = embedded.ensure(home)
    assert path == home / "server.sock"
    assert home.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o700
    assert (home / ".gitignore").read_text() == "*\n"


def test_it_keeps_an_append_only_file_and_evicts_nothing(home: Path) -> None:
    """What the promises rest on is set, as asked."""
    embedded.ensure(home, "always")
    settings = {name: ask(home, "CONFIG", "GET", name) for name in ("appendonly", "appendfsync", "maxmemory-policy", "port")}
    assert [value[1] for value in settings.values() if isinstance(value, list)] == [b"yes", b"always", b"noeviction", b"0"]


def test_one_task_that_stays_keeps_little_of_what_has_been_beside_it(home: Path) -> None:
    """Of two thousand entries one in a hundred stays: a kilobyte each, where servers keep four by default."""
    embedded.ensure(home)
    for number in range(2000):
        ask(home, "XADD", "s", f"1-{number + 1}", "task", "image", "args", "x" * 80)
    ask(home, "XDEL", "s", *(f"1-{number + 1}" for number in range(2000) if number % 100))
    size = ask(home, "MEMORY", "USAGE", "s", "SAMPLES", "0")
    assert isinstance(size, int)
    assert size < 20 * 1500


def test_it_outlives_its_starter_in_a_session_of_its_own(home: Path) -> None:
    """A Ctrl-C goes to a terminal's session; the server is in none of them, and is nobody's child here."""
    output(python(ENSURE, home))
    [server] = servers_of(home)
    assert os.getsid(server.pid) != os.getsid(0)
    assert os.getpid() not in [parent.pid for parent in server.parents()]
    assert embedded.status(home).pid == server.pid


def test_a_killed_server_comes_back_with_all_that_it_had_acknowledged(home: Path) -> None:
    """SIGKILL, and the next who needs it finds the same data in a new process."""
    embedded.ensure(home, "always")
    ask(home, "SET", "key", "value")
    [before] = servers_of(home)
    kill_server(home)
    embedded.ensure(home, start="revive")
    [after] = servers_of(home)
    assert after.pid != before.pid
    assert ask(home, "GET", "key") == b"value"


def test_a_starter_killed_at_any_moment_leaves_a_directory_that_works(home: Path) -> None:
    """Whenever SIGKILL comes, there is one server or none, and the next start ends with one."""
    moments = random.Random(7)  # noqa: S311 - moments, no secrets
    for _ in range(12):
        starter = python(ENSURE, home)
        try:
            starter.wait(moments.uniform(0.02, 0.2))
        except subprocess.TimeoutExpired:
            starter.kill()
        starter.communicate()
        embedded.ensure(home)
        assert len(servers_of(home)) == 1
        kill_server(home)


def test_left_over_socket_pid_file_and_locks_hinder_nobody(home: Path) -> None:
    """Files of a server that was killed are only files."""
    embedded.ensure(home)
    kill_server(home)
    assert {"server.sock", "server.pid", "server.lock", "start.lock"} <= {path.name for path in home.iterdir()}
    embedded.ensure(home)
    assert len(servers_of(home)) == 1


def test_a_server_that_was_stopped_stays_down_for_clients_that_were_connected(home: Path) -> None:
    """A worker that comes back does not start it; a new command does, and after that workers may revive it again."""
    embedded.ensure(home)
    assert embedded.stop(home)
    assert servers_of(home) == []
    with pytest.raises(ServerUnreachable, match="was stopped"):
        embedded.ensure(home, start="revive")
    embedded.ensure(home, start="command")
    kill_server(home)
    embedded.ensure(home, start="revive")
    assert len(servers_of(home)) == 1


def test_stop_saves_and_is_no_error_where_nothing_runs(home: Path) -> None:
    """What was written before `stop` is there afterwards; a second `stop` says that none was running."""
    assert not embedded.stop(home)
    assert not home.exists()
    embedded.ensure(home)
    ask(home, "SET", "key", "value")
    assert embedded.stop(home)
    assert not embedded.stop(home)
    embedded.ensure(home)
    assert ask(home, "GET", "key") == b"value"


def test_looking_never_starts_a_server(home: Path) -> None:
    """`status` and `never` make no directory and no process."""
    status = embedded.status(home)
    assert (status.running, status.state, status.pid) == (False, "absent", None)
    with pytest.raises(ServerUnreachable, match="no server runs"):
        embedded.ensure(home, start="never")
    assert not home.exists()


def test_a_paused_server_is_waited_for_and_never_doubled(home: Path) -> None:
    """SIGSTOP: the error says how to wake it, no second server is started, and after SIGCONT all is well."""
    embedded.ensure(home)
    [server] = servers_of(home)
    server.send_signal(signal.SIGSTOP)
    with pytest.raises(ServerUnreachable) as caught:
        embedded.ensure(home, wait=0.1)
    assert caught.value.hint is not None
    assert f"kill -CONT {server.pid}" in caught.value.hint
    with pytest.raises(ServerUnreachable):
        embedded.stop(home, wait=0.1)
    status = embedded.status(home)
    assert (status.running, status.state, status.pid) == (False, "silent", server.pid)
    server.send_signal(signal.SIGCONT)
    embedded.ensure(home)
    assert [found.pid for found in servers_of(home)] == [server.pid]


def test_the_durability_asked_for_is_raised_on_a_running_server_and_never_lowered_by_the_way(home: Path) -> None:
    """A command that does not ask for `always` leaves it to the one that did; `set_durability` lowers it on purpose."""
    embedded.ensure(home, "everysec")
    embedded.ensure(home, "always")
    assert embedded.status(home).fsync == "always"
    embedded.ensure(home, "everysec")
    assert embedded.status(home).fsync == "always"
    embedded.set_durability(home, "everysec")
    assert embedded.status(home).fsync == "everysec"


def test_a_server_that_dies_before_it_answers_may_come_back(home: Path) -> None:
    """A worker that asks a dying server for `always` waits for the next one, instead of giving up."""
    embedded.ensure(home)
    [server] = servers_of(home)
    server.send_signal(signal.SIGSTOP)
    raised: list[Exception] = []

    def ask_for_it() -> None:
        try:
            embedded.set_durability(home, "always")
        except ServerError as error:
            raised.append(error)

    asking = threading.Thread(target=ask_for_it)
    asking.start()
    wait_until(lambda: "receive" in _calls_of(asking), "the question is asked")
    server.kill()
    asking.join()
    assert [type(error) for error in raised] == [ServerUnreachable]


def _calls_of(thread: threading.Thread) -> list[str]:
    """The functions that a thread is in."""
    frame = sys._current_frames().get(thread.ident or 0)
    return [each.name for each in traceback.extract_stack(frame)] if frame else []


def test_a_server_that_is_busy_with_a_script_runs(home: Path) -> None:
    """`status` tells as much as it can, and a start leaves it as it is."""
    embedded.ensure(home)
    [server] = servers_of(home)
    ask(home, "CONFIG", "SET", "lua-time-limit", "50")
    endless = threading.Thread(target=lambda: ask(home, "EVAL", "while true do end", "0"))
    endless.start()
    wait_until(lambda: str(ask(home, "GET", "key")).startswith("BUSY"), "the server is busy")
    status = embedded.status(home)
    assert (status.running, status.pid, status.version) == (True, server.pid, None)
    embedded.ensure(home)
    assert servers_of(home) == [server]
    ask(home, "SCRIPT", "KILL")
    endless.join()


def test_a_path_too_long_for_a_socket_is_reached_by_a_short_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes with different TMPDIR meet, and a cleaned /tmp is mended by the next who comes."""
    deep = home / ("x" * 100) / "data"
    deep.parent.mkdir(parents=True)
    path = embedded.ensure(deep)
    assert len(os.fsencode(path)) < 104
    assert path.resolve() == deep / "server.sock"
    path.parent.unlink()
    monkeypatch.setenv("TMPDIR", str(home))
    assert output(python(INCREMENT, deep)) == "1\n"
    assert embedded.ensure(deep) == path
    assert len(servers_of(deep)) == 1
    assert embedded.stop(deep)
    path.parent.unlink()


def test_the_server_that_dies_at_its_start_has_its_last_words_in_the_error(home: Path) -> None:
    """The server's own complaint reaches the user; to a client that was connected before it is worth waiting for."""
    embedded.ensure(home)
    embedded.stop(home)
    append_only(home).write_text("no append-only file")
    with pytest.raises(ServerUnusable, match=r"ended while it started.*[Bb]ad file format") as caught:
        embedded.ensure(home)
    assert "\n" not in caught.value.what
    assert str(home / "server.log") in (caught.value.hint or "")
    with pytest.raises(ServerUnreachable, match="ad file format"):
        embedded.ensure(home, start="revive")
    assert servers_of(home) == []


def test_a_binary_that_does_not_start_says_why(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exit status and its words are not lost."""
    broken = program(tmp_path / "broken", "Valkey server v=9.1.0 sha=0", "echo no such option; exit 3")
    monkeypatch.setenv("STREAMQ_SERVER_BINARY", str(broken))
    with pytest.raises(ServerUnusable, match="no such option"):
        embedded.ensure(home)


def test_a_start_waits_until_the_data_is_loaded(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-LOADING` is no answer: who was told that the server is there can use it; who does not want to wait is told so."""
    embedded.ensure(home)
    ask(home, "CONFIG", "SET", "rdbcompression", "no")
    ask(home, "EVAL", "for i = 1, 200 do redis.call('SET', i, string.rep('x', 100000)) end", "0")
    ask(home, "BGREWRITEAOF")
    wait_until(lambda: "aof_rewrite_in_progress:0" in str(ask(home, "INFO", "persistence")), "the append-only file is rewritten")
    embedded.stop(home)
    slow = f'exec "{real_server()}" "$@" --key-load-delay 10000'
    monkeypatch.setenv("STREAMQ_SERVER_BINARY", str(program(tmp_path / "slow", says(real_program()), slow)))
    with pytest.raises(ServerUnreachable, match="loading"):
        embedded.ensure(home, wait=0.3)
    assert embedded.status(home).state == "loading"
    embedded.ensure(home)
    assert ask(home, "DBSIZE") == 200


def test_a_server_that_answers_costs_no_lock_and_no_process(home: Path) -> None:
    """The way of every command: with `start.lock` taken by somebody else, it comes through."""
    embedded.ensure(home)
    with DataDirectory(home).starting(time.monotonic() + 5):
        embedded.ensure(home, wait=0)
        kill_server(home)
        with pytest.raises(ServerUnreachable, match="another process"):
            embedded.ensure(home, wait=0)
