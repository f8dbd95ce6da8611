"""Every page of the site: links that work, no inline code, hostile texts as text, languages, errors."""

from __future__ import annotations

import re
from collections import deque
from itertools import pairwise
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from flask import Flask, Response, abort, request
from flask.testing import FlaskClient

from sslctl.app import App
from sslctl.errors import Busy, MachineLimit, StateBusy
from sslctl.web.access import Role
from sslctl.web.running import request_app
from tests.support.fakes import Clock
from tests.support.html_page import Page
from tests.support.site_cases import DELETED, ELSEWHERE, HOSTILE, WELL, OpenGate, site_over

_MOST_PAGES = 150


@pytest.fixture
def site(filled: Path) -> Flask:
    """A site over the filled state."""
    return site_over(filled, Clock())


def _check_markup(page: Page) -> None:
    identities = [each.attributes["id"] for each in page.elements if "id" in each.attributes]
    assert len(identities) == len(set(identities))
    for each in page.elements:
        assert not {key for key in each.attributes if key.startswith("on")}
        assert "style" not in each.attributes
        assert each.tag not in ("style", "img", "iframe", "object")
        assert each.tag != "script" or (each.text == "" and "src" in each.attributes)
        for key in ("href", "src", "action"):
            assert each.attributes.get(key, "/").startswith(("/", "#", "https://ca.example/"))
    labels = {each.attributes["for"] for each in page.find("label")}
    for tag in ("input", "select", "textarea"):
        for each in page.find(tag):
            assert each.attributes.get("type") == "hidden" or each.attributes["id"] in labels
    levels = [int(each.tag[1]) for each in page.elements if re.fullmatch("h[1-6]", each.tag)]
    assert levels[0] == 1
    assert all(next_level - level <= 1 for level, next_level in pairwise(levels))
    # In SVG, titles name parts of the drawing.
    assert [each.inside for each in page.find("title") if "svg" not in each.inside] == [("html", "head")]
    assert [len(page.find(tag)) for tag in ("main", "h1")] == [1, 1]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_link_on_every_page_resolves_and_no_page_has_inline_code(
    client: FlaskClient, language: str
) -> None:
    waiting, seen = deque(["/", f"/domains/{DELETED}", "/domains/missing.example"]), set[str]()
    while waiting and len(seen) < _MOST_PAGES:
        address = waiting.popleft()
        if address in seen:
            continue
        seen.add(address)
        response = client.get(address, headers={"Accept-Language": language})
        # A file is read and closed then.
        text = response.text
        response.close()
        assert response.status_code in (200, 301, 302) or "missing" in address, address
        if response.mimetype != "text/html" or response.status_code in (301, 302):
            continue
        page = Page(text)
        _check_markup(page)
        for each in page.elements:
            for key in ("href", "src"):
                found = urlsplit(urljoin(address, each.attributes.get(key, "#")))
                target = f"{found.path}?{found.query}" if found.query else found.path
                # The languages and the filters are combined without end.
                if not found.netloc and "lang=" not in target and target.count("=") <= 1:
                    waiting.append(target)
    assert {"/", f"/domains/{ELSEWHERE}", "/?status=Failure", "/?page=2"} <= seen
    assert not waiting or len(seen) == _MOST_PAGES


def test_hostile_texts_are_shown_as_text(client: FlaskClient) -> None:
    for address in (
        "/",
        f"/domains/{ELSEWHERE}",
        "/?q=<script>",
        "/?customer=%22onfocus%3D1",
        "/domains/<script>",
    ):
        page = Page(client.get(address).text)
        assert [each.attributes["src"].split("?")[0] for each in page.find("script")] == ["/static/page.js"]
        _check_markup(page)
    shown = Page(client.get(f"/domains/{ELSEWHERE}").text).text_of("main")
    assert HOSTILE in shown
    assert "49" not in shown.replace("2026", "")


def test_link_of_the_ca_is_followed_only_to_a_web_address(client: FlaskClient) -> None:
    page = Page(client.get("/domains/ca-paused.example.com").text)
    assert [each for each in page.find("a") if "javascript" in each.attributes["href"]] == []


