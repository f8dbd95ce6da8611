"""Only upwards: what is served is replaced only by something at least as good, unless a person forces it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sslctl.rules.model import Source
from tests.support.cdn import Cdn
from tests.support.fakes import FakeIssuer

NAME = "shop.example.com"
DAY = timedelta(days=1)


def view(cdn: Cdn) -> Any:
    return cdn.sslctl("view", NAME, "--json").json["domain"]


def reason(cdn: Cdn) -> str | None:
    found = view(cdn)["reason"]
    return None if found is None else found["code"]


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 0
    return cdn


def set_ca(cdn: Cdn, lifetime: timedelta) -> None:
    """Let the CA issue certificates of `lifetime` from now on."""
    cdn.issuer.lifetime = lifetime


def trust(cdn: Cdn, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let browsers trust only `issuer`."""
    path = Path(cdn.folder) / "roots.pem"
    path.write_text(issuer.chain)
    monkeypatch.setenv("SSLCTL_SAFETY_TRUSTED_ROOTS", str(path))


def test_renewal_that_lasts_a_minute_is_not_installed_and_ordered_at_most_once_a_day(shop: Cdn) -> None:
    before = shop.installed(NAME)
    shop.clock.move(days=84)
    set_ca(shop, timedelta(minutes=1))
    codes = []
    for _ in range(5 * 24):
        codes.append(shop.sslctl("daemon-tick").exit_code)
        shop.clock.move(hours=1)
    assert shop.installed(NAME) == before
    assert codes[0] == 5
    # One order a day, and the first one.
    assert len(shop.issuer.orders) <= 1 + 6
    assert (reason(shop), view(shop)["status"]) == ("CERT_WORSE", "Failure")
    assert "not installed" in [event["kind"] for event in view(shop)["events"]]
    set_ca(shop, 90 * DAY)
    assert shop.sslctl("recheck", NAME).exit_code == 0
    assert shop.installed(NAME) != before


@pytest.mark.parametrize(
    ("days", "is_installed"), [(2, False), (3, False), (3.1, True), (5, True), (90, True)]
)
def test_renewal_that_is_due_needs_half_the_time_left(shop: Cdn, days: float, *, is_installed: bool) -> None:
    before = shop.installed(NAME)
    # 6 days and a little are left.
    shop.clock.move(days=83, hours=23)
    set_ca(shop, days * DAY)
    shop.sslctl("daemon-tick")
    assert (shop.installed(NAME) != before) is is_installed


def test_forced_renewal_that_is_not_due_is_not_installed_if_it_ends_sooner(shop: Cdn) -> None:
    before = shop.installed(NAME)
    set_ca(shop, 80 * DAY)
    result = shop.sslctl("recheck", NAME, "--force-renew")
    assert (result.exit_code, shop.installed(NAME)) == (4, before)
    assert "CERT_WORSE" in result.stdout
    assert len(shop.issuer.orders) == 2
    forced = shop.sslctl("recheck", NAME, "--force-renew", "--force")
    assert forced.exit_code == 0
    assert "installed because of --force, although it expires" in forced.stderr
    assert shop.installed(NAME) != before
    assert reason(shop) is None


