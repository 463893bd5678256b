"""Random configuration files, environments and options: settings, or clean faults with file, line and key."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streamq.config import load
from streamq.config.fields import fields, sections
from streamq.config.schema import Settings
from streamq.errors import ConfigError, UsageError

_keys = st.sampled_from([*fields(), *filter(None, sections()), "images.presets.card", "unknown", "server.urll"])
_words = st.sampled_from(
    (
        *("", "null", "~", "yes", "0", "-1", "1e999", ".nan", ".inf", "0x10", "1_000", "30s", "1h30m", "9" * 400, "2027-02-30"),
        *("[", "{", "*a", "&a [*a]", "!!python/object/apply:os.system [ls]", "!!binary x", "${HOME}", "${NOPE}", "$${X}", "\t"),
        *("- a", "? a", "a: b: c", "<<: 1", "redis://h", "redis://u:p@h:x", "1 KiB", "256 MiB", "1.5 PB", "\\ud800"),
        *('"\\ud800"', '"\\0"', "\U0001f388", "'", "|", ">-", "%YAML 9.9", "---"),
    )
)
_scalars = _words | st.text(max_size=20) | st.integers().map(str) | st.floats().map(str)


@st.composite
def _sensible(draw: st.DrawFn) -> str:
    """A file whose keys are known and whose values are anything."""
    document: dict[str, Any] = {}
    for key in draw(st.lists(_keys, max_size=6)):
        at = document
        *outer, last = key.split(".")
        for name in outer:
            inner = at.setdefault(name, {})
            at = inner if isinstance(inner, dict) else {}
        at[last] = draw(
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats()
                | st.text(max_size=20)
                | st.dates()
                | st.binary(max_size=5),
                lambda inner: (
                    st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=2)
                ),
                max_leaves=4,
            )
        )
    return str(yaml.safe_dump(document, allow_unicode=draw(st.booleans()), default_flow_style=draw(st.none() | st.booleans())))


@st.composite
def _lines(draw: st.DrawFn) -> str:
    """Lines of a file that may be YAML."""
    lines = []
    for key in draw(st.lists(_keys, max_size=6)):
        *outer, last = key.split(".")
        lines += [f"{'  ' * depth}{name}:" for depth, name in enumerate(outer)]
        lines.append(f"{'  ' * len(outer)}{last}: {draw(_scalars)}")
    return "\n".join(lines)


def check(project: Path, environ: dict[str, str], overrides: dict[str, object]) -> None:
    """Load, and see that whatever is wrong is told cleanly."""
    try:
        found = load(cwd=project, environ=environ, overrides=overrides)
    except ConfigError as error:
        unclear = [fault for fault in error.faults if not re.match(r"config\.yaml(:\d+)?: |environment [^ ]+: |option: ", fault)]
        if unclear:
            pytest.fail(f"these say not where: {unclear}")
        return
    except UsageError:
        return
    assert isinstance(found, Settings)
    repr(found)
    assert found.data_dir.is_absolute()
    assert all(root.is_absolute() for root in [*found.image_roots, found.output_root])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_sensible() | _lines() | st.text(max_size=200) | st.binary(max_size=200))
@example("server: {url: !!python/object/apply:os.system [ls]}")
@example("a: &a [*a, *a]\nb: *a")
@example("worker: &w {lease: *w}")
@example("images: {presets: {a: &x {b: *x}}}")
@example("worker: {tasks: " + "[" * 5000 + "]" * 5000 + "}")
@example("images: {presets: {a: " + "{a: " * 900 + "1" + "}" * 900 + "}}")
@example("? [a, b]\n: 1")
@example("server: {wait: 1e400}")
@example("queue: {max_size: " + "9" * 5000 + "}")
@example("images: {limits: {source_bytes: " + "9" * 5000 + "}}")
@example("images: {limits: {source_bytes: '" + "9" * 400 + ".5 KiB'}}")
@example("images: {roots: ['\\0']}")
@example('images: {roots: ["\\0"], output: "~nobody-of-that-name/x"}')
def test_a_file_is_read_or_cleanly_refused(content: str | bytes) -> None:
    """Whatever it holds; `FILE:LINE: KEY: what was expected`."""
    with tempfile.TemporaryDirectory() as name:
        raw = content if isinstance(content, bytes) else content.encode(errors="surrogatepass")
        (Path(name) / "config.yaml").write_bytes(raw)
        check(Path(name), {"HOME": "/home/x"}, {})


def test_aliases_that_multiply_are_refused_or_cost_nothing() -> None:
    """Nine lines that would be a billion texts."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    for text in ("\n".join(lines), "images:\n  presets:\n    p:\n" + "\n".join(f"      {line}" for line in lines)):
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "config.yaml").write_text(text)
            check(Path(name), {}, {})


_variables = st.sampled_from(
    ["STREAMQ_" + key.upper().replace(".", "__") for key in fields()] + ["STREAMQ_URL", "STREAMQ_DATA", "STREAMQ_NO__SUCH"]
)
_texts = (_scalars | st.text(max_size=30)).map(lambda text: text.replace("\0", ""))


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(_variables, _texts, max_size=4),
    st.dictionaries(
        st.sampled_from(["server.url", "server.data", "queue.name", "worker.lease", "images.roots"]), _texts, max_size=2
    ),
)
@example({"STREAMQ_WORKER__TASKS": "[" * 5000}, {})
@example({"STREAMQ_IMAGES__PRESETS": '{"a":' * 2000}, {})
@example({"STREAMQ_DATA": "~\udc80/x"}, {"server.data": "a\0b"})
def test_environment_and_options_are_read_or_cleanly_refused(environ: dict[str, str], overrides: dict[str, object]) -> None:
    """As a file; what is no text of UTF-8 included."""
    with tempfile.TemporaryDirectory() as name:
        check(Path(name), environ, overrides)
