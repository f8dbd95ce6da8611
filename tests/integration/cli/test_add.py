"""`sslctl add` with the CA: every form of input and every outcome."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from sslctl.issuer import IssueError
from sslctl.rules.claim_names import domain_claim
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code
from sslctl.sandbox.c4.faults import Drop, Fault, Operation
from tests.support import words
from tests.support.cdn import Cdn, Result
from tests.support.dns_zone import Trouble
from tests.support.fakes import Clock

NAME = "shop.example.com"
TARGET = f"{NAME}.cdn.test"


def statuses(result: Result) -> dict[str, str]:
    return {domain["domain"]: domain["status"] for domain in result.json["domains"]}


def code(result: Result) -> str | None:
    reason = result.json["domains"][0]["reason"]
    return None if reason is None else reason["code"]


def kinds(cdn: Cdn, name: str = NAME) -> list[str]:
    return [event["kind"] for event in cdn.sslctl("view", name, "--json").json["domain"]["events"]]


def test_add_orders_and_delivers_a_certificate_in_one_command(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    result = cdn.sslctl("add", NAME)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("shop.example.com: Success, valid, 90 days left, expires ")
    view = cdn.sslctl("view", NAME, "--json").json["domain"]
    assert view["serving"]["fingerprint_sha256"] == cdn.installed(NAME)
    assert [event["kind"] for event in view["events"]] == [
        "added",
        "ordered",
        "issued",
        "uploaded",
        "serving",
    ]


def test_add_places_no_order_and_uploads_nothing_when_the_domain_is_already_served(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    first, again = cdn.sslctl("add", NAME), cdn.sslctl("add", f"{NAME.upper()}.")
    assert (again.exit_code, again.stdout) == (0, first.stdout)
    assert cdn.issuer.orders == [(NAME,)]
    assert cdn.uploads(NAME) == [200]


# Each reason: (exit code, orders until success, how to cause the problem, how to fix it).

Step = Callable[[Cdn], object]


def _refuse(refusal: Code) -> Step:
    return lambda cdn: cdn.issuer.refusals.append(IssueError(refusal, "so it is"))


def _fault(kind: Operation, status: int) -> Step:
    return lambda cdn: cdn.c4.set_faults(Fault(kind=kind, status=status))


def _heal(cdn: Cdn) -> None:
    cdn.c4.heal()


def _no_fix_needed(_cdn: Cdn) -> None:
    """Do nothing: the problem occurs only once."""


PROBLEMS: dict[Code, tuple[int, int, Step, Step]] = {
    Code.CNAME_MISSING: (
        4,
        1,
        lambda cdn: cdn.clear_dns(NAME).add(NAME, "A", "203.0.113.9"),
        lambda cdn: cdn.clear_dns(NAME).add(NAME, "CNAME", TARGET),
    ),
    Code.CNAME_ELSEWHERE: (
        4,
        1,
        lambda cdn: cdn.point(NAME, "parking.elsewhere.test"),
        lambda cdn: cdn.point(NAME, TARGET),
    ),
    Code.NXDOMAIN: (
        4,
        1,
        lambda cdn: cdn.clear_dns(NAME),
        lambda cdn: cdn.point(NAME, TARGET),
    ),
    Code.CAA_FORBIDS: (
        4,
        1,
        lambda cdn: cdn.zone.add("example.com", "CAA", '0 issue "other.test"'),
        lambda cdn: cdn.zone.add("example.com", "CAA", '0 issue "ca.test"'),
    ),
    Code.PORTS_NOT_ENABLED: (
        4,
        1,
        lambda cdn: cdn.c4.create_domain(NAME, cname_target=TARGET, ports=[80]),
        lambda cdn: cdn.c4.create_domain(NAME, cname_target=TARGET),
    ),
    Code.DNS_UNANSWERED: (
        3,
        1,
        lambda cdn: cdn.zone.spoil(NAME, Trouble.SERVFAIL),
        lambda cdn: cdn.clear_dns(NAME).add(NAME, "CNAME", TARGET),
    ),
    Code.DNSSEC_BOGUS: (
        4,
        1,
        lambda cdn: cdn.zone.add("example.com", "DS", f"12345 13 2 {'ab' * 32}").spoil(NAME, Trouble.BOGUS),
        lambda cdn: cdn.clear_dns(NAME).add(NAME, "CNAME", TARGET),
    ),
    Code.TARGET_UNANSWERED: (
        3,
        1,
        lambda cdn: cdn.zone.spoil(TARGET, Trouble.SERVFAIL),
        lambda cdn: cdn.zone.mend(TARGET),
    ),
    Code.TARGET_CAA_FORBIDS: (
        4,
        1,
        lambda cdn: cdn.zone.add(TARGET, "CAA", '0 issue "other.test"'),
        lambda cdn: cdn.zone.add(TARGET, "CAA", '0 issue "ca.test"'),
    ),
    Code.C4_UNKNOWN_DOMAIN: (
        6,
        1,
        lambda cdn: cdn.c4.delete_domain(NAME),
        lambda cdn: cdn.c4.create_domain(NAME, cname_target=TARGET),
    ),
    Code.C4_UNANSWERED: (3, 1, _fault(Operation.LOOKUP, 503), _heal),
    Code.C4_TOKEN_REFUSED: (3, 1, _fault(Operation.LOOKUP, 401), _heal),
    Code.CHALLENGE_FAILED: (4, 2, _refuse(Code.CHALLENGE_FAILED), _no_fix_needed),
    Code.NAME_REFUSED: (4, 2, _refuse(Code.NAME_REFUSED), _no_fix_needed),
    Code.CA_RATE_LIMITED: (3, 2, _refuse(Code.CA_RATE_LIMITED), _no_fix_needed),
    Code.CA_UNAVAILABLE: (3, 2, _refuse(Code.CA_UNAVAILABLE), _no_fix_needed),
    # From here on the certificate is issued, so a second order must not be placed.
    Code.C4_UPLOAD_FAILED: (7, 1, _fault(Operation.UPLOAD, 503), _heal),
    Code.C4_REJECTED: (7, 1, _fault(Operation.UPLOAD, 422), _heal),
    Code.C4_UNAUTHORIZED: (7, 1, _fault(Operation.UPLOAD, 401), _heal),
}


@pytest.mark.parametrize("reason", PROBLEMS, ids=str)
def test_add_reports_reason_and_owner_and_succeeds_after_the_problem_is_fixed(cdn: Cdn, reason: Code) -> None:
    exit_code, orders, cause, fix = PROBLEMS[reason]
    cdn.add_domain(NAME)
    cause(cdn)
    result = cdn.sslctl("add", NAME)
    assert (result.exit_code, result.stderr) == (exit_code, "")
    first, second = result.stdout.splitlines()
    assert first.startswith(f"{NAME}: ")
    assert f" {reason}: " in first
    assert second.startswith("  next (")
    assert cdn.installed(NAME) is None
    fix(cdn)
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert len(cdn.issuer.orders) == orders
    assert cdn.installed(NAME) is not None


def test_add_fails_for_an_apex_when_its_aaaa_record_points_elsewhere(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_CDN_IP_RANGES", "192.0.2.0/24")
    cdn.c4.create_domain("example.com", cname_target="example.com.cdn.test")
    cdn.zone.add("example.com", "A", "192.0.2.7").add("example.com", "AAAA", "2001:db8::7")
    result = cdn.sslctl("add", "example.com")
    assert result.exit_code == 4
    assert " AAAA_ELSEWHERE: " in result.stdout
    assert "2001:db8::7" in result.stdout
    cdn.clear_dns("example.com").add("example.com", "A", "192.0.2.7")
    assert cdn.sslctl("add", "example.com").exit_code == 0


def test_add_is_retried_at_the_time_that_the_ca_names_in_its_rate_limit_error(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    until = cdn.clock() + timedelta(hours=30)
    cdn.issuer.refusals.append(IssueError(Code.CA_RATE_LIMITED, "too many certificates", retry_at=until))
    result = cdn.sslctl("add", NAME, "--json")
    assert result.json["domains"][0]["reason"]["retry_at"] == "2026-11-24T10:00:00Z"
    cdn.clock.move(hours=29)
    cdn.sslctl("daemon-tick")
    assert len(cdn.issuer.orders) == 1
    cdn.clock.move(hours=1)
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert len(cdn.issuer.orders) == 2


def test_add_reports_pending_and_uploads_once_while_c4_activates_the_certificate(
    tmp_path: Path, clock: Clock
) -> None:
    with Cdn(tmp_path, clock, activation_seconds=60) as cdn:
        cdn.add_domain(NAME)
        result = cdn.sslctl("add", NAME)
        assert result.exit_code == 3
        assert "Pending C4_ACTIVATING: " in result.stdout
        cdn.clock.move(minutes=61)
        assert cdn.sslctl("daemon-tick").exit_code == 0
        assert cdn.uploads(NAME) == [202]
        assert cdn.sslctl("add", NAME).exit_code == 0
        assert len(cdn.issuer.orders) == 1


def test_add_succeeds_when_the_response_to_the_upload_is_lost(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, drop=Drop.AFTER))
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert len(cdn.issuer.orders) == 1


@pytest.mark.parametrize(
    ("names", "exit_code"),
    [
        (["good", "fine"], 0),
        (["good", "elsewhere"], 5),
        (["unknown", "elsewhere"], 5),
        (["good", "refused", "unknown"], 7),
    ],
    ids=words,
)
def test_add_processes_every_name_when_some_of_them_fail(cdn: Cdn, names: list[str], exit_code: int) -> None:
    cdn.add_domain("good.example.com")
    cdn.add_domain("fine.example.com")
    cdn.add_domain("refused.example.com")
    cdn.add_domain("elsewhere.example.com", points_at="parking.elsewhere.test")
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, domain="refused.example.com", status=422))
    result = cdn.sslctl("add", "--json", *(f"{name}.example.com" for name in names))
    assert (result.exit_code, result.stderr) == (exit_code, "")
    wanted = {
        "good": "Success",
        "fine": "Success",
        "elsewhere": "Failure",
        "unknown": "Discard",
        "refused": "Emergency",
    }
    assert list(statuses(result).items()) == [(f"{name}.example.com", wanted[name]) for name in names]
    assert {domain["error"] for domain in result.json["domains"]} == {None}


def test_add_keeps_the_sans_until_other_sans_are_given(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.add_domain("www.example.com")
    cdn.add_domain("api.example.com")
    assert cdn.sslctl("add", NAME, "--san", "WWW.example.com").exit_code == 0
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert cdn.issuer.orders == [(NAME, "www.example.com")]
    assert cdn.sslctl("add", NAME, "--san", "api.example.com").exit_code == 0
    assert cdn.issuer.orders[1:] == [(NAME, "api.example.com")]
    view = cdn.sslctl("view", NAME, "--json").json["domain"]
    assert view["certificates"][0]["names"] == [NAME, "api.example.com"]
    assert view["serving"]["version"] == 2


def test_add_names_the_san_that_fails_its_check(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.add_domain("www.example.com", points_at="parking.elsewhere.test")
    result = cdn.sslctl("add", NAME, "--san", "www.example.com")
    assert result.exit_code == 4
    assert "CNAME_ELSEWHERE: The CNAME does not point at the CDN: found www.example.com" in result.stdout
    assert cdn.issuer.orders == []


@pytest.mark.parametrize("work", [["recheck"], ["recheck", NAME], ["daemon-tick"], ["add", NAME]], ids=words)
def test_add_no_wait_sends_no_request_and_a_later_command_does_the_work(cdn: Cdn, work: list[str]) -> None:
    cdn.add_domain(NAME)
    result = cdn.sslctl("add", NAME, "--no-wait")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{NAME}: Pending QUEUED: ")
    assert (cdn.c4.requests, cdn.zone.queries, cdn.issuer.orders) == ((), [], [])
    assert cdn.sslctl(*work).exit_code == 0
    assert cdn.installed(NAME) is not None


def test_add_no_wait_queues_a_failed_domain_again(cdn: Cdn) -> None:
    exit_code, _, spoil, fix = PROBLEMS[Code.CNAME_ELSEWHERE]
    cdn.add_domain(NAME)
    spoil(cdn)
    assert cdn.sslctl("add", NAME).exit_code == exit_code
    fix(cdn)
    assert cdn.sslctl("daemon-tick", "--json").json["domains"] == []
    assert cdn.sslctl("add", NAME, "--no-wait").exit_code == 0
    assert statuses(cdn.sslctl("daemon-tick", "--json")) == {NAME: "Success"}


def test_add_no_wait_changes_nothing_when_the_domain_is_served(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    assert cdn.sslctl("add", NAME, "--no-wait").exit_code == 0


def test_add_stores_an_international_name_as_a_labels(cdn: Cdn) -> None:
    cdn.add_domain("xn--bcher-kva.example.com")
    assert cdn.sslctl("add", "Bücher.example.com").exit_code == 0
    assert cdn.sslctl("view", "bücher.example.com").exit_code == 0
    assert cdn.issuer.orders == [("xn--bcher-kva.example.com",)]


LIST = "\ufeff# customers\r\n\r\none.example.com\r\n  Two.example.com. # by mail\r\n"


def test_add_from_file_accepts_bom_crlf_blank_lines_comments_and_capitals(cdn: Cdn) -> None:
    """A byte order mark, CRLF, blank lines, comments, capitals and a trailing dot are accepted."""
    path = cdn.folder / "names.txt"
    path.write_bytes(LIST.encode())
    result = cdn.sslctl("add", "zero.example.com", "--no-wait", "--json", "--from-file", str(path))
    assert list(statuses(result)) == ["zero.example.com", "one.example.com", "two.example.com"]


def test_add_from_file_reads_standard_input_when_the_file_is_a_dash(cdn: Cdn) -> None:
    listed = cdn.sslctl("add", "--no-wait", "--json", "--from-file", "-", stdin="one.example.com\n\n# no\n")
    assert list(statuses(listed)) == ["one.example.com"]


def test_add_from_file_rejects_the_whole_file_and_names_the_bad_lines(cdn: Cdn) -> None:
    path = cdn.folder / "names.txt"
    path.write_text("one.example.com\na_b.example.com\ntwo.example.com\nONE.example.com\n\n*.example.com\n")
    result = cdn.sslctl("add", "two.example.com", "--from-file", str(path))
    assert result.exit_code == 2
    errors = [line for line in result.stderr.splitlines() if "error: " in line]
    assert [line.partition(" cannot")[0] for line in errors] == [
        f'sslctl: error: {path}, line 2: "a_b.example.com"',
        f'sslctl: error: {path}, line 6: "*.example.com"',
        "sslctl: error: 2 names or lines",
    ]
    assert cdn.sslctl("list", "--json").json["domains"] == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_add_from_file_reads_the_text_files_of_windows(cdn: Cdn, encoding: str, line_end: str) -> None:
    path = cdn.folder / "names.txt"
    path.write_bytes(f"one.example.com{line_end}two.example.com".encode(encoding))
    listed = cdn.sslctl("add", "--no-wait", "--json", "--from-file", str(path))
    assert list(statuses(listed)) == ["one.example.com", "two.example.com"]


def test_add_from_file_rejects_a_file_that_is_not_text(cdn: Cdn) -> None:
    path = cdn.folder / "names.txt"
    path.write_bytes("shöp.example.com".encode("latin-1"))
    result = cdn.sslctl("add", "--from-file", str(path))
    assert (result.exit_code, result.stderr) == (
        2,
        f"sslctl: error: {path} is not text in UTF-8 or UTF-16\n",
    )


# A domain that has a text certificate: C4 answers 409, and sslctl replaces it in one command.


def _add_by_text(cdn: Cdn) -> str:
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME))).exit_code == 0
    fingerprint = cdn.installed(NAME)
    assert fingerprint is not None
    return fingerprint


def test_add_replaces_a_text_certificate_with_one_from_the_ca(cdn: Cdn) -> None:
    text = _add_by_text(cdn)
    result = cdn.sslctl("add", NAME, "--json")
    assert (result.exit_code, result.json["domains"][0]["source"]) == (0, "c4")
    assert cdn.uploads(NAME) == [200, 409, 200]
    assert cdn.installed(NAME) not in (None, text)
    assert "removed" in kinds(cdn)


def test_add_reinstalls_the_text_certificate_when_the_upload_after_its_removal_fails(cdn: Cdn) -> None:
    text = _add_by_text(cdn)
    # The first PUT meets the text certificate, the second follows its removal, the third succeeds.
    cdn.c4.set_faults(
        Fault(kind=Operation.UPLOAD, status=409, times=1),
        Fault(kind=Operation.UPLOAD, status=422, times=1),
    )
    result = cdn.sslctl("add", NAME)
    assert result.exit_code == 7
    assert "Emergency C4_" in result.stdout
    assert "the text certificate is installed again" in result.stdout
    assert "\n  serving: valid, 90 days left\n" in result.stdout
    assert cdn.installed(NAME) == text
    cdn.c4.heal()
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert cdn.installed(NAME) not in (None, text)
    assert len(cdn.issuer.orders) == 1


def test_add_reports_that_nothing_is_installed_when_a_foreign_text_certificate_was_removed(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    pair = cdn.text_pair(NAME)
    cdn.app().control_plane.upload(NAME, pair, Source.TEXT)
    cdn.c4.set_faults(
        Fault(kind=Operation.UPLOAD, status=409, times=1), Fault(kind=Operation.UPLOAD, status=422)
    )
    result = cdn.sslctl("add", NAME)
    assert result.exit_code == 7
    assert "Emergency NOTHING_INSTALLED" in result.stdout
    assert cdn.installed(NAME) is None
    cdn.c4.heal()
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert len(cdn.issuer.orders) == 1


def test_add_keeps_the_text_certificate_when_its_removal_fails(cdn: Cdn) -> None:
    text = _add_by_text(cdn)
    cdn.c4.set_faults(Fault(kind=Operation.REMOVE, status=500))
    result = cdn.sslctl("add", NAME)
    assert result.exit_code == 7
    assert "the text certificate is still installed" in result.stdout
    assert cdn.installed(NAME) == text


def test_add_accepts_the_same_pair_again_after_the_ca_refused_an_order(cdn: Cdn) -> None:
    text = _add_by_text(cdn)
    cdn.issuer.refusals.append(IssueError(Code.CHALLENGE_FAILED, "404"))
    assert cdn.sslctl("add", NAME).exit_code == 4
    held = cdn.app().store
    bundle = held.bundle(held.certificates(held.domain(NAME))[0])
    held.close()
    result = cdn.sslctl("add", NAME, *cdn.paste(bundle), "--json")
    assert (result.exit_code, result.json["domains"][0]["source"]) == (0, "text")
    assert cdn.installed(NAME) == text
    assert len(cdn.issuer.orders) == 1


# New orders and reused certificates


def test_add_new_places_an_order_when_nothing_is_due(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    old = cdn.installed(NAME)
    assert cdn.sslctl("add", NAME, "--new").exit_code == 0
    assert cdn.installed(NAME) not in (None, old)
    assert len(cdn.issuer.orders) == 2


@pytest.mark.parametrize(
    ("options", "days", "orders"), [([], 0, 1), (["--new"], 0, 2), ([], 84, 2), ([], 91, 2)], ids=words
)
def test_add_reuses_the_certificate_of_a_deleted_domain_while_it_is_valid(
    cdn: Cdn, options: list[str], days: int, orders: int
) -> None:
    """With 6 days left the old certificate is installed first and then renewed; an expired one is not reused."""
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    old = cdn.installed(NAME)
    assert cdn.sslctl("delete", NAME, "--yes").exit_code == 0
    assert cdn.installed(NAME) is None
    cdn.clock.move(days=days)
    assert cdn.sslctl("add", NAME, *options).exit_code == 0
    if days == 84:
        assert cdn.installed(NAME) == old
        assert cdn.sslctl("daemon-tick").exit_code == 0
    assert (cdn.installed(NAME) == old) is (orders == 1)
    assert len(cdn.issuer.orders) == orders


def test_add_orders_anew_when_the_certificate_of_a_deleted_domain_was_revoked(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    assert cdn.sslctl("delete", NAME, "--yes", "--revoke").exit_code == 0
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert len(cdn.issuer.orders) == 2


# Invalid input

BAD = [
    "*.example.com",
    "192.0.2.1",
    "[2001:db8::1]",
    "localhost",
    "co.uk",
    "com",
    f"{'a' * 64}.example.com",
    f"{'a.' * 126}example.com",
    "a_b.example.com",
    "a b.example.com",
    "a;reboot.example.com",
    "$(reboot).example.com",
    "../../etc/passwd",
    "-x.example.com",
    "a..example.com",
    "",
    " ",
    ".",
    "a\x1b[31m.example.com",
    "a\n.example.com",
    "a\u202e.example.com",
    "https://example.com/",
    "example.com:443",
    "me@example.com",
]


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_add_rejects_an_invalid_name_before_any_request(new_cdn: Cdn, name: str) -> None:
    ways = [["--", name], ["--", "good.example.com", name], ["good.example.com", f"--san={name}"]]
    # A blank line in a file is no name.
    ways += [["good.example.com", "--from-file", "-"]] if name.strip() else []
    for way in ways:
        result = new_cdn.sslctl("add", *way, stdin=f"{name.partition(chr(10))[0]}\n-x.example.com")
        assert (result.exit_code, result.stdout) == (2, "")
        refusal, *others = result.stderr.splitlines()
        assert refusal.startswith("sslctl: error: ")
        assert " cannot be used as a domain name: " in refusal
        # Two bad lines of a list are printed both, and counted.
        assert len(others) in ((0,) if "-" not in way else (0, 2, 3))
        assert result.stderr.replace("\n", "").isprintable()
    assert (new_cdn.c4.requests, new_cdn.zone.queries, new_cdn.issuer.orders) == ((), [], [])
    assert not (new_cdn.folder / "state").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a domain, or give --from-file FILE"),
        ([NAME, f"{NAME.upper()}."], "is given twice"),
        ([NAME, "--san", NAME], "is the domain itself"),
        ([NAME, "--san", "a.example.com", "--san", "A.example.com"], "is given twice"),
        ([NAME, "b.example.com", "--san", "a.example.com"], "name only one"),
        ([NAME, "--cert", "PEM"], "--cert and --key go together"),
        ([NAME, "--key", "PEM"], "--cert and --key go together"),
        ([NAME, "--chain", "PEM"], "--chain goes with them"),
        ([NAME, "b.example.com", "--cert", "PEM", "--key", "PEM"], "name only one"),
        ([NAME, "--new", "--cert", "PEM", "--key", "PEM"], "--new orders from the CA"),
        ([NAME, "--new", "--no-wait"], "--new orders from the CA"),
        (["--from-file", "missing.txt"], "'missing.txt': No such file or directory"),
        ([NAME, "--cert", "missing.pem", "--key", "PEM"], "'missing.pem' does not exist"),
    ],
    ids=words,
)
def test_add_rejects_options_that_do_not_fit_together(
    new_cdn: Cdn, arguments: list[str], message: str
) -> None:
    pem = new_cdn.folder / "some.pem"
    pem.write_text(new_cdn.text_pair(NAME).fullchain)
    result = new_cdn.sslctl("add", *(str(pem) if word == "PEM" else word for word in arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert not (new_cdn.folder / "state").exists()


def test_add_keeps_changes_and_drops_the_sans(cdn: Cdn) -> None:
    for name in (NAME, "www.example.com", "m.example.com"):
        cdn.add_domain(name)

    def sans(*options: str) -> list[str]:
        found: list[str] = cdn.sslctl("add", NAME, *options, "--json").json["domains"][0]["sans"]
        return found

    assert sans("--san", "www.example.com") == ["www.example.com"]
    assert sans() == ["www.example.com"]
    assert sans("--san", "m.example.com") == ["m.example.com"]
    assert sans("--no-san") == []
    assert cdn.issuer.orders == [(NAME, "www.example.com"), (NAME, "m.example.com"), (NAME,)]
    assert cdn.sslctl("add", NAME, "--no-san", "--san", "m.example.com").exit_code == 2


def test_add_continues_with_the_other_domains_when_one_is_claimed_by_another_process(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME)))
    other = cdn.app()
    other.store._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # as if on another host
    other.store.claim([domain_claim(NAME)], timedelta(minutes=5))
    result = cdn.sslctl("add", NAME, "gone.example.com", "--json")
    assert result.exit_code == 5
    assert [(row["domain"], row["error"]) for row in result.json["domains"]] == [
        (NAME, "BUSY"),
        ("gone.example.com", None),
    ]
    assert f"{NAME}: another sslctl works on {NAME}" in result.stderr
    other.close()


def test_add_from_file_rejects_a_file_that_is_too_large(cdn: Cdn) -> None:
    result = cdn.sslctl("add", "--no-wait", "--from-file", "/dev/zero")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "/dev/zero is larger than 67108864 bytes" in result.stderr
    assert cdn.sslctl("list", "--json").json["domains"] == []
