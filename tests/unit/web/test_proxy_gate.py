"""The gate behind a reverse proxy: who is believed to be who, and what that person may do."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sslctl.config.settings import load
from sslctl.config.web import WebSection
from sslctl.errors import ConfigError
from sslctl.web.access import Role, current_person, require
from sslctl.web.access.proxy_gate import ProxyGate
from tests.support import ROOT

ORIGIN = "https://ssl.example.net"
SECTION = WebSection(
    public_url=ORIGIN,
    person_header="X-Person",
    groups_header="X-Groups",
    viewers=("vera", "@readers"),
    operators=("olga", "@ssl team"),
    keys=("karl", "@keyholders"),
)


def make_client(section: WebSection = SECTION) -> FlaskClient:
    site = Flask("sslctl.web")
    ProxyGate(section, lambda: 0.0).install(site)
    site.add_url_rule("/", "show", lambda: " ".join([current_person().name, *sorted(current_person().roles)]))
    site.add_url_rule("/form", "form", lambda: site.jinja_env.from_string("{{ csrf_token() }}").render())
    site.add_url_rule("/add", "add", require(Role.OPERATOR)(lambda: "added"), methods=["POST"])
    site.add_url_rule("/fail", "fail", lambda: str(1 // 0))
    return site.test_client()


@pytest.fixture
def client() -> FlaskClient:
    return make_client()


def get(client: FlaskClient, path: str = "/", **headers: str) -> TestResponse:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get(path, base_url=ORIGIN, headers=sent)


def post(client: FlaskClient, person: str, **data: str) -> TestResponse:
    return client.post("/add", base_url=ORIGIN, headers={"X-Person": person, "Origin": ORIGIN}, data=data)


@pytest.mark.parametrize(
    ("person", "groups", "roles"),
    [
        ("vera", "", "viewer"),
        ("olga", "", "operator viewer"),
        ("karl", "", "keys viewer"),
        ("gina", "readers", "viewer"),
        ("gina", "others,ssl team", "operator viewer"),
        ("gina", "keyholders, ssl team", "keys operator viewer"),
        ("vera", "keyholders", "keys viewer"),
    ],
)
def test_person_has_the_roles_of_name_and_groups(
    client: FlaskClient, person: str, groups: str, roles: str
) -> None:
    assert get(client, X_Person=person, X_Groups=groups).text == f"{person} {roles}"


@pytest.mark.parametrize(
    ("person", "groups"),
    [
        ("eve", ""),
        ("eve", "Readers"),
        ("Vera", ""),
        # Whoever can choose a name cannot become a group, nor a group a person.
        ("readers", ""),
        ("@readers", ""),
        ("@ssl team", ""),
        ("*", ""),
        ("eve", "@readers"),
        ("eve", "vera"),
        ("eve", "readers\u00ad"),
    ],
)
def test_person_without_a_role_sees_nothing(client: FlaskClient, person: str, groups: str) -> None:
    response = get(client, X_Person=person, X_Groups=groups.encode().decode("latin-1"))
    assert response.status_code == 403


@pytest.mark.parametrize(
    "person",
    [
        "",
        " ",
        "vera, olga",
        "vera,olga",
        ",vera",
        "x" * 101,
        "ve\x00ra",
        "vera\x1b[31m",
        "vera\u202e",
        # Not UTF-8.
        "v\xe9ra",
    ],
)
def test_person_header_that_is_no_name_is_refused(client: FlaskClient, person: str) -> None:
    raw = person if person == "v\xe9ra" else person.encode().decode("latin-1")
    assert get(client, X_Person=raw).status_code == 401


@pytest.mark.parametrize(
    "header", ["X-Persons", "Remote-User", "X-Forwarded-User", "Authorization", "X-Groups"]
)
def test_no_other_header_names_a_person(client: FlaskClient, header: str) -> None:
    response = client.get("/", base_url=ORIGIN, headers={header: "vera"})
    assert response.status_code == 401
    # Whoever is not logged in does not learn which header would.
    assert "X-Person" not in response.text


def test_person_has_a_name_in_any_script() -> None:
    client = make_client(replace(SECTION, viewers=("李雷",)))
    assert get(client, X_Person="李雷".encode().decode("latin-1")).text == "李雷 viewer"


def test_everyone_who_is_logged_in_is_a_viewer_with_a_star() -> None:
    client = make_client(replace(SECTION, viewers=("*",)))
    assert get(client, X_Person="eve").text == "eve viewer"
    assert get(client, X_Person="").status_code == 401


def test_change_needs_role_origin_and_the_csrf_token_of_the_person(client: FlaskClient) -> None:
    tokens = {name: get(client, "/form", X_Person=name).text for name in ("olga", "vera")}
    assert len({*tokens.values(), get(make_client(), "/form", X_Person="olga").text}) == 3
    assert post(client, "olga", csrf_token=tokens["olga"]).text == "added"
    assert post(client, "olga", csrf_token=tokens["vera"]).status_code == 403
    assert post(client, "olga").status_code == 403
    assert post(client, "vera", csrf_token=tokens["vera"]).status_code == 403
    foreign = client.post(
        "/add",
        base_url=ORIGIN,
        headers={"X-Person": "olga", "Origin": "https://evil.example"},
        data={"csrf_token": tokens["olga"]},
    )
    assert foreign.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "ssl.example.net.evil.example"},
        {"Host": "ssl.example.net:8443"},
        {"Host": "localhost"},
        {"Host": "evil.example", "X-Forwarded-Host": "ssl.example.net"},
        {"Host": "evil.example", "Forwarded": "host=ssl.example.net"},
    ],
)
def test_only_the_public_host_is_served(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.get("/", base_url=ORIGIN, headers={"X-Person": "vera", **headers}).status_code == 421
    assert get(client, X_Person="vera", X_Forwarded_Host="evil.example").status_code == 200
    assert get(client, X_Person="vera", Host="SSL.example.net:443").status_code == 200


def test_error_shows_no_traceback_and_its_id_is_in_the_log(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = get(client, "/fail", X_Person="vera")
    assert response.status_code == 500
    assert "ZeroDivisionError" not in response.text
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Strict-Transport-Security"].startswith("max-age=")
    [error] = [record for record in caplog.records if record.exc_info]
    assert error.getMessage() == f"{response.headers['X-Request-Id']} Exception on /fail [GET]"


def test_changes_are_limited_for_each_person() -> None:
    client = make_client(replace(SECTION, operators=("olga", "otto")))
    olga, otto = (get(client, "/form", X_Person=name).text for name in ("olga", "otto"))
    codes = [post(client, "olga", csrf_token=olga).status_code for _ in range(61)]
    assert codes == [200] * 60 + [429]
    assert post(client, "otto", csrf_token=otto).text == "added"


def test_documented_configuration_is_complete(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "page-access.md").read_text()
    [example] = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    path = tmp_path / "config.toml"
    path.write_text(dedent(example))
    client = make_client(load(path, {}).web)
    assert get(client, X_Person="olga").text == "olga keys operator viewer"
    assert get(client, X_Person="anybody").text == "anybody viewer"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"public_url": ""}, "web.public_url is not set"),
        ({"person_header": ""}, "web.person_header is not set"),
        ({"groups_header": "x-person"}, "are the same header"),
        ({"groups_header": ""}, "@readers is a group, but web.groups_header is not set"),
        ({"viewers": (), "operators": (), "keys": ()}, "nobody could see the page"),
    ],
)
def test_incomplete_configuration_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        ProxyGate(replace(SECTION, **changes), lambda: 0.0)  # type: ignore[arg-type]
