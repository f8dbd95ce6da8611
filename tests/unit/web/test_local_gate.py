"""The gate of a server on a loopback address, as a browser and as a hostile page meet it."""

from __future__ import annotations

import logging
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import ChoiceLoader, DictLoader
from werkzeug.test import TestResponse

from sslctl.rules.customer_texts import Language
from sslctl.web.access import Person, Role, current_person, require
from sslctl.web.access.local_gate import LocalGate
from sslctl.web.language import Texts

ORIGIN = "http://127.0.0.1:8470"


def make_site(gate: LocalGate) -> Flask:
    """A site with one view to read, one that changes something, and one that needs a role that can be taken away."""
    site = Flask("sslctl.web")
    # In place of the frame of the real site, which leads to pages that this one does not have.
    frame = DictLoader({"base.html": "{% block content %}{% endblock %}"})
    assert site.jinja_loader is not None
    site.jinja_loader = ChoiceLoader([frame, site.jinja_loader])
    site.jinja_env.globals["t"] = Texts(Language.EN)
    gate.install(site)
    site.add_url_rule("/", "show", lambda: f"{current_person().name}")
    site.add_url_rule("/form", "form", lambda: site.jinja_env.from_string("{{ csrf_token() }}").render())
    site.add_url_rule("/change", "change", lambda: "changed", methods=["POST"])
    site.add_url_rule("/keys", "keys", require(Role.KEYS)(lambda: "keys"))
    return site


class Browser:
    """A browser that has entered, unless told otherwise."""

    def __init__(self, gate: LocalGate, site: Flask) -> None:
        self.gate = gate
        self.client: FlaskClient = site.test_client()

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, base_url=ORIGIN, headers=headers)

    def post(
        self, path: str, origin: str | None = ORIGIN, *, headers: dict[str, str] | None = None, **data: str
    ) -> TestResponse:
        sent = {} if origin is None else {"Origin": origin}
        return self.client.post(path, base_url=ORIGIN, headers={**sent, **(headers or {})}, data=data)

    def token(self) -> str:
        return parse_qs(urlsplit(self.gate.make_url()).query)["token"][0]

    def enter(self) -> None:
        assert self.post("/enter", token=self.token()).status_code == 303

    def csrf(self) -> str:
        return self.get("/form").text


def make(roles: frozenset[Role] = frozenset(Role)) -> Browser:
    gate = LocalGate("127.0.0.1", 8470, Person("bob", roles), lambda: 0.0)
    return Browser(gate, make_site(gate))


@pytest.fixture
def browser() -> Browser:
    return make()


@pytest.fixture
def entered(browser: Browser) -> Browser:
    browser.enter()
    return browser


def test_browser_enters_with_the_printed_url_and_leaves(browser: Browser) -> None:
    url = browser.gate.make_url()
    assert url.startswith(f"{ORIGIN}/enter?token=")
    assert browser.get("/").status_code == 401
    # To look at the page uses nothing up.
    for _ in range(2):
        page = browser.get(url.removeprefix(ORIGIN)).text
    [token] = re.findall(r'name="token" value="([^"]+)"', page)
    response = browser.post("/enter", token=token)
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    cookie = response.headers["Set-Cookie"]
    for part in ("sslctl-8470=", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie
    assert browser.get("/").text == "bob"
    assert browser.post("/leave", csrf_token=browser.csrf()).status_code == 303
    assert browser.get("/").status_code == 401


def test_token_is_refused_the_second_time_and_ends_no_session(entered: Browser) -> None:
    token = entered.token()
    entered.post("/enter", token=token)
    again = entered.post("/enter", token=token)
    assert again.status_code == 403
    assert "Set-Cookie" not in again.headers
    assert entered.get("/").status_code == 200


def test_session_cookie_that_somebody_chose_begins_no_session(browser: Browser) -> None:
    browser.client.set_cookie("sslctl-8470", "chosen", domain="127.0.0.1")
    assert browser.get("/").status_code == 401
    browser.enter()
    cookie = browser.client.get_cookie("sslctl-8470", domain="127.0.0.1")
    assert cookie is not None
    assert cookie.value != "chosen"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8470",
        "127.0.0.1",
        "127.0.0.1:80",
        "localhost.evil.example:8470",
        "127.0.0.1:8470.",
        "127.1:8470",
        "0.0.0.0:8470",
        "",
    ],
)
def test_foreign_host_is_refused(entered: Browser, host: str) -> None:
    """So does a page whose name was made to point at this machine (DNS rebinding), with any cookie."""
    for path in ("/", "/enter", "/static/page.css"):
        assert entered.get(path, Host=host).status_code in (400, 421)


@pytest.mark.parametrize("host", ["localhost:8470", "LOCALHOST:8470", "[::1]:8470"])
def test_other_names_of_loopback_are_served(browser: Browser, host: str) -> None:
    assert browser.get("/enter", Host=host).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "",
        "http://evil.example",
        "https://127.0.0.1:8470",
        "http://127.0.0.1:8471",
        # Another user may have a server there.
        "http://[::1]:8470",
        "http://localhost:8470",
        "http://127.0.0.1",
        f"{ORIGIN}/",
        f"{ORIGIN} http://evil.example",
    ],
)
def test_change_from_a_foreign_origin_is_refused(entered: Browser, origin: str | None) -> None:
    token = entered.csrf()
    assert entered.post("/change", origin, csrf_token=token).status_code == 403
    assert entered.post("/enter", origin, token=entered.token()).status_code == 403
    assert entered.post("/change", csrf_token=token).text == "changed"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_change_that_the_browser_calls_foreign_is_refused(entered: Browser, site: str) -> None:
    sent = entered.post("/change", headers={"Sec-Fetch-Site": site}, csrf_token=entered.csrf())
    assert sent.status_code == 403


