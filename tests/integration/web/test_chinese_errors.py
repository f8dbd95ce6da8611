"""Forms that cannot be used, in Chinese: the sentence is Chinese, and what exists only in English is marked as such."""
# ruff: noqa: RUF001 - the full-width punctuation of Chinese

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.support.fakes import Clock
from tests.support.html_page import Page
from tests.support.site_cases import WELL, site_over


def _alert(response_text: str) -> str:
    [alert] = Page(response_text).find("div", role="alert")
    return alert.text


@pytest.mark.parametrize(
    ("path", "form", "expected"),
    [
        ("/add", {"domains": "*.example.com"}, "通配符无法通过 HTTP-01 验证"),
        (
            "/add",
            {"domains": "shop.example.com", "customer": "x" * 101},
            "客户名称有 101 个字符，最多 100 个",
        ),
        ("/add", {"domains": " "}, "没有填写域名"),
        (f"/domains/{WELL}/note", {"value": "x" * 501, "before": ""}, "备注有 501 个字符，最多 500 个"),
        (f"/domains/{WELL}/snooze", {"until": "2036-01-01"}, "太久，最长 90 天"),
        (f"/domains/{WELL}/snooze", {"until": "2020-01-01"}, "该时间已过"),
        (f"/domains/{WELL}/snooze", {"until": "soon"}, "日期无效"),
        (f"/domains/{WELL}/download", {"format": "pem", "reason": " "}, "请填写下载原因"),
        (f"/domains/{WELL}/download", {"format": "pem", "reason": "x", "version": "9"}, f"{WELL} 没有版本 9"),
    ],
)
def test_refused_form_is_explained_in_chinese(
    client: FlaskClient, path: str, form: dict[str, str], expected: str
) -> None:
    response = client.post(f"{path}?lang=zh", data=form)
    assert response.status_code in (400, 404)
    assert expected in _alert(response.text)
    assert 'lang="en"' not in response.text.partition('role="alert"')[2].partition("</div>")[0]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/?q=acme$", "域名只有字母、数字、连字符和点"),
        ("/?status=Broken", "“Broken”不是可选的值"),
        ("/?page=0", "“0”不是页码"),
        ("/?within=soon", "“soon”不是时间长度"),
    ],
)
def test_address_that_cannot_be_used_is_explained_in_chinese(
    client: FlaskClient, address: str, expected: str
) -> None:
    assert expected in _alert(client.get(f"{address}&lang=zh").text)


def test_name_that_is_none_is_explained_on_the_error_page(client: FlaskClient) -> None:
    response = client.get("/domains/*.example.com?lang=zh")
    assert (response.status_code, "通配符无法通过 HTTP-01 验证" in response.text) == (404, True)


def test_state_that_cannot_be_used_is_named_in_chinese_with_the_english_detail(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "state.sqlite3").write_bytes(b"no database" * 100)
    with site_over(tmp_path, Clock()).test_client() as broken:
        response = broken.get("/?lang=zh")
    assert response.status_code == 503
    assert "无法使用。" in response.text
    assert [each for each in Page(response.text).find("p", lang="en") if each.text]
