"""Random entries: through the decoder, and through a real worker among good tasks."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.entries import is_newer, judge, split
from tests.workshop import Workshop

_names = st.sampled_from([b"task", b"args", b"timeout", b"max", b"expires", b"key", b"trace", b"v", b"id", b"priority", b"due"])
_raw_json = st.recursive(
    st.sampled_from(["null", "true", "-0", "1e400", "-1e999", "NaN", "1e-400", "9" * 4301, "18446744073709551616", '"\\ud800"'])
    | st.text(max_size=5).map(json.dumps)
    | st.floats().map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
        | st.lists(st.tuples(st.sampled_from(["a", "b", ":", "{"]), inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}"
        )
        | st.tuples(st.integers(90, 110), inner).map(lambda deep: "[" * deep[0] + deep[1] + "]" * deep[0])
    ),
    max_leaves=6,
)
_args = _raw_json.map(lambda text: f'{{"a": {text}}}'.encode(errors="surrogatepass")) | _raw_json.map(
    lambda text: text.encode(errors="surrogatepass")
)
_values = st.binary(max_size=30) | _args | st.integers(-1, 1 << 70).map(lambda number: str(number).encode())
_entries = st.lists(st.tuples(_names | st.binary(max_size=8), _values), max_size=8).map(
    lambda pairs: [part for pair in pairs for part in pair]
)
_nearly = st.tuples(st.binary(min_size=1, max_size=5) | st.just(b"t"), _args, _entries).map(
    lambda parts: [b"task", parts[0], b"args", parts[1], *parts[2]]
)


@given(_entries | _nearly | st.binary(max_size=300).map(split))
@example([b"task", b"t", b"args", b'{"a":1e400}'])
@example([b"task", b"t", b"args", b'{"a":{"b":1,"b":2}}'])
@example([b"task", b"t", b"args", b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"])
@example([b"task", b"t", b"args", b"{}", b"trace", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01-x\r\nCookie: 1"])
@example([b"task", b"t", b"args", b"{}", b"id", "d\u0661-\u0662".encode()])
def test_an_entry_is_a_task_or_cleanly_refused(fields: list[bytes]) -> None:
    """Whatever is accepted is read alike by every decoder, and can be sent again."""
    judge(fields)


@st.composite
def _stranger(draw: st.DrawFn) -> list[bytes]:
    """An entry that is no task of the worker's: refused by the decoder, or by the signature of `work`."""
    fields: list[bytes] = draw(_entries | _nearly)
    return fields or [b"", b""]


@pytest.mark.timeout(2000)  # each bad one is buried by itself
def test_strangers_among_good_tasks_harm_nobody(shop: Workshop, *, is_long: bool) -> None:
    """Hundreds of random entries, or thousands, on every stream: each good task is finished, each other one dead, and whole."""
    many = 20_000 if is_long else 500
    chance = random.Random(8)  # noqa: S311 - no secret
    packets: list[list[bytes]] = []
    _collect(packets, many)
    bad = [fields for fields in packets if judge(fields) is None and not is_newer(fields)]
    added = shop.link.batch([["XADD", shop.keys[chance.choice(["high", "default", "low"])], "*", *fields] for fields in bad])
    assert all(isinstance(reply, bytes) for reply in added)
    good = shop.send_numbered("work", range(200))
    worker = shop.start("w1", processes=2, slots=4)
    figures = shop.settled(1800 if is_long else 240)
    assert figures.finished_total == len(good)
    assert figures.dead_total == len(bad)
    letters = shop.link.call("XRANGE", shop.keys["dead"], "-", "+")
    assert len(letters) == len(bad)
    kept = []
    for _, flat in letters:
        head = dict(zip(flat[:16:2], flat[1:16:2], strict=True))
        assert head[b"reason"] == b"invalid", head
        assert head[b"error"], head
        kept.append(flat[16:])
    assert sorted(kept) == sorted(bad)
    for command in ("dead list --json --limit 100000", "tasks --state dead --limit 50", "stats", "pending", "dead list"):
        done = shop.streamq(*command.split())
        assert done.returncode == 0, done.stderr
    assert "Traceback" not in shop.logs
    assert worker.stop() == 0


def _collect(packets: list[list[bytes]], many: int) -> None:
    """Draw so many entries; Hypothesis shrinks nothing here, since a worker judges them all at once."""

    @settings(
        max_examples=many, database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(_stranger())
    def draw(fields: list[bytes]) -> None:
        packets.append(fields)

    draw()