def test_certificate_that_browsers_do_not_trust_never_replaces_one_that_they_do(
    shop: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(shop, shop.issuer, monkeypatch)
    before, trusted = shop.installed(NAME), shop.issuer
    shop.clock.move(days=84)
    shop.issuer = FakeIssuer(shop.clock)  # staging
    assert shop.sslctl("daemon-tick").exit_code == 5
    assert (shop.installed(NAME), reason(shop)) == (before, "CERT_WORSE")
    assert "browsers trust the certificate in service" in view(shop)["reason"]["sentence"]
    # The configuration is right again.
    shop.issuer = trusted
    assert shop.sslctl("recheck", NAME).exit_code == 0
    assert shop.installed(NAME) != before


def test_first_steps_with_staging_install_certificates_that_browsers_do_not_trust(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(cdn, FakeIssuer(cdn.clock), monkeypatch)
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 0
    cdn.clock.move(days=84)
    before = cdn.installed(NAME)
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert cdn.installed(NAME) != before


def state_of(cdn: Cdn) -> tuple[object, ...]:
    """Return what a refused pair must leave as it is."""
    found = view(cdn)
    keys = ("source", "sans", "status", "reason", "serving")
    codes = [warning["code"] for warning in found["warnings"]]
    return (cdn.installed(NAME), *(found[key] for key in keys), codes)


def test_pasted_pair_that_is_worse_needs_force(shop: Cdn) -> None:
    before = shop.installed(NAME)
    pair = shop.paste(shop.text_pair(NAME, days=30))
    result = shop.sslctl("add", NAME, *pair)
    assert (result.exit_code, shop.installed(NAME)) == (4, before)
    assert (
        f"{NAME} stays as it was; `sslctl add {NAME} --cert … --key … --force` installs it" in result.stderr
    )
    assert "worse than the one in service: it expires 2026-12-23" in result.stderr
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert shop.installed(NAME) == before
    assert shop.sslctl("add", NAME, *pair, "--force").exit_code == 0
    assert shop.installed(NAME) != before


def test_refused_pair_leaves_the_domain_as_it_was_and_its_certificate_is_renewed(shop: Cdn) -> None:
    before = state_of(shop)
    pair = shop.paste(shop.text_pair(NAME, days=30))
    result = shop.sslctl("add", NAME, *pair, "--json")
    assert [row["error"] for row in result.json["domains"]] == ["PAIR_WORSE"]
    assert state_of(shop) == before
    assert [each["fate"] for each in view(shop)["certificates"]] == ["unused", "serving"]
    shop.clock.move(days=84)
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert len(shop.issuer.orders) == 2
    assert shop.installed(NAME) != before[0]


def test_pair_that_a_tick_refuses_leaves_the_domain_as_it_was(shop: Cdn) -> None:
    before = state_of(shop)
    pair = shop.paste(shop.text_pair(NAME, days=30))
    assert shop.sslctl("add", NAME, *pair, "--no-wait").exit_code == 0
    tick = shop.sslctl("daemon-tick")
    assert (tick.exit_code, "the pasted certificate (version 2) was not installed" in tick.stderr) == (
        5,
        True,
    )
    assert state_of(shop) == before
    assert shop.sslctl("daemon-tick").exit_code == 0
    shop.clock.move(days=84)
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert len(shop.issuer.orders) == 2


def test_refused_pair_restores_the_other_names(cdn: Cdn) -> None:
    for name in (NAME, "www.example.com"):
        cdn.add_domain(name)
    assert cdn.sslctl("add", NAME, "--san", "www.example.com").exit_code == 0
    before = state_of(cdn)
    assert cdn.sslctl("add", NAME, "--no-san", *cdn.paste(cdn.text_pair(NAME, days=30))).exit_code == 4
    assert state_of(cdn) == before


def test_refused_pair_leaves_an_earlier_pair_in_success(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME, days=365))).exit_code == 0
    before = state_of(cdn)
    assert cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME, days=30))).exit_code == 4
    assert state_of(cdn) == before
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert state_of(cdn) == before


def test_refused_pair_leaves_an_adopted_certificate_adopted(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.app().control_plane.upload(NAME, cdn.text_pair(NAME, days=365), Source.TEXT)
    cdn.sslctl("add", NAME, "--no-wait")
    assert cdn.sslctl("adopt", NAME).exit_code == 0
    before = state_of(cdn)
    assert cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME, days=30))).exit_code == 4
    cdn.sslctl("daemon-tick")
    assert state_of(cdn) == before


def test_refused_pair_over_a_foreign_certificate_leaves_source_and_consent_as_they_were(shop: Cdn) -> None:
    control_plane = shop.app().control_plane
    control_plane.remove(NAME)
    control_plane.upload(NAME, shop.text_pair(NAME, days=365), Source.TEXT)
    shop.clock.move(days=1)
    shop.sslctl("daemon-tick")
    before = state_of(shop)
    assert before[-1] == ["OTHER_CERTIFICATE"]
    assert shop.sslctl("add", NAME, *shop.paste(shop.text_pair(NAME, days=30))).exit_code == 4
    for _ in range(3):
        shop.sslctl("daemon-tick")
        shop.clock.move(hours=8)
    # The person agreed to replace it by the pair, and not by a certificate from the CA.
    assert (state_of(shop), len(shop.issuer.orders)) == (before, 1)


