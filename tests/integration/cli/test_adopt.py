"""A certificate on C4 that sslctl did not install: a person keeps it or replaces it, and a tick does neither."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sslctl.issuance.claims import claimed
from sslctl.issuer import IssueError
from sslctl.rules.model import Bundle, Source
from sslctl.rules.reasons import Code
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn

NAME = "shop.example.com"
FLEET = [f"d{number:02}.example.com" for number in range(12)]


def view(cdn: Cdn) -> Any:
    return cdn.sslctl("view", NAME, "--json").json["domain"]


def warnings(cdn: Cdn) -> list[str]:
    return [warning["code"] for warning in view(cdn)["warnings"]]


def install(cdn: Cdn, pair: Bundle, source: Source = Source.TEXT) -> str | None:
    """Let the customer install `pair` on C4; return its fingerprint."""
    control_plane = cdn.app().control_plane
    control_plane.remove(NAME)
    control_plane.upload(NAME, pair, source)
    return cdn.installed(NAME)


@pytest.fixture
def customer(cdn: Cdn) -> Cdn:
    """Return a CDN with a domain for which a customer installed a text certificate of 365 days."""
    cdn.add_domain(NAME)
    install(cdn, cdn.text_pair(NAME, days=365))
    return cdn


@pytest.fixture
def drifted(cdn: Cdn) -> Cdn:
    """Return a CDN with a domain in Success, whose certificate a customer then replaced by one of 365 days."""
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 0
    install(cdn, cdn.text_pair(NAME, days=365))
    return cdn


def run_ticks(cdn: Cdn, days: int) -> None:
    for _ in range(days):
        cdn.sslctl("daemon-tick")
        cdn.clock.move(days=1)


def test_tick_never_replaces_a_text_certificate_after_add_that_does_not_wait(customer: Cdn) -> None:
    theirs = customer.installed(NAME)
    assert customer.sslctl("add", NAME, "--no-wait").exit_code == 0
    run_ticks(customer, 20)
    assert (customer.installed(NAME), customer.issuer.orders) == (theirs, [])
    found = view(customer)
    assert (found["status"], found["reason"]["code"], found["reason"]["owner"]) == (
        "Pending", "FOREIGN_TEXT", "operator",
    )  # fmt: skip


def test_expired_text_certificate_is_replaced_at_once(customer: Cdn) -> None:
    theirs = customer.installed(NAME)
    customer.sslctl("add", NAME, "--no-wait")
    customer.clock.move(days=366)
    customer.sslctl("daemon-tick")
    assert customer.installed(NAME) != theirs
    assert view(customer)["status"] == "Success"


def test_renewal_leaves_the_certificate_of_a_customer_and_warns(drifted: Cdn) -> None:
    theirs = drifted.installed(NAME)
    run_ticks(drifted, 100)
    assert (drifted.installed(NAME), len(drifted.issuer.orders)) == (theirs, 1)
    assert (view(drifted)["status"], warnings(drifted)) == ("Success", ["OTHER_CERTIFICATE"])


@pytest.mark.parametrize(
    "command", [("add", NAME), ("recheck", NAME, "--replace-text")], ids=lambda it: it[0]
)
def test_person_replaces_the_certificate_of_a_customer(drifted: Cdn, command: tuple[str, ...]) -> None:
    theirs = drifted.installed(NAME)
    run_ticks(drifted, 2)
    assert drifted.sslctl(*command).exit_code == 0
    assert drifted.installed(NAME) != theirs
    assert (view(drifted)["status"], warnings(drifted)) == ("Success", [])


def test_recheck_alone_does_not_replace_the_certificate_of_a_customer(drifted: Cdn) -> None:
    theirs = drifted.installed(NAME)
    assert drifted.sslctl("recheck", NAME).exit_code == 0
    assert drifted.sslctl("recheck", NAME, "--force-renew").exit_code == 3
    assert drifted.installed(NAME) == theirs


def test_adopted_certificate_is_watched_and_never_replaced(drifted: Cdn) -> None:
    theirs = drifted.installed(NAME)
    result = drifted.sslctl("adopt", NAME)
    assert (result.exit_code, "Success, valid" in result.stdout) == (0, True)
    assert (view(drifted)["source"], warnings(drifted)) == ("text", [])
    run_ticks(drifted, 340)
    assert (drifted.installed(NAME), len(drifted.issuer.orders)) == (theirs, 1)
    assert (view(drifted)["status"], warnings(drifted)) == ("Success", ["TEXT_EXPIRES"])
    run_ticks(drifted, 30)
    assert view(drifted)["status"] == "Expired"
    assert view(drifted)["reason"]["next_step"] == (
        f"sslctl never renews a text certificate: `sslctl add {NAME}` replaces it by one from the CA,"
        f" `sslctl add {NAME} --cert … --key …` by a new pair."
    )
    assert drifted.installed(NAME) == theirs
    assert drifted.sslctl("add", NAME).exit_code == 0
    assert view(drifted)["source"] == "c4"
    assert drifted.installed(NAME) != theirs


def test_adopted_certificate_that_the_customer_removes_is_a_failure(drifted: Cdn) -> None:
    drifted.sslctl("adopt", NAME)
    drifted.app().control_plane.remove(NAME)
    run_ticks(drifted, 2)
    found = view(drifted)
    assert (found["status"], found["reason"]["code"]) == ("Failure", "TEXT_MISSING")
    assert [
        each["domain"] for each in drifted.sslctl("list", "--status", "failure", "--json").json["domains"]
    ] == [NAME]
    assert drifted.sslctl("recheck", NAME).exit_code == 4


def test_adopted_certificate_that_the_customer_renews_is_fine(drifted: Cdn) -> None:
    drifted.sslctl("adopt", NAME)
    drifted.clock.move(days=350)
    theirs = install(drifted, drifted.text_pair(NAME, days=365))
    run_ticks(drifted, 2)
    assert (view(drifted)["status"], warnings(drifted), drifted.installed(NAME)) == ("Success", [], theirs)


def test_adopt_of_our_own_certificate_changes_nothing(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    before = view(cdn)
    result = cdn.sslctl("adopt", NAME)
    assert (result.exit_code, view(cdn)) == (0, before)
    assert "C4 has sslctl's own certificate" in result.stderr


def test_adopt_needs_a_certificate_on_c4_and_an_answer(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, "--no-wait")
    assert cdn.sslctl("adopt", NAME).exit_code == 2
    cdn.c4.stop()
    assert cdn.sslctl("adopt", NAME).exit_code == 75
    cdn.c4.start()
    assert cdn.sslctl("adopt", "nobody.example.com").exit_code == 9


def test_consent_is_for_the_certificate_that_was_seen(customer: Cdn) -> None:
    """The CA is slow, and the customer installs another certificate before the tick that would replace the first."""
    customer.issuer.refusals.append(unavailable())
    assert customer.sslctl("add", NAME).exit_code == 3
    later = install(customer, customer.text_pair(NAME, days=200))
    run_ticks(customer, 3)
    assert customer.installed(NAME) == later
    assert view(customer)["reason"]["code"] == "FOREIGN_TEXT"
    assert customer.sslctl("add", NAME).exit_code == 0
    assert customer.installed(NAME) != later


def test_consent_lasts_until_the_certificate_that_was_seen_is_replaced(customer: Cdn) -> None:
    theirs = customer.installed(NAME)
    customer.issuer.refusals.append(unavailable())
    assert customer.sslctl("add", NAME).exit_code == 3
    customer.clock.move(hours=1)
    customer.sslctl("daemon-tick")
    assert customer.installed(NAME) != theirs
    assert view(customer)["status"] == "Success"


@pytest.mark.parametrize(
    "command", [("add", NAME), ("recheck", NAME, "--replace-text")], ids=lambda it: it[0]
)
def test_consent_ends_when_the_certificate_is_replaced(drifted: Cdn, command: tuple[str, ...]) -> None:
    """The customer insists, and installs the same pair a second time: that is a later installation."""
    pair = drifted.text_pair(NAME, days=365)
    install(drifted, pair)
    assert drifted.sslctl(*command).exit_code == 0
    theirs = install(drifted, pair)
    run_ticks(drifted, 3)
    assert (drifted.installed(NAME), warnings(drifted)) == (theirs, ["OTHER_CERTIFICATE"])
    assert drifted.sslctl(*command).exit_code == 0
    assert drifted.installed(NAME) != theirs


def test_consent_ends_when_another_certificate_is_installed_meanwhile(customer: Cdn) -> None:
    first = customer.text_pair(NAME, days=300)
    install(customer, first)
    customer.issuer.refusals.append(unavailable())
    assert customer.sslctl("add", NAME).exit_code == 3
    install(customer, customer.text_pair(NAME, days=200))
    run_ticks(customer, 2)
    theirs = install(customer, first)
    run_ticks(customer, 3)
    assert customer.installed(NAME) == theirs
    assert view(customer)["reason"]["code"] == "FOREIGN_TEXT"


def test_add_replaces_an_adopted_certificate_that_is_valid(drifted: Cdn) -> None:
    theirs = drifted.installed(NAME)
    drifted.sslctl("adopt", NAME)
    assert drifted.sslctl("add", NAME).exit_code == 0
    assert (drifted.installed(NAME) != theirs, view(drifted)["source"]) == (True, "c4")


def test_replace_text_is_refused_for_an_adopted_certificate(drifted: Cdn) -> None:
    drifted.sslctl("adopt", NAME)
    result = drifted.sslctl("recheck", NAME, "--replace-text")
    assert result.exit_code == 2
    assert f"`sslctl add {NAME}` replaces it" in result.stderr
    assert "consent" not in [event["kind"] for event in view(drifted)["events"]]


def test_adopt_refuses_an_expired_certificate(customer: Cdn) -> None:
    """A tick replaces an expired certificate. Adopted, it would be kept for ever."""
    customer.sslctl("add", NAME, "--no-wait")
    customer.clock.move(days=366)
    result = customer.sslctl("adopt", NAME)
    assert (result.exit_code, "expired" in result.stderr) == (2, True)
    customer.sslctl("daemon-tick")
    assert view(customer)["status"] == "Success"


def test_download_does_not_write_an_earlier_version_in_place_of_an_adopted_certificate(drifted: Cdn) -> None:
    folder = drifted.folder / "out"
    drifted.sslctl("adopt", NAME)
    result = drifted.sslctl("download", NAME, "-o", str(folder))
    assert (result.exit_code, folder.exists()) == (9, False)
    assert "--version" in result.stderr
    assert drifted.sslctl("download", NAME, "--version", "1", "-o", str(folder)).exit_code == 0


def test_download_notes_that_c4_has_another_certificate(drifted: Cdn) -> None:
    run_ticks(drifted, 2)
    theirs = drifted.installed(NAME)
    assert theirs is not None
    result = drifted.sslctl("download", NAME, "-o", str(drifted.folder / "out"))
    assert (result.exit_code, theirs[:16] in result.stderr) == (0, True)


@pytest.mark.parametrize("is_adopted", [True, False])
def test_view_shows_the_certificate_of_others_on_c4(drifted: Cdn, *, is_adopted: bool) -> None:
    if is_adopted:
        drifted.sslctl("adopt", NAME)
    else:
        run_ticks(drifted, 2)
    theirs = drifted.installed(NAME)
    assert theirs is not None
    shown = " ".join(drifted.sslctl("view", NAME).stdout.split())
    origin = "adopted with `sslctl adopt`" if is_adopted else "not installed by sslctl"
    assert f"On C4: text certificate {theirs[:16]}, {origin}" in shown


def unavailable() -> Any:
    return IssueError(Code.CA_UNAVAILABLE, "the CA is down")


@pytest.fixture
def suspected(cdn: Cdn) -> Cdn:
    """Return a CDN with 12 domains, of which all but the first are suspected of NXDOMAIN."""
    for name in FLEET:
        cdn.add_domain(name)
    cdn.sslctl("add", *FLEET)
    cdn.clock.move(days=84)
    for name in FLEET[1:]:
        cdn.clear_dns(name)
    assert cdn.sslctl("daemon-tick").exit_code == 75
    return cdn


def test_accept_concludes_what_was_withheld(suspected: Cdn) -> None:
    assert "11 served domains of" in suspected.sslctl("daemon-tick").stdout
    assert suspected.sslctl("recheck", "--accept", "C4_UNKNOWN_DOMAIN").stderr.startswith(
        "No domain is suspected"
    )
    one = suspected.sslctl("recheck", "--accept", "NXDOMAIN", FLEET[1])
    assert (one.exit_code, one.stdout.count("Failure NXDOMAIN")) == (0, 1)
    rest = suspected.sslctl("recheck", "--accept", "NXDOMAIN")
    assert (rest.exit_code, rest.stdout.count("Failure NXDOMAIN")) == (0, 10)
    assert suspected.sslctl("daemon-tick").exit_code == 0
    assert suspected.sslctl("recheck", "--accept", "NXDOMAIN", "--force-renew", FLEET[1]).exit_code == 2


def test_accept_reports_named_domains_that_are_not_suspected(suspected: Cdn) -> None:
    result = suspected.sslctl("recheck", "--accept", "NXDOMAIN", FLEET[0], FLEET[1])
    assert (result.exit_code, result.stdout.count("Failure NXDOMAIN")) == (0, 1)
    assert result.stderr == f"{FLEET[0]}: not suspected of NXDOMAIN; nothing was changed\n"


def test_accept_reports_domains_that_another_process_works_on(suspected: Cdn) -> None:
    app = suspected.app()
    app.store._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # stands for another sslctl
    with claimed(app.store, FLEET[1]):
        one = suspected.sslctl("recheck", "--accept", "NXDOMAIN", FLEET[1])
        many = suspected.sslctl("recheck", "--accept", "NXDOMAIN")
    app.close()
    assert (one.exit_code, FLEET[1] in one.stderr) == (75, True)
    assert (many.exit_code, FLEET[1] in many.stderr, many.stdout.count("Failure NXDOMAIN")) == (5, True, 10)
    assert suspected.sslctl("view", FLEET[1], "--json").json["domain"]["status"] == "Success"


def test_accept_of_a_loss_ends_like_the_uploads_that_it_makes(cdn: Cdn) -> None:
    for name in FLEET:
        cdn.add_domain(name)
    cdn.sslctl("add", *FLEET)
    cdn.sslctl("daemon-tick")
    for name in FLEET:
        cdn.app().control_plane.remove(name)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=503))
    cdn.clock.move(days=1)
    assert cdn.sslctl("daemon-tick").exit_code == 7
    assert cdn.sslctl("recheck", "--accept", "C4_LOST").exit_code == 7
    cdn.c4.heal()
    cdn.sslctl("daemon-tick")
    assert all(cdn.installed(name) for name in FLEET)


@pytest.mark.parametrize(
    "command",
    [("add", NAME), ("recheck", NAME, "--replace-text"), ("delete", NAME, "--force", "--yes")],
    ids=lambda it: it[0],
)
def test_command_that_removes_the_certificate_of_a_customer_prints_which_one(
    drifted: Cdn, command: tuple[str, ...]
) -> None:
    theirs = drifted.installed(NAME)
    assert theirs is not None
    result = drifted.sslctl(*command)
    assert result.exit_code == 0
    assert result.stderr == (
        f"sslctl: {NAME}: removed the text certificate {theirs[:16]} from C4, valid until 2027-11-23 12:00 SGT,"
        " which sslctl did not install\n"
    )


def test_pair_that_replaces_the_certificate_of_a_customer_prints_which_one(customer: Cdn) -> None:
    theirs = customer.installed(NAME)
    assert theirs is not None
    result = customer.sslctl("add", NAME, *customer.paste(customer.text_pair(NAME, days=400)))
    assert result.exit_code == 0
    assert f"removed the text certificate {theirs[:16]} from C4" in result.stderr


def test_command_that_keeps_the_certificate_of_a_customer_prints_no_removal(drifted: Cdn) -> None:
    for command in (("recheck", NAME), ("recheck", NAME, "--force-renew"), ("delete", NAME, "--yes")):
        assert "removed the" not in drifted.sslctl(*command).stderr


def test_removal_is_printed_when_the_upload_after_it_fails(customer: Cdn) -> None:
    customer.c4.set_faults(
        Fault(kind=Operation.UPLOAD, times=1, status=409), Fault(kind=Operation.UPLOAD, status=422)
    )
    theirs = customer.installed(NAME)
    assert theirs is not None
    result = customer.sslctl("add", NAME)
    assert (customer.installed(NAME), f"removed the text certificate {theirs[:16]}" in result.stderr) == (
        None,
        True,
    )


@pytest.mark.parametrize("others", [(), ("other.example.com",)])
@pytest.mark.parametrize("is_file", [False, True])
def test_add_without_consent_refuses_an_adopted_domain(
    drifted: Cdn, others: tuple[str, ...], *, is_file: bool
) -> None:
    drifted.sslctl("adopt", NAME)
    before = view(drifted)
    given = ("--from-file", "-") if is_file else (NAME, *others, "--no-wait")
    result = drifted.sslctl("add", *given, stdin="\n".join((NAME, *others)))
    assert result.exit_code == (5 if others else 2)
    assert f"the certificate of {NAME} was kept with `sslctl adopt`, so it stays" in result.stderr
    assert view(drifted) == before


def test_name_in_a_file_is_no_consent_to_replace_the_certificate_of_a_customer(customer: Cdn) -> None:
    theirs = customer.installed(NAME)
    result = customer.sslctl("add", "--from-file", "-", stdin=f"{NAME}\n")
    assert (result.exit_code, customer.installed(NAME), "FOREIGN_TEXT" in result.stdout) == (5, theirs, True)
    run_ticks(customer, 2)
    assert customer.installed(NAME) == theirs


def test_help_of_add_explains_consent(cdn: Cdn) -> None:
    output = " ".join(cdn.sslctl("add", "--help").stdout.split())
    assert "consent to replace the text certificate that C4 has for it now" in output
    assert "With --no-wait or --from-file there is no such consent" in output
    assert "not changed otherwise" not in output


def test_view_shows_a_consent_that_adopt_takes_back(customer: Cdn) -> None:
    theirs = str(customer.installed(NAME))
    customer.issuer.refusals.append(unavailable())
    assert customer.sslctl("add", NAME).exit_code == 3
    shown = customer.sslctl("view", NAME).stdout
    assert f"Consent: you agreed to replace the text certificate {theirs[:16]}; the next tick" in re.sub(
        " +", " ", shown
    )
    assert f"`sslctl adopt {NAME}` takes that back" in shown
    assert customer.sslctl("adopt", NAME).exit_code == 0
    assert "you agreed" not in customer.sslctl("view", NAME).stdout
    run_ticks(customer, 3)
    assert (customer.installed(NAME), view(customer)["source"]) == (theirs, "text")


def test_adopt_prints_what_it_adopted_and_changes_nothing_when_repeated(drifted: Cdn) -> None:
    theirs = str(drifted.installed(NAME))
    described = f"adopted the text certificate {theirs[:16]}, valid until 2027-11-23 12:00 SGT"
    assert drifted.sslctl("adopt", NAME).stdout.startswith(f"{NAME}: {described}\n")
    event = view(drifted)["events"][-1]
    assert (event["kind"], event["detail"].startswith(f"the text certificate, {theirs[:16]}")) == (
        "adopted",
        True,
    )
    before = view(drifted)
    assert drifted.sslctl("adopt", NAME).stdout.startswith(f"{NAME}: had already {described}\n")
    assert view(drifted) == before
    assert "adopted with `sslctl adopt`" in drifted.sslctl("view", NAME).stdout
    # Another one is adopted anew.
    later = str(install(drifted, drifted.text_pair(NAME, days=200)))
    assert f"{NAME}: adopted the text certificate {later[:16]}" in drifted.sslctl("adopt", NAME).stdout


def test_adopt_reports_that_c4_does_not_know_the_domain(cdn: Cdn) -> None:
    cdn.sslctl("add", NAME, "--no-wait")
    result = cdn.sslctl("adopt", NAME)
    assert (result.exit_code, "gets one from the CA" in result.stderr) == (2, False)
    assert f"C4 has no such domain as {NAME}" in result.stderr


def test_expired_certificate_from_the_ca_is_renewed_by_the_tick(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    cdn.clock.move(days=91)
    found = view(cdn)
    assert (found["status"], found["reason"]["next_step"]) == (
        "Expired", f"The next tick renews it; `sslctl recheck {NAME}` does so at once.",
    )  # fmt: skip


def test_download_of_an_earlier_version_notes_that_the_edge_serves_another(drifted: Cdn) -> None:
    theirs = str(drifted.installed(NAME))
    drifted.sslctl("adopt", NAME)
    folder = ("-o", str(drifted.folder / "out"), "--force")
    note = f"sslctl: {NAME}: these files are not what the edge serves: "
    result = drifted.sslctl("download", NAME, "--version", "1", *folder)
    assert result.exit_code == 0
    assert result.stderr.startswith(f"{note}C4 has the text certificate {theirs[:16]}, valid until ")
    assert drifted.sslctl("add", NAME).exit_code == 0
    assert drifted.sslctl("download", NAME, "--version", "1", *folder).stderr == f"{note}C4 has version 2\n"
    assert drifted.sslctl("download", NAME, "--version", "2", *folder).stderr == ""
    drifted.app().control_plane.remove(NAME)
    drifted.sslctl("delete", NAME, "--yes")
    assert drifted.sslctl("download", NAME, *folder).stderr == ""


def test_accept_lists_its_codes_and_takes_them_in_lower_case(suspected: Cdn) -> None:
    assert "C4_UNKNOWN_DOMAIN" in suspected.sslctl("recheck", "--help").stdout
    suspected.clock.move(hours=1)
    result = suspected.sslctl("recheck", "--accept", "nxdomain")
    assert (result.exit_code, result.stdout.count("Failure NXDOMAIN")) == (0, 11)


def test_answer_of_c4_that_cannot_be_used_is_not_called_no_answer(drifted: Cdn) -> None:
    drifted.c4.set_faults(Fault(kind=Operation.LOOKUP, status=503))
    assert (
        f"C4 gave no usable answer about the certificate of {NAME}, so nothing was changed: answered 503"
        in drifted.sslctl("adopt", NAME).stderr
    )
