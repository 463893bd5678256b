"""Rules of the code that no linter knows: size, what each module says of itself, and words that must not occur."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "streamq"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(PACKAGE.rglob("*.lua"))

#: Word -> why it must not occur. Comments and docstrings may name what they warn of, code may not; `KEYS[1]` is no command.
FORBIDDEN = {
    r"\bpickle\b": "what others can write into Redis must not be executed",
    r"\bSCAN\b": "the keys of a queue are known, never searched for",
    r"\bKEYS\b(?!\s*[\[,)}:])": "the keys of a queue are known, never searched for",
    r"\bFUNCTION\b": "scripts are sent with EVALSHA, so that every server and every version beside another works",
}
#: What senders run through, in any thread of a program that may fork.
SENDERS = [
    *(
        PACKAGE / f"{module}.py"
        for module in ("app", "definition", "job", "prepared", "producer", "queue", "room", "task", "waiters")
    ),
    *sorted((PACKAGE / "server").glob("*.py")),
]
#: The only stream that may be cut: what ended; everything that it held is settled.
ENDED = "ended"
#: Trims a stream of tasks, by what is proven to be settled; and the example of that command by which rights are tried.
TRIMMING = ("lua/include/forget.lua", "doctor/rights.py")


def name(path: Path) -> str:
    """A file as the tests' ids show it."""
    return str(path.relative_to(ROOT))


def code(path: Path) -> str:
    """The file without comments, docstrings and other strings that are statements."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".lua":
        return re.sub(r"--[^\n]*", "", text)
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            kept = [each for each in body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


@pytest.mark.parametrize("path", MODULES + SCRIPTS, ids=name)
def test_a_file_is_short(path: Path) -> None:
    """At most 350 lines: what is longer has more than one subject."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    """Each module begins with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_script_says_what_it_is_for(path: Path) -> None:
    """Each script begins with a comment."""
    assert path.read_text(encoding="utf-8").startswith("--")


@pytest.mark.parametrize("path", MODULES + SCRIPTS, ids=name)
def test_forbidden_words_do_not_occur(path: Path) -> None:
    """Each of them has lost somebody a task, or would be unsafe."""
    text = code(path)
    found = [f"{word}: {why}" for word, why in FORBIDDEN.items() if re.search(word, text)]
    assert not found


@pytest.mark.parametrize("path", MODULES + SCRIPTS, ids=name)
def test_only_the_stream_of_endings_is_cut(path: Path) -> None:
    """XTRIM and MAXLEN occur beside `ended` and where settled tasks are forgotten: a bound on tasks is a refusal, no loss."""
    for line in code(path).splitlines():
        if re.search(r"\b(MAXLEN|XTRIM)\b", line, re.IGNORECASE):
            assert ENDED in line.lower() or str(path.relative_to(PACKAGE)) in TRIMMING, line


@pytest.mark.parametrize("path", SENDERS, ids=name)
def test_a_fork_finds_no_import_half_done(path: Path) -> None:
    """What senders import when they need it, they import within `process.unforked`: a child could never import it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded: set[ast.AST] = set()
    inner: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            made_once = "_made_once" in map(ast.unparse, node.decorator_list)  # which holds it
            (guarded if made_once else inner).update(ast.walk(node))
        elif isinstance(node, ast.With) and ast.unparse(node.items[0]).endswith("unforked"):
            guarded.update(ast.walk(node))
    imports = [node for node in inner - guarded if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(each) for each in imports] == []