@pytest.mark.parametrize(
    ("address", "headers", "language"),
    [
        ("/", {}, "en"),
        ("/", {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.1"}, "zh-Hans"),
        ("/", {"Accept-Language": "fr, de"}, "en"),
        ("/?lang=zh", {}, "zh-Hans"),
        ("/?lang=en", {"Cookie": "sslctl_lang=zh"}, "en"),
        ("/?lang=xx", {"Cookie": "sslctl_lang=zh"}, "zh-Hans"),
        ("/missing", {"Accept-Language": "zh"}, "zh-Hans"),
    ],
)
def test_language_follows_address_cookie_and_browser(
    client: FlaskClient, address: str, headers: dict[str, str], language: str
) -> None:
    page = Page(client.get(address, headers=headers).text)
    assert page.find("html")[0].attributes["lang"] == language


@pytest.mark.parametrize(
    "path", ["//evil.example/x", "/%5Cevil.example/x", "/\\evil.example", "///evil.example"]
)
def test_link_to_the_other_language_stays_on_this_host(client: FlaskClient, path: str) -> None:
    response = client.get(path, follow_redirects=True)
    links = [each.attributes["href"] for each in Page(response.text).find("a", hreflang="zh-Hans")]
    assert len(links) == 1
    assert not links[0].startswith(("//", "/\\"))


def test_chosen_language_is_remembered_without_a_script_being_able_to_read_it(client: FlaskClient) -> None:
    cookie = client.get("/?lang=zh").headers["Set-Cookie"]
    assert cookie.startswith("sslctl_lang=zh;")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Set-Cookie" not in client.get("/?lang=%0d%0aX").headers


def test_page_without_its_state_is_503_with_what_to_do(tmp_path: Path) -> None:
    response = site_over(tmp_path, Clock()).test_client().get("/")
    page = Page(response.text)
    assert (response.status_code, page.text_of("h1")) == (503, "Not available now")
    assert "sslctl init" in page.text_of("main")


def test_unusable_configuration_is_503(tmp_path: Path) -> None:
    site = site_over(tmp_path, Clock())
    (tmp_path / "config.toml").write_text("[state]\ndirectory = 1\n")
    assert site.test_client().get("/").status_code == 503


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StateBusy("locked", hint="wait"), 503),
        (Busy("a tick runs"), 409),
        (MachineLimit("no memory", hint="buy some"), 503),
    ],
)
def test_error_of_the_core_becomes_a_page_with_its_hint(site: Flask, error: Exception, status: int) -> None:
    def fail() -> str:
        raise error

    site.add_url_rule("/fail", view_func=fail)
    response = site.test_client().get("/fail")
    assert response.status_code == status
    assert str(error) in Page(response.text).text_of("main")


def test_unexpected_error_shows_nothing_of_the_inside(site: Flask) -> None:
    def fail() -> str:
        raise ValueError("secret")

    site.testing = False
    site.add_url_rule("/fail", view_func=fail)
    response = site.test_client().get("/fail")
    assert (response.status_code, "secret" in response.text) == (500, False)


def test_headers_of_http_errors_are_kept(site: Flask) -> None:
    response = site.test_client().post("/")
    assert (response.status_code, "GET" in response.headers["Allow"]) == (405, True)


def test_description_of_an_http_error_is_shown_and_a_response_of_its_own_is_kept(site: Flask) -> None:
    site.before_request(
        lambda: abort(403, description="Not from <b>here</b>.") if "no" in request.args else None
    )
    site.add_url_rule("/limited", view_func=lambda: abort(Response("later", 429)))
    client = site.test_client()
    refused = Page(client.get("/?no=1").text)
    assert refused.text_of("h1") == "Not allowed"
    assert "Not from <b>here</b>." in refused.text_of("main")
    limited = client.get("/limited?lang=zh")
    assert (limited.status_code, limited.text) == (429, "later")


def test_viewer_role_is_required(filled: Path) -> None:
    client = site_over(filled, Clock(), OpenGate(Role.KEYS)).test_client()
    assert [client.get(path).status_code for path in ("/", f"/domains/{WELL}")] == [403, 403]


def test_app_of_a_request_only_reads_and_is_closed_after_it(site: Flask) -> None:
    used: list[App] = []

    def note() -> str:
        used.append(request_app())
        assert request_app() is used[-1]
        assert used[-1].only_reads
        return str(used[-1].store.count_managed())

    site.add_url_rule("/note", view_func=note)
    client = site.test_client()
    client.get("/note")
    client.get("/note")
    assert used[0] is not used[1]
    with pytest.raises(Exception, match="closed"):
        used[0].store.count_managed()
