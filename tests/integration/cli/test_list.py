"""`sslctl list`: the table for operators, JSON and CSV for programs, and statuses that depend on the clock."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from sslctl.cli.output.stdout import _safe_cell
from sslctl.issuer import IssueError
from sslctl.rules.reasons import Code, Status
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support import words
from tests.support.cdn import Cdn


def names(cdn: Cdn, *options: str) -> list[str]:
    result = cdn.sslctl("list", "--json", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.json["schema_version"] == 1
    return [domain["domain"].partition(".")[0] for domain in result.json["domains"]]


@pytest.fixture
def fleet(cdn: Cdn) -> Cdn:
    """One domain in each status but Expired, added on four days."""
    for name in ("success", "pending", "failure", "discard", "emergency", "text"):
        if name != "discard":
            cdn.add_domain(f"{name}.example.com")
    cdn.sslctl("add", "success.example.com")
    cdn.clock.move(days=1)
    cdn.sslctl("add", "text.example.com", *cdn.paste(cdn.text_pair("text.example.com", days=10)))
    cdn.clock.move(days=1)
    cdn.issuer.refusals += [IssueError(Code.CHALLENGE_FAILED, '=HYPERLINK("x")', wanted="@token")]
    cdn.sslctl("add", "failure.example.com")
    cdn.clock.move(days=1)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=500))
    cdn.sslctl("add", "emergency.example.com")
    cdn.c4.heal()
    cdn.sslctl("add", "discard.example.com")
    cdn.sslctl("add", "pending.example.com", "--no-wait")
    return cdn


def test_list_filters_combine(fleet: Cdn) -> None:
    assert names(fleet) == ["discard", "emergency", "failure", "pending", "success", "text"]
    assert names(fleet, "--status", "Failure", "--status", "discard") == ["discard", "failure"]
    assert names(fleet, "--source", "text") == ["text"]
    assert names(fleet, "--source", "c4", "--status", "SUCCESS") == ["success"]
    assert names(fleet, "--expiring-within", "1w") == []
    assert names(fleet, "--expiring-within", "8d") == ["text"]
    assert names(fleet, "--expiring-within", "8d", "--source", "c4") == []


def test_list_sorts_by_expiry_creation_and_status(fleet: Cdn) -> None:
    assert names(fleet, "--sort", "expires")[:2] == ["text", "success"]
    assert names(fleet, "--sort", "created")[:3] == ["success", "text", "failure"]
    assert names(fleet, "--sort", "status") == [
        "discard", "emergency", "failure", "pending", "success", "text",
    ]  # fmt: skip
    assert names(fleet, "--sort", "expires", "--limit", "1") == ["text"]


def test_list_reports_expired_after_the_expiry_date_without_a_tick(fleet: Cdn) -> None:
    """No command ran in between. A certificate that C4 never took is Expired too after its expiry date."""
    assert names(fleet, "--status", "emergency") == ["emergency"]
    fleet.clock.move(days=200)
    expired = ["emergency", "success", "text"]
    assert names(fleet, "--status", "expired") == expired
    assert names(fleet, "--status", "success") == []
    assert names(fleet, "--status", "emergency") == []
    assert sorted(names(fleet, "--expiring-within", "1m")) == expired
    table = fleet.sslctl("list").stdout
    assert "expired 113 days ago" in table
    assert "CERT_EXPIRED" in table


def test_list_table_has_the_columns_that_support_needs(fleet: Cdn) -> None:
    result = fleet.sslctl("list")
    header, *rows = result.stdout.splitlines()
    assert header.split() == [
        "DOMAIN", "STATUS", "SOURCE", "CREATED", "EXPIRES", "DAYS", "SERVED", "REASON", "WHO", "ACTS",
    ]  # fmt: skip
    text = next(row for row in rows if row.startswith("text.example.com"))
    assert text.endswith(" valid, 8 days left   (TEXT_EXPIRES)     customer")
    failure = next(row for row in rows if row.startswith("failure.example.com"))
    assert failure.split()[-3:] == ["nothing", "CHALLENGE_FAILED", "cdn"]
    assert "\x1b" not in result.stdout


def test_list_csv_can_be_parsed_and_contains_no_formula(fleet: Cdn) -> None:
    result = fleet.sslctl("list", "--csv", "--status", "failure", "--status", "success")
    assert result.stdout.count("\r\n") == 4
    rows = {row["domain"]: row for row in csv.DictReader(io.StringIO(result.stdout, newline=""))}
    failure, well = rows["failure.example.com"], rows["success.example.com"]
    assert (failure["status"], failure["reason"], failure["owner"]) == ("Failure", "CHALLENGE_FAILED", "cdn")
    assert '=HYPERLINK("x")' in failure["sentence"]
    assert (well["created_at"], well["expires_at"]) == ("2026-11-23T04:00:00Z", "2027-02-21T04:00:00Z")
    assert (well["days_left"], well["reason"], well["deleted_at"]) == ("87", "", "")
    cells = [cell for row in rows.values() for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]
    # No column begins with text from outside today; the guard is for columns that may come.
    wide = "\uff1d\uff0b\uff0d\uff20\ufe66"
    assert [sign for sign in f"=+-@{wide}" if _safe_cell(f"{sign}1") != f"'{sign}1"] == []
    assert [_safe_cell(text) for text in ("a=1", f"a{wide}", "", 1)] == ["a=1", f"a{wide}", "", 1]


def test_list_csv_is_a_header_when_there_are_no_domains(cdn: Cdn) -> None:
    result = cdn.sslctl("list", "--csv")
    assert (result.exit_code, result.stdout.count("\r\n")) == (0, 1)


def test_list_deleted_shows_the_deletion_time_and_no_status(fleet: Cdn) -> None:
    fleet.clock.move(days=1)
    fleet.sslctl("delete", "success.example.com", "--yes")
    assert "success" not in names(fleet)
    assert names(fleet, "--deleted") == ["success"]
    (domain,) = fleet.sslctl("list", "--deleted", "--json").json["domains"]
    assert (domain["deleted_at"], domain["status"], domain["reason"]) == ("2026-11-27T04:00:00Z", None, None)
    header, row = fleet.sslctl("list", "--deleted").stdout.splitlines()
    assert header.split() == ["DOMAIN", "SOURCE", "CREATED", "DELETED"]
    assert row.split() == ["success.example.com", "c4", "2026-11-23", "2026-11-27"]
    (cells,) = csv.DictReader(io.StringIO(fleet.sslctl("list", "--deleted", "--csv").stdout, newline=""))
    assert (cells["status"], cells["reason"], cells["deleted_at"]) == ("", "", "2026-11-27T04:00:00Z")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "No domains are managed yet in "),
        (["--sort", "expires"], "No domains are managed yet in "),
        (["--status", "failure"], "No domains match: --status Failure\n"),
        (["--deleted"], "No domains were deleted.\n"),
    ],
    ids=words,
)
def test_list_reports_an_empty_result_on_standard_error(cdn: Cdn, options: list[str], message: str) -> None:
    result = cdn.sslctl("list", *options)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith(message)
    as_json = cdn.sslctl("list", "--json", *options)
    by_status = {} if "--deleted" in options else dict.fromkeys(Status, 0)
    assert (as_json.json, as_json.stderr) == (
        {
            "schema_version": 1,
            "ca_pauses": [],
            "maintenance": None,
            "notice": None,
            "notices": [],
            "domains": [],
            "counts": {"matching": 0, "listed": 0, "managed": 0, "by_status": by_status},
        },
        "",
    )


@pytest.mark.parametrize(
    "options",
    [
        ["--deleted", "--status", "failure"],
        ["--deleted", "--expiring-within", "7d"],
        ["--status", "Happy"],
        ["--sort", "luck"],
        ["--limit", "0"],
        ["--limit", "99999999999999999999"],
        ["--expiring-within", "soon"],
        ["--expiring-within", "-1d"],
    ],
    ids=" ".join,
)
def test_list_rejects_invalid_options_with_a_usage_error(cdn: Cdn, options: list[str]) -> None:
    result = cdn.sslctl("list", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("sslctl: error: ")


def test_list_reports_what_is_served_apart_from_the_status(cdn: Cdn) -> None:
    """A renewal fails while the old certificate is still valid: the list reports both."""
    cdn.add_domain("shop.example.com")
    cdn.sslctl("add", "shop.example.com")
    cdn.clock.move(days=84)
    cdn.point("shop.example.com", "parking.elsewhere.test")
    assert cdn.sslctl("daemon-tick").exit_code == 5
    domain: dict[str, Any] = cdn.sslctl("list", "--json").json["domains"][0]
    assert (domain["status"], domain["reason"]["code"]) == ("Failure", "CNAME_ELSEWHERE")
    assert (domain["serving"]["valid"], domain["days_left"]) == (True, 6)
    cdn.clock.move(days=7)
    domain = cdn.sslctl("list", "--json").json["domains"][0]
    assert (domain["status"], domain["reason"]["code"]) == ("Expired", "CERT_EXPIRED")
    assert (domain["reason"]["also"], domain["reason"]["owner"]) == ("CNAME_ELSEWHERE", "customer")
    assert "CERT_EXPIRED CNAME_ELSEWHERE" in cdn.sslctl("list").stdout