def test_two_refused_pairs_in_a_row_leave_the_domain_as_it_was(shop: Cdn) -> None:
    before = state_of(shop)
    for _ in range(2):
        pair = shop.paste(shop.text_pair(NAME, days=30))
        assert shop.sslctl("add", NAME, *pair, "--no-wait").exit_code == 0
    shop.sslctl("daemon-tick")
    shop.sslctl("daemon-tick")
    assert state_of(shop) == before


def test_refused_pair_over_a_c4_certificate_whose_key_is_missing_leaves_its_renewal(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.app().control_plane.upload(NAME, cdn.text_pair(NAME, days=60), Source.C4)
    assert cdn.sslctl("add", NAME).exit_code == 0
    before = state_of(cdn)
    pair = cdn.paste(cdn.text_pair(NAME, days=30))
    assert cdn.sslctl("add", NAME, *pair).exit_code == 4
    cdn.sslctl("daemon-tick")
    assert state_of(cdn) == before
    assert cdn.sslctl("add", NAME, *pair, "--force").exit_code == 0
    assert (cdn.installed(NAME) != before[0], view(cdn)["source"]) == (True, "text")


def test_pair_that_was_served_is_not_withdrawn_when_others_install_a_c4_certificate(shop: Cdn) -> None:
    assert shop.sslctl("add", NAME, *shop.paste(shop.text_pair(NAME, days=95))).exit_code == 0
    control_plane = shop.app().control_plane
    control_plane.remove(NAME)
    control_plane.upload(NAME, shop.text_pair(NAME, days=365), Source.C4)
    assert shop.sslctl("recheck", NAME).exit_code == 0
    assert (view(shop)["source"], view(shop)["warnings"][0]["code"]) == ("text", "KEY_MISSING")


def test_worse_pair_of_a_new_domain_is_not_installed_over_a_foreign_c4_certificate(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.app().control_plane.upload(NAME, cdn.text_pair(NAME, days=100), Source.C4)
    theirs = cdn.installed(NAME)
    assert cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME, days=99))).exit_code == 4
    assert (cdn.installed(NAME), reason(cdn)) == (theirs, "PAIR_WORSE")


def test_worse_pair_of_a_new_domain_stays_wanted_until_it_is_not_worse(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.app().control_plane.upload(NAME, cdn.text_pair(NAME, days=100), Source.TEXT)
    theirs = cdn.installed(NAME)
    result = cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME, days=99)))
    assert (result.exit_code, cdn.installed(NAME), reason(cdn)) == (4, theirs, "PAIR_WORSE")
    assert "--cert … --key … --force` installs this one all the same" in result.stdout
    cdn.clock.move(days=94)
    cdn.sslctl("daemon-tick")
    assert cdn.installed(NAME) != theirs
    assert (reason(cdn), view(cdn)["source"], cdn.issuer.orders) == (None, "text", [])


def test_restored_older_backup_places_no_order_and_keeps_the_newer_certificate(shop: Cdn) -> None:
    backup = shop.folder / "backup"
    assert shop.sslctl("backup", str(backup)).exit_code == 0
    shop.clock.move(days=84)
    assert shop.sslctl("daemon-tick").exit_code == 0
    newer, orders = shop.installed(NAME), len(shop.issuer.orders)
    (shop.folder / "state" / "sslctl.db").unlink()
    assert shop.sslctl("restore", str(backup)).exit_code == 0
    for _ in range(48):
        shop.sslctl("daemon-tick")
        shop.clock.move(hours=1)
    assert (shop.installed(NAME), len(shop.issuer.orders)) == (newer, orders)
    domain = view(shop)
    assert domain["status"] == "Success"
    assert [warning["code"] for warning in domain["warnings"]] == ["KEY_MISSING"]
    shop.clock.move(days=85)
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert len(shop.issuer.orders) == orders + 1
    assert shop.installed(NAME) != newer
    assert view(shop)["warnings"] == []


