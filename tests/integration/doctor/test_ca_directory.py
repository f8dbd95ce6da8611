"""`sslctl doctor` and the directory of the CA: profiles, and credentials for a new account."""

from __future__ import annotations

import shutil

import pytest

from sslctl.errors import Exit
from tests.integration.doctor.test_doctor import ca, checks, found, well
from tests.support.ari_server import Answer, AriServer
from tests.support.cdn import Cdn

__all__ = ("ca", "well")

META = {"profiles": {"classic": "", "tlsserver": ""}}


def list_in_directory(server: AriServer, meta: object) -> None:
    assert isinstance(server.directory.body, dict)
    server.directory = Answer({**server.directory.body, "meta": meta})


@pytest.mark.parametrize(
    ("meta", "detail"),
    [
        (META, "it lists classic, tlsserver"),
        ({}, "the CA offers no profiles"),
    ],
)
def test_doctor_exits_with_8_when_the_ca_does_not_offer_the_profile(
    well: Cdn,
    ca: AriServer,
    monkeypatch: pytest.MonkeyPatch,
    meta: object,
    detail: str,
) -> None:
    list_in_directory(ca, meta)
    monkeypatch.setenv("SSLCTL_ACME_PROFILE", "tlsservr")
    check = found(well, "profile of the CA", "bad", Exit.UNUSABLE)
    assert 'the profile is "tlsservr"' in check["detail"]
    assert detail in check["detail"]


def test_doctor_reports_ok_for_a_profile_that_the_ca_offers(
    well: Cdn,
    ca: AriServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    list_in_directory(ca, META)
    monkeypatch.setenv("SSLCTL_ACME_PROFILE", "tlsserver")
    assert found(well, "profile of the CA", "ok", Exit.OK)["detail"] == "tlsserver"


def test_doctor_exits_with_8_when_a_new_account_needs_credentials(well: Cdn, ca: AriServer) -> None:
    list_in_directory(ca, {"externalAccountRequired": True})
    assert checks(well.sslctl("doctor", "--json"))["account at the CA"]["grade"] == "ok", "registered already"
    shutil.rmtree(well.folder / "state" / "acme" / "accounts")
    check = found(well, "account at the CA", "bad", Exit.UNUSABLE)
    assert "externalAccountRequired" in check["detail"]
    assert "acme.eab_kid and acme.eab_hmac_key_file" in check["hint"]


def test_doctor_accepts_configured_credentials_and_refuses_a_file_without_a_key(
    well: Cdn, ca: AriServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_in_directory(ca, {"externalAccountRequired": True})
    shutil.rmtree(well.folder / "state" / "acme" / "accounts")
    key = well.folder / "hmac.key"
    key.touch(mode=0o600)
    key.write_text(f"{'a-_b' * 8}\n")
    monkeypatch.setenv("SSLCTL_ACME_EAB_KID", "kid-1")
    monkeypatch.setenv("SSLCTL_ACME_EAB_HMAC_KEY_FILE", str(key))
    check = found(well, "account at the CA", "warn", Exit.OK)
    assert check["detail"] == "not registered yet; the CA needs credentials, and kid-1 is configured"
    key.write_text("secret!")
    refused = well.sslctl("doctor")
    assert refused.exit_code == Exit.UNUSABLE
    assert "secret!" not in f"{refused.stdout}{refused.stderr}"


@pytest.mark.parametrize(
    ("meta", "is_wrong"),
    [
        ({"caaIdentities": ["zerossl.com", "sectigo.com"]}, True),
        ({"caaIdentities": ["LetsEncrypt.org", "x.test"]}, False),
        ({"caaIdentities": []}, False),
        ({"caaIdentities": "zerossl.com"}, False),
        ({}, False),
    ],
)
def test_doctor_warns_if_the_ca_looks_for_other_names_in_caa_records(
    well: Cdn,
    ca: AriServer,
    monkeypatch: pytest.MonkeyPatch,
    meta: dict[str, object],
    *,
    is_wrong: bool,
) -> None:
    monkeypatch.setenv("SSLCTL_ACME_CAA_IDENTITIES", "letsencrypt.org")
    list_in_directory(ca, meta)
    checked = checks(well.sslctl("doctor", "--json"))
    assert ("CAA names of the CA" in checked) == is_wrong
    if is_wrong:
        assert checked["CAA names of the CA"]["grade"] == "warn"


def test_doctor_names_the_fallback_ca_and_its_keys(well: Cdn) -> None:
    with well.config_path.open("a") as file:
        file.write("""
[[acme.fallback]]
directory_url = "https://127.0.0.1:9/dir"
caa_identities = ["ca.test"]
""")
    result = well.sslctl("doctor", "--json")
    made = [each for each in result.json["checks"] if each["check"] in ("CA", "account at the CA")]
    assert [each["grade"] for each in made] == ["ok", "ok", "warn", "warn"]
    assert made[2]["hint"] == "check acme.fallback.directory_url and acme.fallback.ca_bundle"
    assert made[3]["detail"].startswith("127.0.0.1:9: not registered yet")
