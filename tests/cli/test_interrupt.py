"""Ctrl-C or SIGTERM while `produce` sends many: it says how many were accepted, and that is how many there are."""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import Program
from tests.commands import PROGRAM
from tests.conftest import wait_until
from tests.proxy import Proxy

if TYPE_CHECKING:
    import redis

EITHER = pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
LINE = b'{"task": "t"}\n'


def accepted(client: redis.Redis, queue: str) -> int:
    """How many tasks there are."""
    return int(client.xlen(f"streamq:{{{queue}}}:default"))


def told(process: subprocess.Popen[bytes], status: int = 130) -> tuple[int, list[str]]:
    """How many it says that it has sent, and the lines that it has written of them; it has ended as one that was interrupted."""
    out, err = (text.decode() for text in process.communicate())
    assert process.returncode == status, err
    assert "Traceback" not in err
    found = re.search(r"^streamq: interrupted: sent ([\d,]+) tasks?$", err, re.MULTILINE)
    assert found, err
    assert re.search(
        r"^hint: `streamq tasks --since \S+` lists them, `streamq task cancel ID…` takes them back$", err, re.MULTILINE
    )
    return int(found[1].replace(",", "")), out.splitlines()


@EITHER
def test_while_it_waits_for_more_to_read(
    streamq: Program, client: redis.Redis, queue_name: str, number: int, status: int
) -> None:
    """At once: nobody may ever write to it again."""
    process = streamq.start("produce", "--file", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(1000 * LINE)
    process.stdin.flush()
    wait_until(lambda: accepted(client, queue_name) == 1000, "what was written is sent")
    process.send_signal(number)
    many, lines = told(process, status)
    assert many == len(lines) == accepted(client, queue_name) == 1000


@EITHER
def test_in_the_middle_of_sending(streamq: Program, client: redis.Redis, queue_name: str, number: int, status: int) -> None:
    """What is under way is told of too, each with its id."""
    many_tasks = 200_000
    (streamq.folder / "tasks.jsonl").write_bytes(many_tasks * LINE)
    process = streamq.start("produce", "--file", "tasks.jsonl")
    wait_until(lambda: accepted(client, queue_name), "it sends")
    process.send_signal(number)
    many, lines = told(process, status)
    found: Any = client.xrange(f"streamq:{{{queue_name}}}:default")
    entries = [f"d{entry.decode()}" for entry, _ in found]
    assert [line.split()[0] for line in lines] == entries
    assert many == len(entries) < many_tasks


@EITHER
def test_while_it_waits_for_room(streamq: Program, client: redis.Redis, queue_name: str, number: int, status: int) -> None:
    """In a full queue, that nobody empties."""
    streamq.environment["STREAMQ_QUEUE__MAX_SIZE"] = "10"
    (streamq.folder / "tasks.jsonl").write_bytes(20 * LINE)
    process = streamq.start("produce", "--file", "tasks.jsonl")
    wait_until(lambda: accepted(client, queue_name) == 10, "the queue is full")
    process.send_signal(number)
    many, lines = told(process, status)
    assert many == len(lines) == accepted(client, queue_name) == 10


@EITHER
def test_the_second_one_does_not_wait_for_the_server(streamq: Program, server: str, number: int, status: int) -> None:
    """What is not known then, it says too."""
    with tempfile.TemporaryDirectory(prefix="sq") as short, Proxy(server, Path(short) / "proxy.sock") as proxy:
        process = streamq.start("produce", "--file", "-", "--url", proxy.url, stdin=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(LINE)
        process.stdin.flush()
        process.stdout.readline()
        proxy.delay = 3600
        process.stdin.write(20 * LINE)
        process.stdin.flush()
        wait_until(lambda: proxy._late, "the others are under way")
        process.send_signal(number)
        err = b""
        while b"once more" not in err and process.poll() is None:
            err += process.stderr.readline()
        process.send_signal(number)
        err += process.communicate()[1]
    assert process.returncode == status
    assert b"%b once more does not" % (b"Ctrl-C" if number == signal.SIGINT else b"SIGTERM") in err
    assert b"streamq: interrupted: sent 1 task\n" in err
    assert b"20 more may have been accepted, or not" in err


def test_where_ctrl_c_is_ignored_it_stays_so(streamq: Program, client: redis.Redis, queue_name: str) -> None:
    """As a shell has it for what it starts in the background."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *PROGRAM, "produce", "--file", "-"],
        cwd=streamq.folder, env=streamq.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    streamq.started.append(process)
    assert process.stdin is not None
    process.stdin.write(LINE)
    process.stdin.flush()
    wait_until(lambda: accepted(client, queue_name) == 1, "it sends")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(LINE)
    assert process.returncode == 0, err
    assert len(out.splitlines()) == accepted(client, queue_name) == 2
