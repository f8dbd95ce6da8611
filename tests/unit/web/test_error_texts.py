"""Chinese texts of errors: every code and every problem has one, and every error that a form can meet has a problem."""
# ruff: noqa: RUF001 - the full-width punctuation of Chinese

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from string import Formatter

import pytest

from sslctl import errors
from sslctl.errors import BadInput, Problem, SslctlError, StateError
from sslctl.rules import name_pattern, names
from sslctl.rules.customer_texts import Language
from sslctl.rules.reasons import Status
from sslctl.rules.remarks import read_note
from sslctl.web.error_texts_zh import CODES, HINTS, PROBLEMS
from sslctl.web.language import TEXTS, Texts, make_error
from tests.support import ROOT

# What the forms and addresses of the page call before they start a job.
_REACHED = (
    "rules/names.py",
    "rules/remarks.py",
    "rules/snoozing.py",
    "rules/name_pattern.py",
    "rules/durations.py",
    "fleet/downloads.py",
    "fleet/remarks.py",
    "store/sql/queries.py",
    "store/sql/connection.py",
    "web/jobs.py",
    "web/turns.py",
    "web/url_query.py",
    "web/pages/actions.py",
    "web/pages/add.py",
    "web/pages/domain.py",
    "web/pages/download.py",
)
_ERRORS = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type)}
ZH = Texts(Language.ZH)


def _calls(path: str) -> Iterator[ast.Call]:
    """Yield the calls of names in a module."""
    for node in ast.walk(ast.parse((ROOT / "sslctl" / path).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node


def _called(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Name)
    return call.func.id


def _subclasses(kind: type[SslctlError]) -> Iterator[type[SslctlError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _subclasses(each)


def test_every_code_of_an_error_has_a_chinese_sentence() -> None:
    declared = {kind.code for kind in _subclasses(SslctlError)}
    assert declared == set(CODES)


@pytest.mark.parametrize("path", _REACHED)
def test_every_error_that_a_form_can_meet_has_a_problem(path: str) -> None:
    for call in _calls(path):
        if _called(call) in _ERRORS - {"Problem", "Exit"}:
            assert "problem" in {each.arg for each in call.keywords}, f"{path}:{call.lineno}"


def _literal(node: ast.expr | None) -> str:
    """Return the text of a literal, "" for everything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _problem_key(node: ast.expr | None) -> str:
    """Return the key in `Problem("key", …)`, "" for everything else."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Problem"
        and node.args
    ):
        return _literal(node.args[0])
    return ""


def test_every_problem_has_a_chinese_sentence_with_its_fields() -> None:
    problems: dict[str, set[str]] = {key: {"text", "name"} for key in names.PROBLEMS}
    for path in (ROOT / "sslctl").rglob("*.py"):
        for call in _calls(str(path.relative_to(ROOT / "sslctl"))):
            if key := _problem_key(call):
                fields = call.args[1] if len(call.args) > 1 else None
                problems[key] = set(map(_literal, fields.keys)) if isinstance(fields, ast.Dict) else set()
    for what in ("customer", "assignee", "note"):
        problems |= {f"{what}.long": {"number", "most"}, f"{what}.invisible": set()}
    # Its fields are a variable.
    problems["snooze.worse"] = {"before", "now"}
    assert set(problems) == set(PROBLEMS)
    # The texts of the page come first.
    assert set(problems) & set(TEXTS[Language.ZH]) == set()
    for key in PROBLEMS:
        for text in (PROBLEMS[key], HINTS.get(key, "")):
            assert {field for _, field, _, _ in Formatter().parse(text) if field} <= problems[key], key


def test_every_hint_of_a_problem_has_a_chinese_text() -> None:
    hinted = set[str]()
    for path in _REACHED:
        for call in _calls(path):
            keywords = {each.arg: each.value for each in call.keywords}
            if "hint" in keywords:
                hinted.add(_problem_key(keywords.get("problem")))
    assert hinted == set(HINTS)


def test_no_chinese_sentence_is_left_without_chinese() -> None:
    for text in (*PROBLEMS.values(), *HINTS.values(), *CODES.values()):
        assert re.search(r"[\u4e00-\u9fff]", text), text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*.example.com", "“*.example.com”不能用作域名：通配符无法通过 HTTP-01 验证"),
        (
            "https://a.example.com/x",
            "“https://a.example.com/x”不能用作域名：这是网址，请只填写域名：a.example.com",
        ),
        ("co.uk", "“co.uk”不能用作域名：这是公共后缀，其下由他人注册域名"),
        ("{0}.example.com", "“{0}.example.com”不能用作域名：只允许字母、数字、连字符和点"),
        ("", "“”不能用作域名：为空"),
    ],
)
def test_refused_name_is_explained_in_chinese(text: str, expected: str) -> None:
    with pytest.raises(BadInput) as refused:
        names.normalise(text)
    assert ZH.error(refused.value).message == expected
    assert Texts(Language.EN).error(refused.value).message == refused.value.message


def test_text_of_a_library_stays_english_and_is_a_detail() -> None:
    with pytest.raises(BadInput) as refused:
        names.normalise("a\u2488b.example.com")
    shown = ZH.error(refused.value)
    assert "IDNA 2008" in shown.message
    assert shown.details
    assert shown.details[0] in refused.value.message


def test_hint_and_numbers_are_translated() -> None:
    with pytest.raises(BadInput) as refused:
        name_pattern.parse("acme$")
    assert ZH.error(refused.value).hint.startswith("请填写域名的一部分")
    with pytest.raises(BadInput) as refused:
        read_note("x" * 501)
    assert ZH.error(refused.value).message == "备注有 501 个字符，最多 500 个"


def test_error_without_a_problem_shows_the_sentence_of_its_code_and_the_english_one_as_detail() -> None:
    shown = ZH.error(StateError("the disk is full", hint="free some space"))
    assert (shown.message, shown.details) == (CODES["STATE"], ("the disk is full", "free some space"))


def test_lengths_times_and_statuses_in_a_problem_are_shown_as_on_the_page() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    for problem, expected in (
        (Problem("snooze.expires", {"left": timedelta(days=2)}), "将在 2 天后到期"),
        (Problem("snooze.past", {"until": at}), "2026-03-01 08:00"),
        (Problem("snooze.worse", {"before": Status.FAILURE, "now": Status.EXPIRED}), "由“失败”变为“已过期”"),
    ):
        assert expected in ZH.problem(problem, "")


def test_errors_of_forms_are_in_the_language_of_the_page() -> None:
    error = make_error(BadInput, "add.too_many", most="1,000")
    assert error.message == Texts(Language.EN)("add.too_many", most="1,000")
    assert ZH.error(error).message == TEXTS[Language.ZH]["add.too_many"].format(most="1,000")
