"""`sslctl delete`: confirmation, removal from C4, revocation, history, and what happens if C4 does not answer."""

from __future__ import annotations

import pytest

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
        Fault(kind=Operation.REMOVE, drop=Drop.AFTER), Fault(kind=Operation.LOOKUP, status=503)
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
