"""The wording that the contributing guide asks for: docstrings in the imperative, tests named by condition and result."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support import ROOT

# "Return where ..." and its like mean "raise an error otherwise", so a docstring says "Raise ... if ..." instead. "Return
# when ..." is allowed for a function that returns a time.
_BAD_START = re.compile(
    r"(Gives?|Tells?|Says?|Return (where|once)|Return when (it|all|both|the names?|every))\b"
)
_BAD_NAME = re.compile(r"test_(what|who|of|where)_")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _nodes(folder: str) -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            yield path.relative_to(ROOT), node


def test_docstrings_start_with_what_the_code_does() -> None:
    docstrings = [
        (path, ast.get_docstring(node) or "")
        for path, node in _nodes("sslctl")
        if isinstance(node, _DOCUMENTED)
    ]
    assert len(docstrings) > 500
    assert [f"{path}: {text[:80]}" for path, text in docstrings if _BAD_START.match(text)] == []


def test_test_names_start_with_their_subject() -> None:
    names = [
        (path, node.name)
        for path, node in _nodes("tests")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert len(names) > 500
    assert [f"{path}: {name}" for path, name in names if _BAD_NAME.match(name)] == []
