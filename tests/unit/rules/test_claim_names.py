"""Every process must claim a domain under the same name, so one module builds these names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sslctl
from sslctl.rules.claim_names import KEY_ROTATION, TICK, domain_claim

PACKAGE = Path(sslctl.__file__).parent
BUILDER = PACKAGE / "rules" / "claim_names.py"
CALLS = ("claim", "release")


def literals(tree: ast.AST) -> list[str]:
    """Return the texts written in `tree`; of an f-string each constant part."""
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def spelled_names(source: str) -> list[str]:
    """Return the claim names that `source` spells: texts that begin as one, and texts in calls that claim or release."""
    tree = ast.parse(source)
    found = [text for text in literals(tree) if text.startswith(domain_claim(""))]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
            found += [text for argument in node.args for text in literals(argument)]
    return found


def test_names_of_claims_differ() -> None:
    assert len({TICK, KEY_ROTATION, domain_claim("a.test"), domain_claim("b.test")}) == 4


@pytest.mark.parametrize(
    "source",
    [
        'store.claim(["tick"], hour)',
        "store.release({'a.test'})",
        'name = f"domain:{domain}"',
        'store.claim([f"{a}:x"], b)',
    ],
)
def test_spelled_name_is_found(source: str) -> None:
    assert spelled_names(source)


def test_no_module_but_claim_names_spells_a_name() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if path != BUILDER]
    assert len(modules) > 100
    spelled = {str(path): spelled_names(path.read_text()) for path in modules}
    assert {path: names for path, names in spelled.items() if names} == {}
    assert spelled_names(BUILDER.read_text()) == [domain_claim("")]
