"""`sslctl.cli.output` is the only writer of standard output, and cells of CSV are safe."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from sslctl.cli.output.stdout import write_csv
from tests.support import ROOT

OUTPUT = ROOT / "sslctl" / "cli" / "output"
# These processes speak JSON with their parent over standard output.
CHILDREN = {ROOT / "sslctl" / "notify" / "child.py"}


def _writes(path: Path) -> Iterator[str]:
    """Yield the calls in `path` that write to standard output."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout.write", "sys.stdout.buffer"):
            yield ast.unparse(node)
        if not isinstance(node, ast.Call):
            continue
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        name = ast.unparse(node.func)
        if name in ("click.echo", "click.secho") and keywords.get("err") != "True":
            yield ast.unparse(node)
        if name == "print" and keywords.get("file", "sys.stdout") == "sys.stdout":
            yield ast.unparse(node)


def test_only_the_output_package_writes_to_standard_output() -> None:
    writes = {
        str(path.relative_to(ROOT)): list(_writes(path))
        for path in (ROOT / "sslctl").rglob("*.py")
        if not path.is_relative_to(OUTPUT) and path not in CHILDREN
    }
    assert {path: calls for path, calls in writes.items() if calls} == {}


def test_within_the_output_package_one_module_writes_to_standard_output() -> None:
    assert {path.name for path in OUTPUT.glob("*.py") if list(_writes(path))} == {"stdout.py"}


def test_csv_cell_never_begins_like_a_formula(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv([["=1", "+1", "-1", "@x", "a=1", -1, None]])
    assert capsys.readouterr().out == "'=1,'+1,'-1,'@x,a=1,-1,\r\n"
