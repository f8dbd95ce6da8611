"""`sslctl todo`: everything that needs a person, once for each reason, and nothing else."""

from __future__ import annotations

import shlex

import pytest

from sslctl.issuer import IssueError
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code
from tests.support import words
from tests.support.cdn import SUFFIX, Cdn
from tests.support.command_line import Terminal, run

AWAY, MOVED, OTHER, ROUTE, NEW, WAITS, WELL = (
    f"{label}.example.com" for label in ("away", "moved", "other", "route", "new", "waits", "well")
)

NEEDS = [
    ("operator", "OTHER_CERTIFICATE", "Acme Ltd", OTHER),
    ("customer", "CNAME_ELSEWHERE", "Acme Ltd", MOVED),
    ("customer", "CNAME_ELSEWHERE", "O'Neill & Sons", AWAY),
    ("cdn", "CHALLENGE_FAILED", None, ROUTE),
]


@pytest.fixture
def fleet(cdn: Cdn) -> Cdn:
    """Domains that need the customer, the CDN or the operator, in Failure or in Success, and some that need nobody."""
    for name in (WELL, MOVED, OTHER):
        cdn.add_domain(name, customer="Acme Ltd")
        assert cdn.sslctl("add", name).exit_code == 0
    cdn.clear_dns(MOVED)
    cdn.point(MOVED, "elsewhere.example.org")
    cdn.sslctl("recheck", MOVED)
    control_plane = cdn.app().control_plane
    control_plane.remove(OTHER)
    control_plane.upload(OTHER, cdn.text_pair(OTHER, days=60), Source.TEXT)
    cdn.sslctl("recheck", OTHER)
    cdn.add_domain(AWAY, points_at="elsewhere.example.org", customer="O'Neill & Sons")
    cdn.add_domain(ROUTE)
    cdn.add_domain(WAITS)
    cdn.sslctl("add", AWAY)
    cdn.issuer.refusals += [IssueError(Code.CHALLENGE_FAILED, "404"), IssueError(Code.CA_UNAVAILABLE, "503")]
    cdn.sslctl("add", ROUTE)
    cdn.sslctl("add", WAITS)
    cdn.sslctl("add", "--no-wait", NEW)
    return cdn


def needs(cdn: Cdn, *options: str) -> list[tuple[str, str, str | None, str]]:
    result = cdn.sslctl("todo", "--json", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    return [
        (group["owner"], group["code"], group["customer"], each["domain"])
        for group in result.json["groups"]
        for each in group["domains"]
    ]


def test_todo_has_each_reason_of_each_status_once_and_nothing_that_waits(fleet: Cdn) -> None:
    assert needs(fleet) == NEEDS
    totals = fleet.sslctl("todo", "--json").json["totals"]
    assert totals == {"domains": 4, "snoozed": 0, "abandoned": 0, "managed": 7}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--owner", "customer"], [MOVED, AWAY]),
        (["--owner", "nobody"], []),
        (["--owner", "cdn", "--owner", "operator"], [OTHER, ROUTE]),
        (["--customer", "Acme Ltd"], [OTHER, MOVED]),
        (["--customer", "Acme Ltd", "--owner", "customer"], [MOVED]),
        (["--customer", ""], [ROUTE]),
        (["--reason", "cname-elsewhere"], [MOVED, AWAY]),
        (["--warning", "cname-elsewhere"], [MOVED]),
        (["--status", "failure"], [ROUTE, AWAY]),
        (["--expiring-within", "61d"], [OTHER]),
        (["--source", "text"], []),
    ],
    ids=words,
)
def test_todo_filters(fleet: Cdn, options: list[str], expected: list[str]) -> None:
    assert [name for *_, name in needs(fleet, *options)] == expected


