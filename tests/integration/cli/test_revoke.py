"""`sslctl revoke`: reasons, replacement, compromised keys, and what happens if the CA or the process fails in between."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from sslctl.certificates.x509 import key_fingerprint
from sslctl.issuer import IssueError
from sslctl.rules.model import Bundle, Source
from sslctl.rules.reasons import Code
from sslctl.rules.revocation import RevocationReason
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.dying_store import DyingStore, Killed

NAME, OTHER = "shop.example.com", "other.example.com"
COMPROMISED = ("--reason", "keyCompromise", "--yes")
SUPERSEDED = ("--reason", "superseded", "--yes")


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    """A CDN with one served domain."""
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    return cdn


def versions(cdn: Cdn, name: str = NAME) -> list[str]:
    """Return the states of the versions, oldest first."""
    rows = cdn.sslctl("view", name, "--json").json["domain"]["certificates"]
    return [str(row["fate"]) for row in sorted(rows, key=lambda row: int(row["version"]))]


def bundle(cdn: Cdn, version: int = 1, name: str = NAME) -> Bundle:
    """Return a stored certificate with its key."""
    app = cdn.app()
    (found,) = [one for one in app.store.certificates(app.store.domain(name)) if one.version == version]
    return app.store.bundle(found)


def refuse(cdn: Cdn) -> None:
    """Make the CA refuse the next order."""
    cdn.issuer.refusals.append(IssueError(Code.CA_UNAVAILABLE, "no answer", order_dead=True))


@pytest.mark.parametrize("reason", list(RevocationReason))
def test_revoke_without_replace_revokes_at_once_and_the_next_tick_replaces(
    shop: Cdn, reason: RevocationReason
) -> None:
    before = shop.installed(NAME)
    result = shop.sslctl("revoke", NAME, "--reason", reason.lower(), "--yes")
    assert (result.exit_code, result.stdout) == (0, f"{NAME}: version 1 is revoked ({reason})\n")
    assert "browsers may refuse the certificate that the edge serves" in result.stderr
    assert (shop.issuer.revoked_for, shop.installed(NAME)) == ([reason], before)
    event = shop.sslctl("view", NAME, "--json").json["domain"]["events"][-1]
    assert (event["kind"], event["detail"]) == ("revoked", reason)
    assert shop.sslctl("daemon-tick", "-q").exit_code == 0
    assert versions(shop) == ["revoked", "serving"]
    assert shop.installed(NAME) != before


@pytest.mark.parametrize("reason", [COMPROMISED, SUPERSEDED])
def test_revoke_replace_installs_the_new_certificate_before_it_revokes(
    shop: Cdn, reason: tuple[str, ...]
) -> None:
    before = shop.installed(NAME)
    result = shop.sslctl("revoke", NAME, *reason, "--replace", "--json")
    assert (result.exit_code, versions(shop)) == (0, ["revoked", "serving"])
    assert shop.installed(NAME) != before
    (row,) = result.json["certificates"]
    assert (row["version"], row["state"], row["revoked_at"]) == (1, "revoked", "2026-11-23T04:00:00Z")
    kinds = [event["kind"] for event in shop.sslctl("view", NAME, "--json").json["domain"]["events"]]
    later = kinds[kinds.index("revocation requested") :]
    assert [kind for kind in later if kind in ("issued", "serving", "revoked")] == [
        "issued",
        "serving",
        "revoked",
    ]
    assert bundle(shop, 1).private_key != bundle(shop, 2).private_key


def test_revoke_superseded_revokes_nothing_when_the_replacement_fails_and_a_later_tick_completes_it(
    shop: Cdn,
) -> None:
    before = shop.installed(NAME)
    refuse(shop)
    result = shop.sslctl("revoke", NAME, *SUPERSEDED, "--replace")
    assert result.exit_code != 0
    assert "version 1 is not revoked yet: it waits for its replacement" in result.stderr
    assert (shop.issuer.revoked, shop.installed(NAME)) == ([], before)
    shop.clock.move(hours=1)
    shop.sslctl("daemon-tick", "-q")
    assert (versions(shop)[1], shop.issuer.revoked) == ("serving", [])
    shop.sslctl("daemon-tick", "-q")
    assert (versions(shop), shop.issuer.revoked_for) == (["revoked", "serving"], ["superseded"])
    assert shop.sslctl("daemon-tick", "-q").exit_code == 0
    assert (len(shop.issuer.revoked), len(shop.issuer.issued)) == (1, 2)


def test_ticks_place_one_order_while_the_upload_of_the_replacement_is_refused(shop: Cdn) -> None:
    shop.c4.set_faults(Fault(kind=Operation.UPLOAD, status=422))
    result = shop.sslctl("revoke", NAME, *SUPERSEDED, "--replace")
    assert (result.exit_code, shop.issuer.revoked) == (7, [])
    for _ in range(3):
        shop.clock.move(hours=1)
        shop.sslctl("daemon-tick", "-q")
    assert (len(shop.issuer.issued), shop.issuer.revoked) == (2, [])
    shop.c4.heal()
    shop.sslctl("revoke", NAME, *SUPERSEDED, "--replace")
    assert (versions(shop), len(shop.issuer.issued)) == (["revoked", "serving"], 2)


def test_revoke_for_a_compromised_key_revokes_although_the_replacement_fails(shop: Cdn) -> None:
    before = shop.installed(NAME)
    refuse(shop)
    result = shop.sslctl("revoke", NAME, *COMPROMISED, "--replace")
    assert result.exit_code != 0
    assert (shop.issuer.revoked_for, shop.installed(NAME)) == (["keyCompromise"], before)
    shop.clock.move(hours=1)
    shop.sslctl("daemon-tick", "-q")
    assert versions(shop) == ["revoked", "serving"]


def test_revocation_is_repeated_by_a_tick_when_the_ca_did_not_answer(shop: Cdn) -> None:
    issued = dict(shop.issuer.issued)
    shop.issuer.issued.clear()
    result = shop.sslctl("revoke", NAME, *COMPROMISED)
    assert result.exit_code == 75
    assert "version 1 could not be revoked: unauthorized" in result.stderr
    shop.issuer.issued.update(issued)
    shop.sslctl("daemon-tick", "-q")
    assert shop.issuer.revoked == [], "it is tried again after an hour"
    shop.clock.move(hours=1)
    shop.sslctl("daemon-tick", "-q")
    assert (shop.issuer.revoked_for, versions(shop)) == (["keyCompromise"], ["revoked", "serving"])


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("fatal", [1, 2, 3])
@pytest.mark.parametrize("options", [(*COMPROMISED, "--replace"), SUPERSEDED])
def test_revocation_is_completed_by_ticks_when_the_process_is_killed(
    shop: Cdn, options: tuple[str, ...], fatal: int, *, before: bool
) -> None:
    methods = ("request_revocation", "mark_key_compromised", "mark_revoked", "mark_serving")
    app = shop.app()
    app.store = DyingStore(app.store, fatal, before=before, methods=methods)
    with suppress(Killed):
        shop.sslctl("revoke", NAME, *options, app=app)
    was_requested = bool(shop.app().store.open_revocations()) or versions(shop)[0] == "revoked"
    for _ in range(3):
        shop.sslctl("daemon-tick", "-q")
    assert versions(shop) == (["revoked", "serving"] if was_requested else ["serving"])
    assert shop.installed(NAME) is not None


def test_waiting_revocation_is_carried_out_after_the_domain_was_deleted(shop: Cdn) -> None:
    refuse(shop)
    shop.sslctl("revoke", NAME, *SUPERSEDED, "--replace")
    shop.sslctl("delete", NAME, "--yes", "--keep-on-c4")
    shop.sslctl("daemon-tick", "-q")
    assert shop.issuer.revoked_for == ["superseded"]


# Compromised keys


def test_compromised_key_is_refused_when_it_is_pasted_and_downloaded(shop: Cdn, tmp_path: Path) -> None:
    pair = bundle(shop)
    assert shop.sslctl("revoke", NAME, *COMPROMISED, "--replace").exit_code == 0
    pasted = shop.sslctl("add", NAME, *shop.paste(pair))
    assert (pasted.exit_code, versions(shop)) == (2, ["revoked", "serving"])
    assert "the key is marked as compromised" in pasted.stderr
    refused = shop.sslctl("download", NAME, "--version", "1", "-o", str(tmp_path / "1"))
    assert (refused.exit_code, (tmp_path / "1").exists()) == (2, False)
    assert "the key of version 1 of shop.example.com is marked as compromised" in refused.stderr
    assert shop.sslctl("download", NAME, "-o", str(tmp_path / "2")).exit_code == 0


def test_compromised_certificate_is_not_uploaded_when_c4_has_lost_it(shop: Cdn) -> None:
    shop.issuer.issued.clear()
    assert shop.sslctl("revoke", NAME, *COMPROMISED).exit_code == 75
    shop.app().control_plane.remove(NAME)
    result = shop.sslctl("recheck", NAME)
    assert (result.exit_code, shop.installed(NAME)) == (4, None)
    assert "KEY_COMPROMISED" in result.stdout


def test_other_domains_with_the_compromised_key_are_revoked_or_named(shop: Cdn) -> None:
    """The customer has pasted the pair of one domain for another one too."""
    shop.add_domain(OTHER)
    app = shop.app()
    domain = app.store.domain(NAME)
    assert domain.serving is not None
    app.store.add_text_certificate(OTHER, (), bundle(shop), domain.serving.leaf)
    result = shop.sslctl("revoke", NAME, *COMPROMISED)
    assert f"{OTHER}: version 1 was added by text and has the same key" in result.stderr
    rows = shop.sslctl("revoke", NAME, *COMPROMISED, "--json").json["certificates"]
    assert [(row["domain"], row["state"]) for row in rows] == [(NAME, "revoked"), (OTHER, "added_by_text")]
    shop.sslctl("recheck", OTHER)
    assert shop.installed(OTHER) is None, "its key is compromised"


def test_compromised_text_certificate_is_not_installed_again_when_its_replacement_fails(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    pair = cdn.text_pair(NAME)
    assert cdn.sslctl("add", NAME, *cdn.paste(pair)).exit_code == 0
    cdn.app().store.mark_key_compromised(key_fingerprint(pair.certificate))
    # The first upload meets the text certificate, the second follows its removal.
    cdn.c4.set_faults(
        Fault(kind=Operation.UPLOAD, status=409, times=1), Fault(kind=Operation.UPLOAD, status=422, times=1)
    )
    assert cdn.sslctl("add", NAME).exit_code == 7
    assert cdn.installed(NAME) is None
    cdn.sslctl("daemon-tick", "-q")
    assert versions(cdn)[-1] == "serving"


def test_certificate_that_is_to_be_revoked_is_replaced_by_one_that_expires_sooner(shop: Cdn) -> None:
    before = shop.installed(NAME)
    shop.issuer.lifetime = timedelta(days=60)
    refused = shop.sslctl("recheck", NAME, "--force-renew")
    assert ("CERT_WORSE" in refused.stdout, shop.installed(NAME)) == (True, before)
    assert shop.sslctl("revoke", NAME, *SUPERSEDED, "--replace").exit_code == 0
    assert shop.installed(NAME) != before


# What is refused


@pytest.mark.parametrize("certificate", ["none", "text"])
def test_revoke_is_refused_when_no_certificate_was_issued_here(cdn: Cdn, certificate: str) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, "--no-wait", *(cdn.paste(cdn.text_pair(NAME)) if certificate == "text" else ()))
    result = cdn.sslctl("revoke", NAME, *COMPROMISED)
    assert (result.exit_code, cdn.issuer.revoked) == (2, [])


def test_revoke_is_refused_for_an_unknown_name_an_unknown_reason_and_without_a_terminal(shop: Cdn) -> None:
    assert shop.sslctl("revoke", "typo.example.com", *SUPERSEDED).exit_code == 9
    assert shop.sslctl("revoke", NAME, "--reason", "unspecified", "--yes").exit_code == 2
    assert shop.sslctl("revoke", NAME).exit_code == 2
    assert "; confirm it with --yes" in shop.sslctl("revoke", NAME, "--reason", "superseded").stderr
    assert shop.issuer.revoked == []


def test_revoke_of_a_revoked_certificate_changes_nothing(shop: Cdn) -> None:
    shop.sslctl("revoke", NAME, *SUPERSEDED)
    result = shop.sslctl("revoke", NAME, *SUPERSEDED)
    assert (result.exit_code, len(shop.issuer.revoked)) == (0, 1)
    assert f"{NAME}: version 1 is revoked" in result.stdout


def test_domain_that_is_added_again_gets_a_new_key_after_its_certificate_was_revoked(shop: Cdn) -> None:
    shop.sslctl("revoke", NAME, *COMPROMISED)
    shop.sslctl("delete", NAME, "--yes")
    assert shop.sslctl("add", NAME).exit_code == 0
    assert versions(shop) == ["revoked", "serving"]
    assert shop.app().store.domain(NAME).source is Source.C4
