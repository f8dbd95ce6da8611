"""Which international names are shown in Unicode."""

from __future__ import annotations

import idna
import pytest

from sslctl.rules.readable_names import readable_name


def _name(label: str) -> str:
    return f"{idna.alabel(label).decode()}.example"


@pytest.mark.parametrize(
    "label",
    [
        "bücher",
        "straße",
        "zażółć",
        "smörgås",
        "việt",
        "почта",
        "ελλάδα",
        "中国",
        "日本語",
        "ひらがな",
        "한국",
        "हिन्दी",
        "ไทย",
        "bücher-24",
    ],
)
def test_name_of_one_script_is_readable(label: str) -> None:
    assert readable_name(_name(label)) == f"{label}.example"


@pytest.mark.parametrize(
    "label",
    ["аррӏе", "сосо", "ρορ", "раypal", "bücherа", "göοgle", "ıss", "ɡoogle", "中国abc", "ノ", "אבג", "مثال", "ա", "ノー"],  # noqa: RUF001 - names that deceive
)  # fmt: skip
def test_name_that_can_be_mistaken_stays_an_a_label(label: str) -> None:
    assert readable_name(_name(label)) == _name(label)


@pytest.mark.parametrize("name", ["shop.example.com", "xn--53h.example", "xn--zzzzzzzzz.example"])
def test_other_names_stay(name: str) -> None:
    assert readable_name(name) == name


def test_one_label_that_can_be_mistaken_keeps_the_whole_name_in_a_labels() -> None:
    name = f"xn--bcher-kva.{_name('аррӏе')}"  # noqa: RUF001 - a name that deceives
    assert readable_name(name) == name
