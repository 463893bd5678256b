"""The doctor as a program runs it, at a queue on the session's server, or at servers of its own that may be spoilt."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streamq.keys import GROUP
from tests.commands import run
from tests.conftest import wait_until
from tests.integration.server.servers import Serve, answers, free_port, real_server
from tests.seeds import Seed
from tests.workshop import Workshop


class Report(NamedTuple):
    """What `doctor --json` said."""

    status: int
    ok: bool
    findings: dict[str, dict[str, Any]]

    def level(self, name: str) -> str:
        """The level of a check."""
        return str(self.findings[name]["level"])

    @property
    def worse(self) -> dict[str, str]:
        """Warnings and faults, by id."""
        return {name: each["what"] for name, each in self.findings.items() if each["level"] in {"warning", "fault"}}


Doctor = Callable[..., Report]


def run_doctor(folder: Path, *options: str) -> Report:
    """Run the doctor in a folder; its exit status fits what it says."""
    done = run(["doctor", "--json", *options], folder, os.environ)
    assert done.returncode in {0, 1}, done.stderr
    told = json.loads(done.stdout)
    findings = {each["id"]: each for each in told["findings"]}
    assert len(findings) == len(told["findings"]), "a check stands in the report twice"
    assert told["ok"] == all(each["level"] != "fault" for each in findings.values()) == (done.returncode == 0)
    return Report(done.returncode, told["ok"], findings)


@pytest.fixture
def shop(tmp_path: Path, data_dir: Path, server: str, queue_name: str) -> Iterator[Workshop]:
    """A folder and a queue of its own, where workers can be started."""
    (tmp_path / "shop").mkdir()
    shop = Workshop(tmp_path / "shop", data_dir, queue_name)
    shop.run.open()
    yield shop
    shop.clear()


@pytest.fixture
def seed(shop: Workshop, server: str) -> Iterator[Seed]:
    """The same queue, to be brought into any state."""
    seed = Seed(server, shop.queue)
    yield seed
    seed.close()


@pytest.fixture
def doctor(shop: Workshop) -> Doctor:
    """The doctor, at the workshop's queue."""
    return lambda *options: run_doctor(shop.folder, "--data", str(shop.data), "--queue", shop.queue, *options)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers that a URL reaches, each in a folder of its own."""
    servers: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> int:
        port = free_port()
        folder = tmp_path / f"server-{port}"
        folder.mkdir()
        save = () if "--save" in options else ("--save", "")
        command = [str(real_server()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *save, *options]
        servers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        wait_until(lambda: answers(port), f"a server answers at port {port}")
        return port

    yield start
    for process in servers:
        process.kill()
        process.wait()


def until(doctor: Doctor, name: str, level: str) -> Report:
    """Ask the doctor until a check has a level; return that report."""
    reports: list[Report] = []

    def has_level() -> bool:
        reports.append(doctor())
        return reports[-1].level(name) == level

    wait_until(has_level, f"{name} is a {level}")
    return reports[-1]


def take_as(shop: Workshop, consumer: str, many: int = 1) -> list[str]:
    """Hand tasks out to somebody; returns their addresses."""
    return [task.address for task in shop.run.take(consumer, many, 100, "hdl").tasks]


def delete_consumer(shop: Workshop, consumer: str) -> None:
    """Throw away what a consumer holds, as somebody who tidies up by hand does."""
    for stream in ("high", "default", "low", "later"):
        shop.link.call("XGROUP", "DELCONSUMER", shop.keys[stream], GROUP, consumer)
