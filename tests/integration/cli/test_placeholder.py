"""`cdn.cname_suffixes` was left at its default, or lacks a suffix: the operator is named, and no customer."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sslctl.errors import Exit
from tests.support.cdn import Cdn
from tests.support.fleet_ticks import serve, tick

NAME = "shop.example.com"


def configure(cdn: Cdn, suffixes: str) -> None:
    text = cdn.config_path.read_text()
    cdn.config_path.write_text(re.sub(r"( *)cname_suffixes = .*", rf"\1{suffixes}", text))


def check_of(cdn: Cdn) -> dict[str, Any]:
    made = cdn.sslctl("doctor", "--json").json["checks"]
    found: dict[str, Any] = next(check for check in made if check["check"] == "names of the CDN")
    return found


@pytest.mark.parametrize(
    "suffixes",
    [
        "",
        'cname_suffixes = ["cdn.example.net"]',
        'cname_suffixes = ["example.com", "eu.cdn.example.org."]',
        'cname_suffixes = ["edge.cdn.example"]',
    ],
)
def test_commands_refuse_an_example_in_place_of_the_names_of_the_cdn(cdn: Cdn, suffixes: str) -> None:
    cdn.add_domain(NAME)
    configure(cdn, suffixes)
    for arguments in (("add", NAME), ("daemon-tick",)):
        result = cdn.sslctl(*arguments)
        assert result.exit_code == Exit.UNUSABLE
        assert "an example that must be replaced" in result.stderr
        assert "set cdn.cname_suffixes to" in result.stderr
    assert cdn.issuer.orders == []
    check = check_of(cdn)
    assert check["grade"] == "bad"
    assert check["hint"].startswith("set cdn.cname_suffixes to")
    assert cdn.sslctl("doctor").exit_code == Exit.UNUSABLE


@pytest.mark.parametrize(
    "suffixes",
    [
        'cname_suffixes = ["cdn.example.net", "cdn.test"]',
        'ip_ranges = ["203.0.113.0/24"]',
    ],
)
def test_doctor_warns_of_an_example_beside_what_recognises_the_cdn(cdn: Cdn, suffixes: str) -> None:
    cdn.add_domain(NAME)
    configure(cdn, suffixes)
    assert check_of(cdn)["grade"] == "warn"
    assert cdn.sslctl("add", NAME).exit_code == Exit.OK


@pytest.mark.parametrize("suffix", ["notexample.net", "cdn.example.de", "example.test"])
def test_names_that_only_resemble_an_example_are_accepted(cdn: Cdn, suffix: str) -> None:
    cdn.add_domain(NAME)
    configure(cdn, f'cname_suffixes = ["{suffix}"]')
    assert check_of(cdn)["grade"] == "ok"


def test_renewal_goes_on_and_warns_the_operator_when_the_suffix_is_not_configured(cdn: Cdn) -> None:
    serve(cdn, NAME)
    configure(cdn, 'cname_suffixes = ["other.test"]')
    result = tick(cdn, days=84)
    assert (result["exit_code"], len(cdn.issuer.orders)) == (0, 2)
    domain = cdn.sslctl("view", NAME, "--json").json["domain"]
    assert domain["status"] == "Success"
    assert [(each["code"], each["owner"]) for each in domain["warnings"]] == [("SUFFIX_UNKNOWN", "operator")]
    configure(cdn, 'cname_suffixes = ["cdn.test"]')
    assert cdn.sslctl("recheck", NAME).exit_code == Exit.OK
    assert cdn.sslctl("view", NAME, "--json").json["domain"]["warnings"] == []
