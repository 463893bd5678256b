"""A process is told from every other that had, has or will have its id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from streamq import process
from streamq.process import Process
from tests.conftest import wait_until


@pytest.fixture
def other() -> Iterator[tuple[subprocess.Popen[bytes], Process]]:
    """A process that does nothing, and what stands for it."""
    started = subprocess.Popen(
        [sys.executable, "-c", "from streamq.process import current; print(*current(), flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert started.stdout is not None
    boot, pidns, pid, start = started.stdout.readline().decode().split()
    yield started, Process(boot, pidns, int(pid), int(start))
    started.kill()
    started.communicate()


def test_this_process_lives() -> None:
    """And has a start of its own."""
    me = process.current()
    assert me.pid == os.getpid()
    assert process.look(me) == "alive"


def test_a_process_is_alive_then_stopped_then_gone(other: tuple[subprocess.Popen[bytes], Process]) -> None:
    """Also while nobody has waited for it."""
    started, it = other
    assert process.look(it) == "alive"
    started.send_signal(signal.SIGSTOP)
    wait_until(lambda: process.look(it) == "stopped", "it is stopped")
    started.kill()
    wait_until(lambda: process.look(it) == "gone", "it is gone, a zombie")
    started.wait()
    assert process.look(it) == "gone"


def test_a_pid_that_was_given_again_is_another_process() -> None:
    """The start tells them apart."""
    me = process.current()
    assert process.look(me._replace(start=me.start - 1)) == "gone"


@pytest.mark.parametrize("change", [{"boot": "x"}, {"pidns": "x"}, {"boot": ""}, {"start": 0}])
def test_a_process_of_another_machine_is_not_judged(change: dict[str, object]) -> None:
    """Another boot, another container, or a machine that tells nothing."""
    assert process.look(process.current()._replace(**change)) == "elsewhere"  # type: ignore[arg-type]


def test_a_process_that_proc_hides_is_not_called_gone() -> None:
    """`hidepid` hides the processes of others in /proc; where a signal would find one, it is there."""
    assert process._exists(1)
    assert not process._exists(2**22 + 1)