def test_todo_json_has_deadline_records_and_remarks(fleet: Cdn) -> None:
    fleet.sslctl("note", MOVED, "mailed Tuesday")
    fleet.sslctl("assign", MOVED, "alice")
    groups = fleet.sslctl("todo", "--owner", "customer", "--json").json["groups"]
    moved, away = (group["domains"][0] for group in groups)
    assert {key: moved[key] for key in ("status", "warning", "deadline", "left_seconds", "note", "assignee")} == {
        "status": "Success", "warning": True, "deadline": "2027-02-21T04:00:00Z", "left_seconds": 90 * 86_400,
        "note": "mailed Tuesday", "assignee": "alice",
    }  # fmt: skip
    assert moved["records"] == [
        {
            "type": "CNAME",
            "name": MOVED,
            "current": ["elsewhere.example.org"],
            "wanted": [f"{MOVED}.{SUFFIX}"],
        }
    ]
    assert (away["deadline"], away["left_seconds"], away["status"]) == (None, None, "Failure")


def test_todo_text_shows_deadline_record_sentence_and_next_command(fleet: Cdn) -> None:
    fleet.sslctl("note", AWAY, "mailed Tuesday")
    fleet.clock.move(days=2)
    lines = fleet.sslctl("todo").stdout.splitlines()
    assert lines == [
        "operator must act",
        "  OTHER_CERTIFICATE, 1 domain: Keep it with `sslctl adopt`, or replace it with `sslctl add`.",
        f"  next: sslctl adopt {OTHER}",
        "  customer Acme Ltd",
        f"    {OTHER}: Success, expires in 58 days (2027-01-22 12:00 SGT)",
        lines[5],
        "",
        "customer must act",
        "  CNAME_ELSEWHERE, 2 domains: The customer must point the CNAME at the CDN.",
        "  customer Acme Ltd",
        f"    next: sslctl message {MOVED}",
        f"    {MOVED}: Success, expires in 88 days (2027-02-21 12:00 SGT)",
        f"      CNAME {MOVED} → {MOVED}.{SUFFIX} (now elsewhere.example.org)",
        "  customer O'Neill & Sons",
        f"    next: sslctl message {AWAY}",
        f"    {AWAY}: Failure, never had a certificate, added 2 days ago",
        f"      CNAME {AWAY} → {AWAY}.{SUFFIX} (now elsewhere.example.org)",
        "      note: mailed Tuesday",
        "",
        "ca must act",
        "  CA_UNAVAILABLE, 1 domain: The next tick tries again.",
        f"  next: sslctl recheck {WAITS}",
        f"    {WAITS}: Pending, never had a certificate, added 2 days ago",
        "      The CA is not available: 503.",
        "",
        "cdn must act",
        "  CHALLENGE_FAILED, 1 domain: The CDN must route /.well-known/acme-challenge/ to sslctl's webroot or port; in stateless mode the edge must have the lines of `sslctl acme thumbprint`.",
        f"  next: sslctl check {ROUTE}",
        f"    {ROUTE}: Failure, never had a certificate, added 2 days ago",
        "      The CA could not validate the HTTP challenge: found 404, wanted nothing.",
        "",
        "5 domains need a person: 2 customer, 1 cdn, 1 ca, 1 operator.",
    ]
    assert lines[5].startswith("      C4 has a valid text certificate that sslctl did not install: found ")


def test_next_commands_work_when_pasted(fleet: Cdn) -> None:
    groups = fleet.sslctl("todo", "--json").json["groups"]
    for group in groups:
        name, *arguments = shlex.split(group["command"])
        result = fleet.sslctl(*arguments)
        assert (name, result.exit_code) in {("sslctl", 0), ("sslctl", 4)}, result
    assert OTHER not in [name for *_, name in needs(fleet)]


def test_todo_counts_snoozed_and_abandoned_domains_only(fleet: Cdn) -> None:
    assert fleet.sslctl("snooze", MOVED, "--until", "40d").exit_code == 0
    assert [name for *_, name in needs(fleet)] == [OTHER, ROUTE, AWAY]
    fleet.clock.move(days=30)
    result = fleet.sslctl("todo", "--owner", "customer")
    assert (
        result.stdout == "Nothing needs a person with --owner customer. Left out: 1 snoozed, 1 abandoned.\n"
    )
    # What the CDN must mend is never abandoned.
    assert ROUTE in fleet.sslctl("todo", "--owner", "cdn").stdout
    totals = fleet.sslctl("todo", "--json").json["totals"]
    assert totals == {"domains": 3, "snoozed": 1, "abandoned": 1, "managed": 7}


