"""Random entries for the decoder of tasks, by atheris: mutations that reach new lines or branches are mutated further.

Ends with 0 when nothing but tasks and clean refusals came out; else with the entry that broke it, whole, and its traceback. What
was learnt is kept in a corpus folder, where the next run begins.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("scripts/fuzz: atheris is not installed: it has wheels for Linux on x86-64 only")

with atheris.instrument_imports(include=["streamq.wire", "streamq.keys", "json.decoder"]):
    from streamq import wire  # noqa: F401
    from tests.fuzz.entries import judge, split

_SEEDS = (
    b'\x00\nimage\n\x01\n{"source": "a.jpg", "width": 1200}',
    b'\x00\nt\n\x01\n{"a": [1, 2.5e3, "\\u00e4\\ud83d\\ude00", {"b": null}]}\n\x02\n500\n\x03\n3\n\x05\nkey',
    b"\x00\nt\n\x01\n{}\n\x06\n00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01\n\x08\nh1763000000000-0\n\x09\nh\n\x0a\n0\n\x07\n1",
    b'\x00\nt\n\x01\n{"a":1,"a":2}',
    b'\x00\nt\n\x01\n{"a":1e308}\n\x04\n1764000000000\ntenant\n\xff',
)


def main() -> None:
    """Run for so many seconds."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers; 0: another one each time")
    parser.add_argument("--corpus", type=Path, default=Path(".fuzz"), help="folder of what was learnt (default: .fuzz)")
    given = parser.parse_args()
    given.corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(_SEEDS):
        (given.corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={given.seconds}",
        f"-seed={given.seed}",
        "-max_len=2048",
        f"-artifact_prefix={given.corpus}/crash-",
    ]
    atheris.Setup([sys.argv[0], *options], lambda data: judge(split(data)))
    atheris.Fuzz()


main()
