"""`sslctl delete`: confirmation, removal from C4, revocation, history, and what happens if C4 does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sslctl.certificates.x509 import read_leaf
from sslctl.rules.model import Bundle, Source
from sslctl.sandbox.c4.faults import Drop, Fault, Operation
from tests.support.cdn import Cdn
from tests.support.dying_store import DyingStore, Killed

NAME = "shop.example.com"


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    """A CDN with one served domain."""
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    return cdn


def managed(cdn: Cdn) -> list[str]:
    return [domain["domain"] for domain in cdn.sslctl("list", "--json").json["domains"]]


def removals(cdn: Cdn) -> list[int | None]:
    return [request.status for request in cdn.c4.requests if request.method == "DELETE"]


def test_delete_is_rejected_without_a_terminal_unless_yes_is_given(shop: Cdn) -> None:
    for answer in ("", "y\n"):
        result = shop.sslctl("delete", NAME, stdin=answer)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "; confirm it with --yes" in result.stderr
    assert managed(shop) == [NAME]
    assert removals(shop) == []


def test_delete_removes_the_certificate_from_c4_and_keeps_the_history(shop: Cdn) -> None:
    result = shop.sslctl("delete", NAME, "--yes")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{NAME}: deleted\n", "")
    assert (shop.installed(NAME), managed(shop), shop.issuer.revoked) == (None, [], [])
    view = shop.sslctl("view", NAME, "--json").json["domain"]
    assert [event["kind"] for event in view["events"]][-2:] == ["removed", "deleted"]
    again = shop.sslctl("delete", NAME, "--yes")
    assert (again.exit_code, removals(shop)) == (9, [204])
    assert f"{NAME} was deleted" in again.stderr


def test_delete_keep_on_c4_leaves_the_certificate_installed(shop: Cdn) -> None:
    installed = shop.installed(NAME)
    asked = len(shop.c4.requests)
    assert shop.sslctl("delete", NAME, "--yes", "--keep-on-c4").exit_code == 0
    assert (shop.installed(NAME), len(shop.c4.requests)) == (installed, asked)
    assert shop.sslctl("daemon-tick", "-q").stdout == ""


def test_delete_revoke_revokes_the_certificate_at_the_ca(shop: Cdn) -> None:
    assert shop.sslctl("delete", NAME, "--yes", "--revoke").exit_code == 0
    assert len(shop.issuer.revoked) == 1
    (certificate,) = shop.sslctl("view", NAME, "--json").json["domain"]["certificates"]
    assert (certificate["fate"], certificate["revoked_at"]) == ("revoked", "2026-11-23T04:00:00Z")


@pytest.mark.parametrize("certificate", ["none", "text"])
def test_delete_revoke_is_rejected_when_no_certificate_was_issued_here(cdn: Cdn, certificate: str) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, "--no-wait", *(cdn.paste(cdn.text_pair(NAME)) if certificate == "text" else ()))
    result = cdn.sslctl("delete", NAME, "--yes", "--revoke")
    assert result.exit_code == 2
    assert result.stderr.endswith("hint: delete it without --revoke\n")
    assert managed(cdn) == [NAME]
    assert removals(cdn) == []
    assert cdn.sslctl("delete", NAME, "--yes").exit_code == 0


def test_delete_keeps_the_domain_managed_when_the_ca_refuses_to_revoke(shop: Cdn) -> None:
    shop.issuer.issued.clear()
    result = shop.sslctl("delete", NAME, "--yes", "--revoke")
    assert (result.exit_code, managed(shop)) == (75, [NAME])
    assert "could not be revoked, so the domain stays managed: unauthorized" in result.stderr


@pytest.mark.parametrize(("status", "exit_code"), [(500, 75), (401, 8)])
def test_delete_keeps_the_domain_managed_when_c4_does_not_remove_the_certificate(
    shop: Cdn, status: int, exit_code: int
) -> None:
    shop.c4.set_faults(Fault(kind=Operation.REMOVE, status=status))
    result = shop.sslctl("delete", NAME, "--yes", "--revoke")
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert f"so {NAME} stays managed: answered {status}" in result.stderr
    assert managed(shop) == [NAME]
    assert shop.sslctl("view", NAME, "--json").json["domain"]["status"] == "Success", "it was seen there"
    shop.c4.heal()
    assert shop.sslctl("delete", NAME, "--yes", "--revoke").exit_code == 0
    assert len(shop.issuer.revoked) == 1


def status(cdn: Cdn) -> str:
    [domain] = cdn.sslctl("list", "--json").json["domains"]
    return str(domain["status"])


def test_tick_reinstalls_the_certificate_when_delete_was_killed_after_the_removal(shop: Cdn) -> None:
    app = shop.app()
    # The first write records that the removal begins; the second would record that C4 has finished.
    app.store = DyingStore(app.store, 2, before=True)
    with pytest.raises(Killed):
        shop.sslctl("delete", NAME, "--yes", app=app)
    assert (shop.installed(NAME), status(shop)) == (None, "Pending")
    # Unless the delete is repeated, the domain stays managed, so its certificate must be installed.
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert (shop.installed(NAME) is not None, status(shop)) == (True, "Success")
    assert len(shop.issuer.orders) == 1


def test_delete_verifies_the_removal_when_the_response_is_lost(shop: Cdn) -> None:
    shop.c4.set_faults(Fault(kind=Operation.REMOVE, drop=Drop.AFTER))
    assert shop.sslctl("delete", NAME, "--yes").exit_code == 0
    assert (shop.installed(NAME), managed(shop)) == (None, [])


def test_tick_reinstalls_the_certificate_when_the_removal_could_not_be_verified(shop: Cdn) -> None:
    """The domain stays managed, so its certificate must be installed."""
    shop.c4.set_faults(
        Fault(kind=Operation.REMOVE, drop=Drop.AFTER),
        Fault(kind=Operation.LOOKUP, times=1),
        Fault(kind=Operation.LOOKUP, status=503),
    )
    assert shop.sslctl("delete", NAME, "--yes").exit_code == 75
    assert (shop.installed(NAME), managed(shop)) == (None, [NAME])
    domain = shop.sslctl("view", NAME, "--json").json["domain"]
    assert (domain["reason"]["code"], domain["serving"]) == ("C4_UNANSWERED", None)
    shop.c4.heal()
    shop.clock.move(minutes=1)
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert shop.installed(NAME) is not None
    assert len(shop.issuer.orders) == 1


def test_delete_succeeds_when_c4_does_not_know_the_domain(cdn: Cdn) -> None:
    cdn.sslctl("add", NAME)
    assert cdn.sslctl("delete", NAME, "--yes").exit_code == 0


def test_delete_continues_with_the_other_domains_when_one_fails(shop: Cdn) -> None:
    shop.add_domain("www.example.com")
    shop.sslctl("add", "www.example.com")
    shop.c4.set_faults(Fault(kind=Operation.REMOVE, domain=NAME, status=500))
    result = shop.sslctl("delete", NAME, "www.example.com", "--yes", "--json")
    assert result.exit_code == 5
    assert [(row["domain"], row["error"], row["deleted_at"]) for row in result.json["domains"]] == [
        (NAME, "TRY_LATER", None),
        ("www.example.com", None, "2026-11-23T04:00:00Z"),
    ]
    assert result.stderr.startswith(
        f"sslctl: error: C4 did not remove the certificate, so {NAME} stays managed"
    )
    assert managed(shop) == [NAME]


def test_delete_changes_nothing_when_one_name_is_not_managed(shop: Cdn) -> None:
    result = shop.sslctl("delete", NAME, "nobody.example.com", "--yes")
    assert (result.exit_code, result.stdout) == (9, "")
    assert "nobody.example.com is not managed here" in result.stderr
    assert managed(shop) == [NAME]
    assert shop.installed(NAME) is not None


def test_delete_revoke_revokes_the_served_and_the_undelivered_certificate(shop: Cdn) -> None:
    shop.c4.set_faults(Fault(kind=Operation.UPLOAD, status=422))
    shop.sslctl("recheck", NAME, "--force-renew")
    shop.c4.heal()
    assert shop.sslctl("delete", NAME, "--yes", "--revoke").exit_code == 0
    assert len(shop.issuer.revoked) == 2
    shop.sslctl("add", NAME)
    assert len(shop.issuer.orders) == 3


def test_delete_keep_on_c4_succeeds_when_c4_is_down(shop: Cdn) -> None:
    shop.c4.stop()
    assert shop.sslctl("delete", NAME, "--yes", "--keep-on-c4").exit_code == 0
    events = [event["kind"] for event in shop.sslctl("view", NAME, "--json").json["domain"]["events"]]
    assert events[-2:] == ["kept on C4", "deleted"]


# Certificates on C4 that sslctl did not install


def customer_pastes(cdn: Cdn, name: str = NAME, source: Source = Source.TEXT) -> str:
    """Let the customer install a certificate on C4; return its fingerprint."""
    return install(cdn, cdn.text_pair(name, days=365), name, source)


def install(cdn: Cdn, pair: Bundle, name: str = NAME, source: Source = Source.TEXT) -> str:
    cdn.app().control_plane.upload(name, pair, source)
    return read_leaf(pair.certificate).fingerprint


def on_c4(cdn: Cdn, *arguments: str) -> dict[str, Any]:
    """Delete with `arguments`; return what became of the certificate on C4, by domain."""
    rows = cdn.sslctl("delete", *arguments, "--yes", "--json").json["domains"]
    return {row["domain"]: row["certificate_on_c4"] for row in rows}


@pytest.mark.parametrize("source", [Source.TEXT, Source.C4])
def test_delete_keeps_a_foreign_certificate_after_add_no_wait(cdn: Cdn, source: Source) -> None:
    cdn.add_domain(NAME)
    theirs = customer_pastes(cdn, source=source)
    cdn.sslctl("add", NAME, "--no-wait")
    result = cdn.sslctl("delete", NAME, "--yes")
    assert (result.exit_code, managed(cdn), cdn.installed(NAME)) == (0, [], theirs)
    assert result.stdout.startswith(
        f"{NAME}: deleted\n  C4 keeps the {source} certificate {theirs[:16]}, valid until "
    )
    events = [event["kind"] for event in cdn.sslctl("view", NAME, "--json").json["domain"]["events"]]
    assert events[-2:] == ["kept on C4", "deleted"]
    assert removals(cdn) == []


def test_delete_force_removes_a_foreign_certificate(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    customer_pastes(cdn)
    cdn.sslctl("add", NAME, "--no-wait")
    assert on_c4(cdn, NAME, "--force") == {NAME: "removed"}
    assert cdn.installed(NAME) is None


def test_delete_keeps_a_foreign_certificate_that_replaced_ours(shop: Cdn) -> None:
    theirs = customer_pastes(shop)
    assert on_c4(shop, NAME) == {NAME: "kept_foreign"}
    assert shop.installed(NAME) == theirs


def test_delete_removes_a_text_certificate_that_was_added_with_sslctl(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME)))
    assert on_c4(cdn, NAME) == {NAME: "removed"}
    assert cdn.installed(NAME) is None


def test_delete_reports_for_each_domain_what_became_of_its_certificate(shop: Cdn) -> None:
    foreign, empty, unknown = "foreign.example.com", "empty.example.com", "unknown.example.com"
    for name in (foreign, empty):
        shop.add_domain(name)
    theirs = customer_pastes(shop, foreign)
    shop.sslctl("add", "--no-wait", foreign, empty, unknown)
    assert on_c4(shop, NAME, foreign, empty, unknown) == {
        NAME: "removed",
        foreign: "kept_foreign",
        empty: "none",
        unknown: "none",
    }
    assert (managed(shop), shop.installed(foreign), shop.installed(NAME)) == ([], theirs, None)


def test_delete_keep_on_c4_reports_that_the_certificate_was_kept(shop: Cdn) -> None:
    assert on_c4(shop, NAME, "--keep-on-c4") == {NAME: "kept"}


def test_delete_rejects_force_with_keep_on_c4(shop: Cdn) -> None:
    assert shop.sslctl("delete", NAME, "--yes", "--force", "--keep-on-c4").exit_code == 2
    assert managed(shop) == [NAME]


@pytest.mark.parametrize("options", [(), ("--force",), ("--revoke",)])
@pytest.mark.parametrize(("fault", "exit_code"), [(503, 75), (404, 75), (401, 8)])
def test_delete_changes_nothing_when_c4_does_not_answer_which_certificate_it_has(
    shop: Cdn, options: tuple[str, ...], fault: int, exit_code: int
) -> None:
    before = shop.installed(NAME)
    shop.c4.set_faults(Fault(kind=Operation.LOOKUP, status=fault))
    result = shop.sslctl("delete", NAME, "--yes", *options)
    assert (result.exit_code, shop.installed(NAME), removals(shop)) == (exit_code, before, [])
    assert f"so {NAME} stays managed: answered {fault}" in result.stderr
    assert (managed(shop), shop.issuer.revoked) == ([NAME], [])


def test_delete_spares_a_certificate_that_was_installed_after_the_look(shop: Cdn) -> None:
    theirs: list[str] = []

    class PastingCustomer:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, method: str) -> Any:
            return getattr(self._real, method)

        def remove(self, *arguments: Any) -> Any:
            theirs.append(customer_pastes(shop))
            return self._real.remove(*arguments)

    app = shop.app()
    real: Any = PastingCustomer(app.control_plane)
    app.control_plane = real
    result = shop.sslctl("delete", NAME, "--yes", app=app)
    assert (result.exit_code, managed(shop), removals(shop)) == (0, [], [412])
    assert [shop.installed(NAME)] == theirs
    assert f"C4 keeps the text certificate {theirs[0][:16]}" in result.stdout


def test_delete_looks_again_when_it_is_repeated_after_a_kill(shop: Cdn) -> None:
    app = shop.app()
    app.store = DyingStore(app.store, 2, before=True)
    with pytest.raises(Killed):
        shop.sslctl("delete", NAME, "--yes", app=app)
    theirs = customer_pastes(shop)
    assert on_c4(shop, NAME) == {NAME: "kept_foreign"}
    assert (managed(shop), shop.installed(NAME)) == ([], theirs)


def test_delete_keeps_the_certificate_of_a_domain_in_discard_that_c4_knows_again(cdn: Cdn) -> None:
    cdn.sslctl("add", NAME)
    assert status(cdn) == "Discard"
    cdn.add_domain(NAME)
    theirs = customer_pastes(cdn)
    assert on_c4(cdn, NAME) == {NAME: "kept_foreign"}
    assert cdn.installed(NAME) == theirs


def test_delete_keeps_a_certificate_that_is_newer_than_the_restored_backup(shop: Cdn, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    assert shop.sslctl("backup", str(backup)).exit_code == 0
    shop.sslctl("recheck", NAME, "--force-renew")
    newer = shop.installed(NAME)
    (shop.folder / "state" / "sslctl.db").unlink()
    assert shop.sslctl("restore", str(backup)).exit_code == 0
    assert on_c4(shop, NAME) == {NAME: "kept_foreign"}
    assert shop.installed(NAME) == newer


def test_delete_notes_that_c4_has_lost_the_certificate(shop: Cdn) -> None:
    shop.app().control_plane.remove(NAME)
    result = shop.sslctl("delete", NAME, "--yes")
    assert (result.exit_code, managed(shop)) == (0, [])
    assert result.stderr == (
        f"sslctl: {NAME}: C4 has no certificate for it, although it had ours when it was last looked at\n"
    )


@pytest.mark.parametrize("is_unknown", [False, True])
def test_delete_revokes_a_certificate_that_c4_does_not_have_only_with_force(
    shop: Cdn, *, is_unknown: bool
) -> None:
    """C4 may be wrong, and the edge would serve a revoked certificate."""
    if is_unknown:
        shop.c4.delete_domain(NAME)
    else:
        shop.app().control_plane.remove(NAME)
    result = shop.sslctl("delete", NAME, "--yes", "--revoke")
    assert (result.exit_code, managed(shop), shop.issuer.revoked) == (75, [NAME], [])
    assert "so nothing was revoked and" in result.stderr
    assert shop.sslctl("delete", NAME, "--yes", "--revoke", "--force").exit_code == 0
    assert (managed(shop), len(shop.issuer.revoked)) == ([], 1)


def test_delete_keeps_a_certificate_that_the_customer_installed_although_the_same_pair_was_recorded(
    cdn: Cdn,
) -> None:
    cdn.add_domain(NAME)
    pair = cdn.text_pair(NAME)
    theirs = install(cdn, pair)
    cdn.sslctl("add", NAME, "--no-wait", *cdn.paste(pair))
    assert on_c4(cdn, NAME) == {NAME: "kept_foreign"}
    assert cdn.installed(NAME) == theirs