def test_todo_without_anything_to_do_is_one_sentence(cdn: Cdn) -> None:
    result = cdn.sslctl("todo")
    assert (result.exit_code, result.stdout) == (
        0,
        "Nothing needs a person: no domains are managed yet. Add one with `sslctl add DOMAIN`.\n",
    )
    cdn.add_domain(WELL, customer="Acme Ltd")
    cdn.sslctl("add", WELL)
    cdn.sslctl("add", "--no-wait", NEW)
    assert cdn.sslctl("todo").stdout == (
        "Nothing needs a person: 2 managed domains are well or only waiting.\n"
    )
    assert cdn.sslctl("todo", "--customer", "acme ltd").stdout == (
        "Nothing needs a person with --customer 'acme ltd'. Customers with a similar name: Acme Ltd.\n"
    )
    assert cdn.sslctl("todo", "--json").json["groups"] == []


def test_large_group_shows_the_most_urgent_and_the_command_that_shows_all(cdn: Cdn) -> None:
    never = [f"never{number:02}.example.com" for number in range(3)]
    served = [f"served{number:02}.example.com" for number in range(11)]
    for number, name in enumerate([*reversed(served), *never]):
        cdn.add_domain(name, customer="O'Neill & Sons" if number % 2 else "")
        if name in served:
            assert cdn.sslctl("add", name).exit_code == 0
        cdn.clear_dns(name)
        cdn.point(name, "elsewhere.example.org")
        cdn.sslctl("recheck" if name in served else "add", name)
        cdn.clock.move(hours=6)
    assert [name for *_, name in needs(cdn, "--customer", "")][:2] == [served[10], served[8]]
    text = cdn.sslctl("todo").stdout
    shown = [name for name in [*served, *never] if f"    {name}: " in text]
    assert shown == sorted(served[1:])
    (command,) = [line for line in text.splitlines() if "more: " in line]
    assert command == "  and 4 more: sslctl todo --owner customer --reason CNAME_ELSEWHERE --all"
    everything = cdn.sslctl(*shlex.split(command.partition(": ")[2])[1:]).stdout
    assert {name for name in [*served, *never] if f"    {name}: " in everything} == {*served, *never}
    listed = cdn.sslctl("list", "--owner", "customer", "--reason", "CNAME_ELSEWHERE", "--json").json[
        "domains"
    ]
    assert {each["domain"] for each in listed} == {*served, *never}
    filtered = cdn.sslctl(
        "todo", "--customer", "O'Neill & Sons", "--customer", "", "--expiring-within", "3000h"
    )
    (command,) = [line for line in filtered.stdout.splitlines() if "more: " in line]
    everything = cdn.sslctl(*shlex.split(command.partition(": ")[2])[1:]).stdout
    assert {name for name in [*served, *never] if f"    {name}: " in everything} == {*served}


@pytest.mark.parametrize("columns", [80, 140])
def test_todo_fits_the_terminal_and_keeps_records_and_commands_whole(fleet: Cdn, columns: int) -> None:
    with Terminal(fleet, "todo", columns=columns) as terminal:
        assert terminal.end() == 0
    whole = [f"CNAME {name} → {name}.{SUFFIX} (now elsewhere.example.org)" for name in (MOVED, AWAY)]
    whole.append(f"next: sslctl adopt {OTHER}")
    assert terminal.lines[-1] == f"next: sslctl adopt {OTHER}"
    stripped = [line.strip() for line in terminal.lines]
    assert set(whole) <= set(stripped)
    assert all(len(line) <= columns for line in terminal.lines if line.strip() not in whole)
    assert "\x1b[" in terminal.screen


def test_todo_in_a_file_has_no_colour_and_an_arrow_that_the_locale_can_write(fleet: Cdn) -> None:
    ascii_only = run(fleet, "todo", "--customer", "Acme Ltd", PYTHONIOENCODING="ascii")
    assert f"      CNAME {MOVED} -> {MOVED}.{SUFFIX} (now elsewhere.example.org)\n" in ascii_only.stdout
    assert "\x1b" not in ascii_only.stdout
    assert "\\u2192" not in ascii_only.stdout
    assert f"CNAME {MOVED} → " in run(fleet, "todo", PYTHONIOENCODING="utf-8").stdout
