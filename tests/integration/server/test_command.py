"""`streamq server start|stop|status`, as people and programs call them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from streamq.server import embedded
from tests.integration.server.servers import Serve, servers_of


def streamq(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program in the project whose data directory is given."""
    command = [sys.executable, "-m", "streamq", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMQ_")}
    return subprocess.run(command, cwd=home.parent, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_status_of_a_server_that_does_not_run_starts_none(home: Path) -> None:
    """Exit status 3; the object has every field of the contract."""
    ran = streamq(home, "server", "status", "--json")
    assert ran.returncode == 3
    found = json.loads(ran.stdout)
    assert {"running", "embedded", "url", "pid", "version", "data", "fsync", "uptime_ms"} <= found.keys()
    assert (found["running"], found["embedded"], found["data"]) == (False, True, str(home))
    assert not home.exists()


def test_start_status_and_stop(home: Path) -> None:
    """`start` twice starts one server; `stop` ends it; a second `stop` is as asked, too."""
    first = streamq(home, "server", "start", "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(streamq(home, "server", "start", "--json").stdout)["pid"] == json.loads(first.stdout)["pid"]
    [server] = servers_of(home)
    shown = streamq(home, "server", "status")
    assert shown.returncode == 0
    assert str(server.pid) in shown.stdout
    assert "everysec" in shown.stdout
    stopped = streamq(home, "server", "stop")
    assert (stopped.returncode, stopped.stdout) == (0, f"the server in {home} is stopped\n")
    assert servers_of(home) == []
    again = streamq(home, "server", "stop")
    assert (again.returncode, again.stdout) == (0, f"no server was running in {home}\n")


def test_start_sets_the_durability_in_force(home: Path) -> None:
    """Up and down: who changed the configuration runs `server start`."""
    (home.parent / "config.yaml").write_text("server: {durability: always}\n")
    assert json.loads(streamq(home, "server", "start", "--json").stdout)["fsync"] == "always"
    (home.parent / "config.yaml").write_text("server: {durability: everysec}\n")
    assert json.loads(streamq(home, "server", "start", "--json").stdout)["fsync"] == "everysec"


def test_the_url_of_status_is_one_that_redis_py_takes(home: Path) -> None:
    """Also where the path has characters that a URL must encode."""
    strange = home.parent / "photos 100% ours?"
    ran = streamq(home, "server", "start", "--json", "--data", str(strange))
    assert ran.returncode == 0, ran.stderr
    code = f"import redis; print(redis.Redis.from_url({json.loads(ran.stdout)['url']!r}).ping())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "True\n"
    assert embedded.stop(strange)


def test_a_server_that_a_url_names_is_looked_at_and_left_alone(home: Path, serve: Serve) -> None:
    """`status` tells of it; `start` and `stop` are for the embedded one, a usage error."""
    url = f"redis://127.0.0.1:{serve()}"
    ran = streamq(home, "server", "status", "--json", "--url", url)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert (found["running"], found["embedded"], found["url"], found["data"], found["fsync"]) == (True, False, url, None, "none")
    for verb in ("start", "stop"):
        refused = streamq(home, "server", verb, "--url", url)
        assert refused.returncode == 2
        assert "is for the embedded server" in refused.stderr
    assert not home.exists()


def test_a_url_where_nobody_answers(home: Path) -> None:
    """Exit status 3, and no traceback."""
    ran = streamq(home, "server", "status", "--url", "redis://127.0.0.1:1")
    assert ran.returncode == 3
    assert "not running" in ran.stdout
    assert ran.stderr == ""