@pytest.mark.parametrize(
    ("site", "mode", "destination", "code"),
    [
        ("same-origin", "cors", "empty", 200),
        ("none", "navigate", "document", 200),
        ("cross-site", "navigate", "document", 200),
        ("cross-site", "navigate", "iframe", 403),
        ("cross-site", "no-cors", "image", 403),
        ("same-site", "cors", "empty", 403),
        ("same-site", "no-cors", "script", 403),
    ],
)
def test_foreign_page_may_lead_here_but_not_embed_anything(
    entered: Browser, site: str, mode: str, destination: str, code: int
) -> None:
    sent = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
    assert entered.get("/", **sent).status_code == code


def test_session_of_one_server_is_none_of_another_on_the_same_address(entered: Browser) -> None:
    """Browsers send the cookies of an address to all its ports."""
    cookie = entered.client.get_cookie("sslctl-8470", domain="127.0.0.1")
    assert cookie is not None
    other = make()
    for name in ("sslctl-8470", "sslctl-8471"):
        other.client.set_cookie(name, cookie.value, domain="127.0.0.1")
    assert other.get("/").status_code == 401


def test_entering_leads_to_no_other_site(browser: Browser) -> None:
    path = "/enter?next=https://evil.example&url=//evil.example"
    entered = browser.post(path, token=browser.token(), next="https://evil.example")
    assert (entered.status_code, entered.headers["Location"]) == (303, "/")


def test_usual_port_is_left_out_by_browsers() -> None:
    client = make_site(LocalGate("::1", 80, Person("bob", frozenset(Role)), lambda: 0.0)).test_client()
    for host in ("[::1]", "[::1]:80", "localhost"):
        assert client.get("/", headers={"Host": host}).status_code == 401
    assert client.get("/", headers={"Host": "[::1]:8470"}).status_code == 421


def test_change_needs_the_csrf_token_of_its_session(entered: Browser) -> None:
    token = entered.csrf()
    entered.enter()
    assert entered.post("/change").status_code == 403
    for wrong in ("", "é", token):
        assert entered.post("/change", csrf_token=wrong).status_code == 403
    sent = entered.post("/change", headers={"X-CSRF-Token": entered.csrf()})
    assert sent.text == "changed"


def test_nobody_without_a_session_changes_anything(browser: Browser) -> None:
    assert browser.post("/change", csrf_token="").status_code == 401


def test_person_without_the_role_is_refused() -> None:
    browser = make(frozenset({Role.VIEWER, Role.OPERATOR}))
    browser.enter()
    assert browser.get("/keys").status_code == 403


def test_header_that_names_a_person_is_ignored(browser: Browser) -> None:
    assert (
        browser.get(
            "/", **{"X-Person": "eve", "Remote-User": "eve", "Authorization": "Basic ZXZlOmV2ZQ=="}
        ).status_code
        == 401
    )


def test_tries_to_enter_are_limited(browser: Browser) -> None:
    answers = [browser.post("/enter", token="guess").status_code for _ in range(12)]
    assert answers == [403] * 10 + [429] * 2
    assert browser.post("/enter", token="guess").headers["Retry-After"] == "6"
    # Nobody who guesses keeps the right person out.
    browser.enter()


def test_changes_are_limited(entered: Browser) -> None:
    token = entered.csrf()
    answers = {entered.post("/change", csrf_token=token).status_code for _ in range(60)}
    assert answers == {200}
    assert entered.post("/change", csrf_token=token).status_code == 429


def test_long_query_is_refused_before_anything_repeats_it(entered: Browser) -> None:
    assert entered.get(f"/?q={'x' * 1900}").status_code == 200
    assert entered.get(f"/?q={'x' * 2000}").status_code == 414


def test_large_body_is_refused(entered: Browser) -> None:
    assert entered.post("/change", csrf_token="x" * 2_000_000).status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "/static/../access/__init__.py",
        "/static/%2e%2e/access/__init__.py",
        "/static//etc/passwd",
        "/static/..%2f..%2fapp.py",
    ],
)
def test_static_files_are_only_those_of_the_folder(entered: Browser, path: str) -> None:
    assert entered.get(path).status_code in (308, 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/missing"), ("GET", "/enter"), ("DELETE", "/"), ("POST", "/change")],
)
def test_every_response_has_the_headers(entered: Browser, method: str, path: str) -> None:
    response = entered.client.open(path, method=method, base_url=ORIGIN)
    assert response.headers["Cache-Control"] == "no-store"
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert "Strict-Transport-Security" not in response.headers
    assert "Server" not in response.headers


def test_log_has_no_token_cookie_or_query(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sslctl.web")
    token = browser.token()
    browser.get(f"/enter?token={token}")
    browser.post("/enter", token=token)
    browser.get("/missing%0d%0aGET%20/forged%20200%201%20ms%20bob?q=secret")
    lines = [record.getMessage() for record in caplog.records]
    assert [re.sub(r"^[0-9a-f]{8} (.*) \d+ ms", r"ID \1 N ms", line) for line in lines[:2]] == [
        "ID GET /enter 200 N ms -",
        "ID POST /enter 303 N ms -",
    ]
    assert lines[2].split()[2:4] == ["/missing%20GET%20/forged%20200%201%20ms%20bob", "404"]
    assert all("\n" not in line and token not in line and "secret" not in line for line in lines)
