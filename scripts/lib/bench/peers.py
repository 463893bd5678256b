"""Other queues beside streamq, by a benchmark that lies in a folder of its own: it knows the queues, we bring our adapter.

The folder holds `bench.py`, which takes `--peers NAMES --home DIR --server FILE --adapter FILE --adapter-python FILE --json FILE`
and writes a row a queue: `{NAME: {"noop": empty tasks a second, "single": …, "bulk": …, "io": …, "cpu": …, "p50": …, …}}`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.worker import ROOT

ADAPTER = ROOT / "scripts" / "peers" / "streamq_.py"


def run(
    folder: Path | None, home: Path | None, names: str, server: Path, into: Path, extra: list[str]
) -> dict[str, dict[str, float]]:
    """Run the benchmark; its own table goes to the terminal.

    Args:
        folder: where it is.
        home: where it keeps the environments of the queues; None: where it likes.
        names: of queues, with commas.
        server: the binary that all of them run on.
        into: a folder for its results.
        extra: further options of it.

    Returns:
        The figures of each queue; ours is `streamq`.

    Raises:
        BenchError: it is not there, or failed.
    """
    script = None if folder is None else folder / "bench.py"
    if script is None or not script.is_file():
        what = "--peers needs --peers-dir" if script is None else f"there is no benchmark of other queues: {script}"
        raise BenchError(what, hint="name the folder that holds the benchmark's bench.py and its adapters: --peers-dir DIR")
    file = into / "peers.json"
    command = [sys.executable, str(script), "--peers", names, "--server", str(server), "--json", str(file)]
    command += ["--adapter", str(ADAPTER), "--adapter-python", sys.executable, *extra]
    if home is not None:
        command += ["--home", str(home)]
    done = subprocess.run(command, check=False)
    if done.returncode or not file.exists():
        hint = "its message stands above; it makes an environment for each queue at first use, and needs a package index for that"
        raise BenchError(f"the benchmark of other queues ended with {done.returncode}", hint=hint)
    return read(file)


def read(file: Path) -> dict[str, dict[str, float]]:
    """The figures in a file of the benchmark."""
    rows: dict[str, dict[str, float | None]] = json.loads(file.read_bytes())
    named = {name.rstrip("_"): row for name, row in rows.items()}
    return {name: {key: value for key, value in row.items() if value is not None} for name, row in named.items()}