def test_foreign_c4_certificate_is_adopted_and_replaced_when_it_is_due(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.app().control_plane.upload(NAME, cdn.text_pair(NAME, days=60), Source.C4)
    theirs = cdn.installed(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert (cdn.installed(NAME), cdn.issuer.orders) == (theirs, [])
    cdn.clock.move(days=54)
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert cdn.installed(NAME) != theirs
    assert len(cdn.issuer.orders) == 1


def test_foreign_certificate_that_is_due_is_replaced_on_a_system_without_roots(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(cdn.folder / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(cdn.folder / "missing"))
    monkeypatch.setenv("SSLCTL_ACME_CA_BUNDLE", "")
    cdn.add_domain(NAME)
    cdn.app().control_plane.upload(NAME, cdn.text_pair(NAME, days=5), Source.C4)
    theirs = cdn.installed(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert cdn.installed(NAME) != theirs


def test_chain_of_a_foreign_certificate_counts_as_trusted_with_a_public_ca(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(cdn, FakeIssuer(cdn.clock), monkeypatch)
    monkeypatch.setenv("SSLCTL_ACME_CA_BUNDLE", "")
    cdn.add_domain(NAME)
    cdn.app().control_plane.upload(NAME, cdn.text_pair(NAME, days=5), Source.C4)
    theirs = cdn.installed(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 4
    assert (cdn.installed(NAME), reason(cdn)) == (theirs, "CERT_WORSE")
    # With a CA of our own, what is in service is most likely of that CA.
    monkeypatch.delenv("SSLCTL_ACME_CA_BUNDLE")
    assert cdn.sslctl("recheck", NAME).exit_code == 0
    assert cdn.installed(NAME) != theirs


def test_live_state_replaces_the_certificate_of_a_staging_state_when_a_person_forces_a_renewal(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(cdn, cdn.issuer, monkeypatch)
    monkeypatch.setenv("SSLCTL_ACME_CA_BUNDLE", "")
    cdn.add_domain(NAME)
    cdn.app().control_plane.upload(NAME, cdn.text_pair(NAME), Source.C4)
    theirs = cdn.installed(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert cdn.installed(NAME) == theirs
    cdn.clock.move(minutes=10)
    assert cdn.sslctl("recheck", NAME, "--force-renew").exit_code == 0
    assert cdn.installed(NAME) != theirs


def test_file_of_roots_without_a_certificate_ends_the_command_before_an_order(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cdn.folder / "roots.pem").write_text("no certificate")
    monkeypatch.setenv("SSLCTL_SAFETY_TRUSTED_ROOTS", str(cdn.folder / "roots.pem"))
    cdn.add_domain(NAME)
    result = cdn.sslctl("add", NAME)
    assert (result.exit_code, cdn.issuer.orders) == (8, [])
    assert "safety.trusted_roots" in result.stderr


def test_backup_restored_twice_and_renewals_in_between_never_make_the_edge_worse(shop: Cdn) -> None:
    backup = shop.folder / "backup"
    assert shop.sslctl("backup", str(backup)).exit_code == 0
    for _ in range(2):
        shop.clock.move(days=84)
        shop.sslctl("daemon-tick")
        served, orders = shop.installed(NAME), len(shop.issuer.orders)
        (shop.folder / "state" / "sslctl.db").unlink()
        assert shop.sslctl("restore", str(backup)).exit_code == 0
        for _ in range(30):
            shop.sslctl("daemon-tick")
            shop.clock.move(hours=1)
        assert (shop.installed(NAME), len(shop.issuer.orders)) == (served, orders)


def test_trusted_roots_that_others_can_change_are_refused(shop: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    trust(shop, shop.issuer, monkeypatch)
    (shop.folder / "roots.pem").chmod(0o666)
    result = shop.sslctl("recheck", NAME)
    assert result.exit_code == 8
    assert "safety.trusted_roots" in result.stderr


def test_restore_names_the_domains_whose_keys_are_missing(shop: Cdn) -> None:
    backup = shop.folder / "backup"
    shop.sslctl("backup", str(backup))
    shop.clock.move(days=84)
    shop.sslctl("daemon-tick")
    (shop.folder / "state" / "sslctl.db").unlink()
    result = shop.sslctl("restore", str(backup), "--json")
    assert (result.exit_code, result.json["keys_missing"]) == (0, [NAME])
    assert f"a certificate whose key is not in this backup: {NAME}" in result.stderr
    assert view(shop)["status"] == "Success"


def test_restore_succeeds_when_c4_does_not_answer(shop: Cdn) -> None:
    backup = shop.folder / "backup"
    shop.sslctl("backup", str(backup))
    (shop.folder / "state" / "sslctl.db").unlink()
    shop.c4.stop()
    result = shop.sslctl("restore", str(backup))
    shop.c4.start()
    assert result.exit_code == 0
    assert "the next tick looks" in result.stderr
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert view(shop)["status"] == "Success"
