"""The texts of the page: every language has every key with the same fields, and templates use only keys that exist."""

from __future__ import annotations

import re
from datetime import timedelta
from string import Formatter

import pytest

from sslctl.fleet.downloads import EVENT
from sslctl.rules.customer_texts import Language
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.rules.singapore import format_duration
from sslctl.store.sql.remarks import _KINDS
from sslctl.web import history_texts_zh, reason_texts_en, reason_texts_zh
from sslctl.web.language import TEXTS, Texts
from tests.support import ROOT


def _fields(text: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(text) if field is not None}


def test_languages_have_the_same_keys_with_the_same_fields() -> None:
    assert list(TEXTS[Language.EN]) == list(TEXTS[Language.ZH])
    for key, text in TEXTS[Language.EN].items():
        may_differ = {"number"} if key.endswith(".one") else set[str]()
        assert _fields(text) ^ _fields(TEXTS[Language.ZH][key]) <= may_differ, key


def test_every_code_has_a_label_and_a_next_step_in_each_language() -> None:
    for table in (reason_texts_en.LABELS, reason_texts_zh.LABELS, reason_texts_zh.NEXT_STEPS):
        assert set(table) == set(Code)
    assert len(set(reason_texts_en.LABELS.values())) == len(Code)
    assert len(set(reason_texts_zh.LABELS.values())) == len(Code)


def test_commands_and_settings_in_next_steps_are_the_same_in_both_languages() -> None:
    named = re.compile(r"`[^`]+`|[a-z0-9]+\.[a-z_]{3,}|/\.well-known\S+")
    for code, reason in REASONS.items():
        expected = set(named.findall(reason.next_step)) - {"`sslctl view DOMAIN`"}
        assert set(named.findall(reason_texts_zh.NEXT_STEPS[code])) == expected, code


def test_every_key_in_a_template_or_module_exists_and_every_key_is_used() -> None:
    web = ROOT / "sslctl" / "web"
    sources = "".join(
        path.read_text() for path in [*web.rglob("*.html"), *web.rglob("*.py")] if "texts_" not in path.name
    )
    keys = {key.removesuffix(".one").removesuffix(".many") for key in TEXTS[Language.EN]}
    used = set(re.findall(r"""["']([a-z]+(?:\.[a-z_0-9]+)?)["']""", sources))
    prefixes = set(re.findall(r"""f?["']([a-z]+(?:\.[a-z_]+)?[._])(?:["'] ~|\{)""", sources))
    unused = {key for key in keys if key not in used and not any(map(key.startswith, prefixes))}
    assert unused == set()
    called = set(re.findall(r"""\bt(?:exts)?(?:\.number)?\(["']([a-z._0-9]+)["'][,)]""", sources))
    assert len(called) > 50
    assert called - keys == set()


def _literals(pattern: str) -> set[str]:
    """Return what `pattern` finds in the modules of the core."""
    core = [path for path in (ROOT / "sslctl").rglob("*.py") if "web" not in path.parts]
    return {found for path in core for found in re.findall(pattern, path.read_text())}


def test_every_kind_of_event_has_a_chinese_text() -> None:
    kinds = _literals(r"""(?:_append_event|_append|record_event)\(\s*[^"=:]+"([a-zA-Z0-9 ]+)",""")
    # Where the kind is no literal of the call.
    kinds |= _literals(r"""yield "([a-z ]+)", """) | {
        "issued",
        "pasted",
        "uploaded",
        "revoked",
        "claim broken",
        EVENT,
        *_KINDS.values(),
    }
    assert len(kinds) > 30
    assert kinds == set(history_texts_zh.KINDS)


def test_every_step_of_a_pass_has_a_chinese_text() -> None:
    steps = _literals(r"""_on_step\(domain, f?"((?:[^"{]|\{C4\})+)"\)""")
    assert {step.replace("{C4}", "C4") for step in steps} == set(history_texts_zh.STEPS)
    texts = Texts(Language.ZH)
    assert texts.step("shop.example.com: checking DNS") == "shop.example.com：检查 DNS"  # noqa: RUF001
    assert texts.step("sslctl: error: x") is None


@pytest.mark.parametrize("language", Language)
def test_statuses_and_owners_have_a_text_in_each_language(language: Language) -> None:
    texts = Texts(language)
    assert len({texts(f"status.{each}") for each in Status}) == len(Status)
    assert len({texts(f"owner.{each}") for each in Owner}) == len(Owner)


@pytest.mark.parametrize("seconds", [0, 1, 59, 60, 3600, 7200, 86_399, 86_400, 8_640_000])
def test_length_of_time_is_that_of_the_command(seconds: int) -> None:
    length = timedelta(seconds=seconds)
    assert Texts(Language.EN).length(length) == format_duration(length)
