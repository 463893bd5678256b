"""Other queues beside streamq, by a benchmark that lies in a folder of its own: it knows the queues, we bring our adapter.

The folder holds `bench.py`, which takes `--peers NAMES --home DIR --server FILE --adapter FILE --adapter-python FILE --json FILE`
and writes a row a queue: `{NAME: {"noop": empty tasks a second, "single": …, "p50": …, "p99": …, "seen": tasks behind these}}`;
and `adapters`, in which a queue is a file `NAME_.py` or `NAME.mjs`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from scripts.lib.bench import installed
from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.figures import Peer
from scripts.lib.bench.late import ENOUGH
from scripts.lib.bench.worker import ROOT

ADAPTER = ROOT / "scripts" / "peers" / "streamq_.py"
#: Where the benchmark keeps the environments of the queues.
HOME = Path("~/.cache/queue-peers")
#: Where it is looked for: beside the project.
BESIDE = ROOT.parent / "shared" / "peers"


class Benchmark(NamedTuple):
    """The benchmark of other queues, and what is asked of it.

    Args:
        script: the program.
        names: of the queues, without ours.
        home: where it keeps their environments.
        extra: further options of it.
    """

    script: Path
    names: list[str]
    home: Path
    extra: list[str]


def find(folder: Path | None, names: str, home: Path, extra: list[str]) -> Benchmark:
    """The benchmark in a folder, its queues looked for.

    Args:
        folder: where it is; None: `BESIDE`, where that is there.
        names: of queues, with commas; ours, which is always measured, may be among them.
        home: where it keeps the environments of the queues.
        extra: further options of it.

    Raises:
        BenchError: it is not there, or does not know a queue.
    """
    script = (folder or BESIDE) / "bench.py"
    if not script.is_file():
        what = f"there is no benchmark of other queues: {script}" + (" (no --peers-dir is given)" if folder is None else "")
        raise BenchError(what, hint="name the folder that holds the benchmark's bench.py and its adapters: --peers-dir DIR")
    known = {file.stem.removesuffix("_") for file in (script.parent / "adapters").glob("*") if file.suffix in {".py", ".mjs"}}
    wanted = [name for name in dict.fromkeys(map(str.strip, names.split(","))) if name not in {"", installed.OURS}]
    if unknown := [name for name in wanted if name not in known]:
        raise BenchError(f"--peers: no such queue: {', '.join(unknown)}", hint=f"{script.parent} has {', '.join(sorted(known))}")
    return Benchmark(script, wanted, home.expanduser(), extra)


def run(benchmark: Benchmark, server: Path, into: Path) -> list[Peer]:
    """Run the benchmark; its own table goes to the terminal.

    Args:
        benchmark: which.
        server: the binary that all queues run on.
        into: a folder for its results.

    Returns:
        The queues, the fastest first.

    Raises:
        BenchError: it failed.
    """
    file = into / "peers.json"
    command = [sys.executable, str(benchmark.script), "--peers", ",".join(benchmark.names), "--home", str(benchmark.home)]
    command += ["--server", str(server), "--adapter", str(ADAPTER), "--adapter-python", sys.executable]
    done = subprocess.run([*command, "--json", str(file), *benchmark.extra], check=False)
    if done.returncode or not file.exists():
        hint = "its message stands above; it makes an environment for each queue at first use, and needs a package index for that"
        raise BenchError(f"the benchmark of other queues ended with {done.returncode}", hint=hint)
    rows = sorted(read(file).items(), key=lambda each: -each[1].get("noop", 0))
    return [
        Peer(name=name, version=installed.version(name, benchmark.home), way=installed.way(name), figures=row)
        for name, row in rows
    ]


def read(file: Path) -> dict[str, dict[str, float]]:
    """The figures in a file of the benchmark; a 99th percentile of too few tasks is none."""
    rows: dict[str, dict[str, float | None]] = json.loads(file.read_bytes())
    told = {}
    for name, row in rows.items():
        figures = {key: value for key, value in row.items() if value is not None}
        if figures.get("seen", 0) < ENOUGH:
            figures.pop("p99", None)
        told[name.rstrip("_")] = figures
    return told
