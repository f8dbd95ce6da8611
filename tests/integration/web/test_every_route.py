"""No page is open by accident: every route of the real site, as somebody without a login, a role or a form meets it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.routing import BaseConverter

from sslctl.app import App, utc_now
from sslctl.config.web import WebSection
from sslctl.web.access import Person, Role
from sslctl.web.access.guard import Guard
from sslctl.web.access.local_gate import LocalGate
from sslctl.web.access.proxy_gate import ProxyGate
from sslctl.web.jobs import Jobs
from sslctl.web.site import make_site

LOCAL = "http://127.0.0.1:8470"
PUBLIC = "https://ssl.example.net"
OPEN = {"static", "enter", "begin"}
SECTION = WebSection(public_url=PUBLIC, person_header="X-Person", viewers=("vera",), keys=("karl",))


def site_behind(gate: Guard, tmp_path: Path) -> Flask:
    config = tmp_path / "config.toml"
    config.write_text(f'state.dir = "{tmp_path}/state"\n')
    return make_site(lambda: App(config), gate, Jobs(config, utc_now))


def requests_of(site: Flask) -> list[tuple[str, str, str]]:
    """Return every method, path and endpoint that `site` has, with some value in the place of each parameter."""
    found = []
    with site.test_request_context():
        adapter = site.url_map.bind("")
        for rule in site.url_map.iter_rules():
            values = {name: _value(converter) for name, converter in rule._converters.items()}
            path = adapter.build(rule.endpoint, values)
            found += [(method, path, rule.endpoint) for method in sorted(rule.methods or ())]
    return found


def _value(converter: BaseConverter) -> object:
    # "1" is a number, a name and an id.
    return converter.to_python("1")


def test_every_route_needs_a_session(tmp_path: Path) -> None:
    site = site_behind(LocalGate("127.0.0.1", 8470, Person("bob", frozenset(Role)), time.monotonic), tmp_path)
    client = site.test_client()
    tried = [each for each in requests_of(site) if each[2] not in OPEN]
    assert tried
    for method, path, _ in tried:
        response = client.open(path, method=method, base_url=LOCAL, headers={"Origin": LOCAL})
        assert response.status_code == 401, (method, path)
        assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("person", ["", "eve"])
def test_every_route_behind_a_proxy_needs_a_person_with_a_role(tmp_path: Path, person: str) -> None:
    site = site_behind(ProxyGate(SECTION, time.monotonic), tmp_path)
    client = site.test_client()
    for method, path, endpoint in requests_of(site):
        if endpoint not in OPEN:
            headers = {"Origin": PUBLIC, "X-Person": person}
            response = client.open(path, method=method, base_url=PUBLIC, headers=headers)
            assert response.status_code == (403 if person else 401), (method, path)


def test_every_change_needs_the_origin_and_the_csrf_token(tmp_path: Path) -> None:
    site = site_behind(ProxyGate(SECTION, time.monotonic), tmp_path)
    client = site.test_client()
    for method, path, _ in requests_of(site):
        if method not in ("GET", "HEAD", "OPTIONS"):
            for origin in ("https://evil.example", "null", PUBLIC):
                headers = {"Origin": origin, "X-Person": "karl"}
                response = client.open(path, method=method, base_url=PUBLIC, headers=headers)
                assert response.status_code == 403, (method, path, origin)


def test_a_viewer_can_change_nothing(tmp_path: Path) -> None:
    site = site_behind(ProxyGate(SECTION, time.monotonic), tmp_path)
    client = site.test_client()
    secret = site.jinja_env.globals["csrf_token"]
    assert callable(secret)
    with site.test_request_context(base_url=PUBLIC, headers={"X-Person": "vera"}):
        assert site.preprocess_request() is None
        token = secret()
    for method, path, endpoint in requests_of(site):
        if method not in ("GET", "HEAD", "OPTIONS") and endpoint not in OPEN:
            headers = {"Origin": PUBLIC, "X-Person": "vera", "X-CSRF-Token": token}
            response = client.open(path, method=method, base_url=PUBLIC, headers=headers)
            assert response.status_code == 403, (method, path)


def test_error_page_shows_the_id_that_the_log_has(tmp_path: Path) -> None:
    """Errors of the gate too, before anything is known of the person."""
    client = site_behind(ProxyGate(SECTION, time.monotonic), tmp_path).test_client()
    for code, headers in {404: {"X-Person": "vera"}, 401: {}, 421: {"Host": "evil.example"}}.items():
        response = client.get("/missing", base_url=PUBLIC, headers=headers)
        assert response.status_code == code
        assert f"Request {response.headers['X-Request-Id']}:" in response.text
