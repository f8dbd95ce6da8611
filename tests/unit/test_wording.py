"""The name of the control plane in texts, and that no text says "C4" without going through it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from sslctl.rules.customer_texts import Language
from sslctl.rules.reasons import REASONS, Code
from sslctl.web import history_texts_zh
from sslctl.web.language import TEXTS, Texts
from sslctl.wording import C4, choose_name, in_chinese, in_words
from tests.support import ROOT

_PACKAGE = ROOT / "sslctl"
_WORD = re.compile(r"(?<![A-Za-z0-9_])C4(?![A-Za-z0-9_])")
# Only C4 can cause these texts.
_ABOUT_C4 = (
    "control_plane/c4/",
    "control_plane/configured.py",
    "sandbox/",
    "cli/sandbox.py",
    "doctor/outside.py",
)
# Static documentation: it is the same for every installation.
_DOCUMENTATION = ("cli/output/schemas/",)
# Whole texts, which go through `in_words` or `in_chinese` where they are shown, and a kind of event, which is in the JSON.
_WHOLE_TEXTS = (
    "cli/output/differences.py",
    "fleet/removal.py",
    "metrics/families.py",
    "rules/reasons.py",
    "web/action_texts_en.py",
    "web/action_texts_zh.py",
    "web/charts/texts.py",
    "web/charts/texts_zh.py",
    "web/history_texts_zh.py",
    "web/reason_texts_en.py",
    "web/reason_texts_zh.py",
    "web/texts_en.py",
    "web/texts_zh.py",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C4 has no such domain.", "The control plane has no such domain."),
        ("The upload to C4 failed: {found}.", "The upload to the control plane failed: {found}."),
        ("Ask the C4 team why C4 fails.", "Ask the control plane team why the control plane fails."),
        ("It is late. C4's clock is wrong.", "It is late. The control plane's clock is wrong."),
        ("The C4 team", "The control plane team"),
        ("C4_REJECTED, c4.base_url, source c4, XC4", "C4_REJECTED, c4.base_url, source c4, XC4"),
    ],
)
def test_whole_text_names_the_control_plane_grammatically(text: str, expected: str) -> None:
    assert in_words(text) == text
    choose_name(is_c4=False)
    assert in_words(text) == expected


def test_chinese_text_has_no_spaces_around_the_name() -> None:
    assert in_chinese("从 C4 读回") == "从 C4 读回"
    choose_name(is_c4=False)
    assert in_chinese("从 C4 读回") == "从控制平面读回"
    assert in_chinese("C4 无应答") == "控制平面无应答"


def test_name_in_an_f_string_leaves_values_as_they_are() -> None:
    note = "C4"
    assert f"{C4:The} of {C4}, ask the {C4:bare} team: {note}" == "C4 of C4, ask the C4 team: C4"
    choose_name(is_c4=False)
    assert (
        f"{C4:The} of {C4}, ask the {C4:bare} team: {note}"
        == "The control plane of the control plane, ask the control plane team: C4"
    )
    assert str(C4) == "the control plane"


@pytest.mark.parametrize("code", Code)
def test_no_reason_says_c4_without_c4(code: Code) -> None:
    choose_name(is_c4=False)
    reason = REASONS[code]
    found = [reason.explain("this", "that"), reason.next_step]
    for texts in map(Texts, Language):
        found += [texts.label(code), texts.next_step(code, reason.next_step)]
    assert [text for text in found if _WORD.search(text)] == []


@pytest.mark.parametrize("language", Language)
def test_no_text_of_the_page_says_c4_without_c4(language: Language) -> None:
    choose_name(is_c4=False)
    texts = Texts(language)
    found = [texts(key, **dict.fromkeys(_fields(text), 1)) for key, text in TEXTS[language].items()]
    found += [texts.event_kind(kind) for kind in history_texts_zh.KINDS]
    found += [texts.step(f"a.example: {in_words(step)}") or "" for step in history_texts_zh.STEPS]
    assert all(found)
    assert [text for text in found if _WORD.search(text)] == []


def _fields(text: str) -> list[str]:
    return [field for _, field, _, _ in Formatter().parse(text) if field]


def _modules(*apart_from: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(_PACKAGE.rglob("*.py")):
        name = path.relative_to(_PACKAGE).as_posix()
        if not name.startswith(apart_from) and name != "wording.py":
            yield name, ast.parse(path.read_text())


def _not_shown(module: ast.Module) -> set[ast.AST]:
    """Return the docstrings and the help texts of the command line, which are the same for every installation."""
    found: set[ast.AST] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.add(node.value)
        if isinstance(node, ast.keyword) and node.arg in ("help", "short_help", "epilog"):
            found |= set(ast.walk(node.value))
        if isinstance(node, ast.FunctionDef):
            found |= {inner for each in node.decorator_list for inner in ast.walk(each)}
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMMANDS":
            found |= set(ast.walk(node.value))
    return found


def test_no_other_text_says_c4() -> None:
    said = []
    for name, module in _modules(*_ABOUT_C4, *_DOCUMENTATION, *_WHOLE_TEXTS):
        not_shown = _not_shown(module)
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in not_shown:
                said += [f"{name}:{node.lineno} {node.value}"] if _WORD.search(node.value) else []
    assert said == []


def test_name_is_never_read_when_a_module_is_imported() -> None:
    used = 0
    for name, module in _modules():
        in_functions = {
            inner
            for node in ast.walk(module)
            if isinstance(node, ast.FunctionDef | ast.Lambda)
            for inner in ast.walk(node)
        }
        for node in ast.walk(module):
            if isinstance(node, ast.FormattedValue) and ast.unparse(node.value) == "C4":
                used += 1
                assert node in in_functions, f"{name}:{node.lineno}"
    assert used > 50


def test_lists_of_exceptions_name_files_that_say_c4() -> None:
    for name in (*_ABOUT_C4, *_DOCUMENTATION, *_WHOLE_TEXTS):
        path: Path = _PACKAGE / name
        files = [path] if path.is_file() else [*path.rglob("*.py")]
        assert any(_WORD.search(file.read_text()) for file in files), name
