"""`note`, `assign` and `customer`: what they accept, record, print and show elsewhere."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from sslctl.rules.claim_names import domain_claim
from tests.support.cdn import Cdn
from tests.support.store_cases import database_of, look_into

ONE, TWO, THREE = "one.example.com", "two.example.com", "three.example.com"
WWW = "www.example.com"


@pytest.fixture
def fleet(cdn: Cdn) -> Cdn:
    """Three domains that were recorded; the certificate of one has another name."""
    assert cdn.sslctl("add", "--no-wait", "--san", WWW, ONE).exit_code == 0
    assert cdn.sslctl("add", "--no-wait", TWO, THREE).exit_code == 0
    return cdn


def recorded(cdn: Cdn, field: str) -> dict[str, Any]:
    return {each["domain"]: each[field] for each in cdn.sslctl("list", "--json").json["domains"]}


def events(cdn: Cdn, name: str) -> list[tuple[str, str]]:
    found = cdn.sslctl("view", name, "--json").json["domain"]["events"]
    return [(event["kind"], event["detail"]) for event in found if event["kind"] != "added"]


class Text(NamedTuple):
    """A command that records a text: the JSON field, the option, the event, and what is printed with and without a text."""

    command: str
    field: str
    option: str
    kind: str
    printed: str
    removed: str


TEXTS = [
    Text("note", "note", "--text", "note", 'note "{}"', "note none"),
    Text("assign", "assignee", "--to", "assigned", "assigned to {}", "assigned to nobody"),
    Text("customer", "customer", "--name", "customer", 'customer "{}"', "customer none"),
]
texts = pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.command)


@texts
def test_value_is_recorded_replaced_and_removed(fleet: Cdn, text: Text) -> None:
    result = fleet.sslctl(text.command, ONE, "mailed Tuesday")
    assert (result.exit_code, result.stdout) == (0, f"{ONE}: {text.printed.format('mailed Tuesday')}\n")
    assert recorded(fleet, text.field) == {ONE: "mailed Tuesday", TWO: None, THREE: None}
    assert (
        fleet.sslctl(text.command, ONE, text.option, "called").stdout
        == f"{ONE}: {text.printed.format('called')}\n"
    )
    assert fleet.sslctl(text.command, ONE, "--clear").stdout == f"{ONE}: {text.removed}\n"
    assert fleet.sslctl(text.command, ONE, "").exit_code == 0
    assert recorded(fleet, text.field)[ONE] is None
    assert events(fleet, ONE) == [
        (text.kind, '"mailed Tuesday"'),
        (text.kind, '"called"; was "mailed Tuesday"'),
        (text.kind, 'removed; was "called"'),
    ]


@texts
def test_several_domains_and_lists_get_the_same_value(fleet: Cdn, text: Text) -> None:
    assert fleet.sslctl(text.command, ONE, TWO, text.option, "x y").exit_code == 0
    assert recorded(fleet, text.field) == {ONE: "x y", TWO: "x y", THREE: None}
    result = fleet.sslctl(
        text.command, "--from-file", "-", "--json", text.option, "z", stdin=f"{TWO}\n{THREE}\n"
    )
    assert [(each["domain"], each[text.field], each["error"]) for each in result.json["domains"]] == [
        (TWO, "z", None),
        (THREE, "z", None),
    ]
    assert fleet.sslctl(text.command, "--from-file", "-", "--clear", stdin=f"{ONE}\n{TWO}\n").stdout == (
        f"{ONE}: {text.removed}\n{TWO}: {text.removed}\n"
    )
    assert recorded(fleet, text.field) == {ONE: None, TWO: None, THREE: "z"}


@texts
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "name a domain"),
        ((ONE,), 2, "or --clear"),
        ((ONE, "mailed", "Tuesday"), 2, "put quotes around"),
        ((ONE, TWO), 2, f"{TWO} is a managed domain; if it is the"),
        ((ONE, TWO.upper()), 2, "is a managed domain"),
        ((ONE, "OPTION", "x", "--clear"), 2, "exclude each other"),
        (("OPTION", "x"), 2, "name a domain"),
        (("--clear",), 2, "name a domain"),
        (("unknown.example.com", "x"), 9, "unknown.example.com is not managed here"),
        ((WWW, "x"), 9, f"another name of the certificate of {ONE}"),
        ((ONE, "unknown.example.com", "OPTION", "x"), 9, "nothing was done"),
        ((ONE, WWW, "--clear"), 9, "nothing was done"),
        (("no name", "x"), 2, "no name"),
        ((ONE, "x" * 501), 2, "has 501 characters; the most is"),
        ((ONE, "\u202e"), 2, "no visible character"),
    ],
)
def test_wrong_arguments_are_refused_and_change_nothing(
    fleet: Cdn, text: Text, arguments: tuple[str, ...], code: int, message: str
) -> None:
    fleet.sslctl(text.command, ONE, "before")
    result = fleet.sslctl(text.command, *(text.option if each == "OPTION" else each for each in arguments))
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert recorded(fleet, text.field) == {ONE: "before", TWO: None, THREE: None}


def test_value_that_is_a_managed_domain_is_recorded_if_the_option_names_it(fleet: Cdn) -> None:
    assert fleet.sslctl("note", ONE, "--text", TWO).exit_code == 0
    assert recorded(fleet, "note")[ONE] == TWO


def test_deleted_domain_is_refused_and_starts_fresh_when_it_is_added_again(fleet: Cdn) -> None:
    for command in ("note", "assign", "customer"):
        fleet.sslctl(command, ONE, "before")
    fleet.sslctl("delete", "--yes", "--keep-on-c4", ONE)
    result = fleet.sslctl("note", ONE, "x")
    assert (result.exit_code, f"{ONE} was deleted" in result.stderr) == (9, True)
    fleet.sslctl("add", "--no-wait", ONE)
    view = fleet.sslctl("view", ONE, "--json").json["domain"]
    assert [view[field] for field in ("customer", "note", "assignee", "snoozed_until")] == [None] * 4
    assert ("note", '"before"') in events(fleet, ONE)


def test_note_while_another_process_works_on_the_domain_is_recorded(fleet: Cdn) -> None:
    app = fleet.app()
    assert app.store.claim([domain_claim(ONE)], timedelta(hours=1))
    before = app.store.domain(ONE)
    assert fleet.sslctl("note", ONE, "x").exit_code == 0
    assert app.store.record_finding(before, before.finding).remarks.note == "x"
    app.close()


def test_view_list_and_csv_show_what_was_recorded(fleet: Cdn) -> None:
    fleet.sslctl("customer", ONE, "Acme & Söhne")
    fleet.sslctl("note", ONE, "=cmd|' /C calc'!A0")
    fleet.sslctl("assign", ONE, "@alice")
    view = fleet.sslctl("view", ONE).stdout
    assert (
        "  Customer:      Acme & Söhne\n  Assigned to:   @alice\n  Team note:     =cmd|' /C calc'!A0\n"
        in view
    )
    rows = list(csv.DictReader(io.StringIO(fleet.sslctl("list", "--csv").stdout)))
    assert list(rows[0])[-5:] == ["customer", "note", "assignee", "snoozed_until", "unconfirmed"]
    # No cell begins like a formula.
    assert [rows[0][column] for column in ("domain", "customer", "note", "assignee", "snoozed_until")] == [
        ONE, "Acme & Söhne", "'=cmd|' /C calc'!A0", "'@alice", "",
    ]  # fmt: skip
    assert [rows[1][column] for column in ("customer", "note", "assignee", "snoozed_until")] == [""] * 4


@pytest.mark.parametrize("column", ["recorded_customer", "note", "assignee"])
def test_no_command_prints_control_characters_out_of_what_was_recorded(fleet: Cdn, column: str) -> None:
    hostile = "a\x1b]0;owned\x07b\x1b[31mc\u202egpj.exe\x9b2J\rd\u200b"
    with look_into(database_of(fleet.folder / "state")) as connection:
        connection.execute(f"UPDATE domain SET {column} = ?", (hostile,))  # noqa: S608 - a column's name
    for command in (("list", "--json"), ("list", "--csv"), ("view", ONE), ("view", ONE, "--json")):
        output = fleet.sslctl(*command).stdout.replace("\r\n", "\n")
        assert "gpj.exe" in output
        assert [it for it in ("\x1b", "\x07", "\x9b", "\r", "\u202e", "\u200b") if it in output] == []


def test_damaged_snooze_is_reported_and_nothing_is_shown_instead(fleet: Cdn) -> None:
    with look_into(database_of(fleet.folder / "state")) as connection:
        connection.execute('UPDATE domain SET snooze = \'{"until": "soon"}\'')
    assert fleet.sslctl("list", "--json").exit_code == 8


# Customers


def test_recorded_customer_counts_and_view_shows_both(cdn: Cdn) -> None:
    cdn.add_domain(ONE, customer="acme")
    cdn.add_domain(TWO)
    assert cdn.sslctl("add", "--customer", "globex", ONE, TWO).exit_code == 0
    assert recorded(cdn, "customer") == {ONE: "globex", TWO: "globex"}
    assert "Customer:      globex (recorded here; C4 names acme)" in cdn.sslctl("view", ONE).stdout
    view = cdn.sslctl("view", ONE, "--json").json["domain"]
    assert (view["customer"], view["customer_recorded"]) == ("globex", "globex")
    result = cdn.sslctl("customer", ONE, "initech")
    assert result.stdout == f'{ONE}: customer "initech"; C4 names "acme"\n'


def test_add_keeps_the_recorded_customer_unless_another_one_is_given(cdn: Cdn) -> None:
    for arguments, customer in (
        (("--customer", "acme"), "acme"),
        ((), "acme"),
        (("--customer", "globex"), "globex"),
        (("--customer", ""), None),
    ):
        assert cdn.sslctl("add", "--no-wait", ONE, *arguments).exit_code == 0
        assert recorded(cdn, "customer") == {ONE: customer}


def test_add_records_the_customers_of_a_list(cdn: Cdn) -> None:
    text = f"Domain;Sans;CUSTOMER\n{ONE};;Acme Ltd\n{TWO};{WWW}; \n{THREE};;globex\n{THREE};;globex\n"
    result = cdn.sslctl("add", "--no-wait", "--from-file", "-", stdin=text)
    assert (result.exit_code, "ignored" in result.stderr) == (0, False)
    assert recorded(cdn, "customer") == {ONE: "Acme Ltd", TWO: None, THREE: "globex"}
    text = f"domain,customer\n{ONE},initech\n{TWO},\n"
    assert cdn.sslctl("add", "--no-wait", "--from-file", "-", stdin=text).exit_code == 0
    assert recorded(cdn, "customer") == {ONE: "initech", TWO: None, THREE: "globex"}


def test_customers_of_a_list_of_thousands_are_recorded(cdn: Cdn) -> None:
    names = [f"d{number:04}.example.com" for number in range(2500)]
    text = "domain,customer\n" + "".join(f"{name},c{name[1:3]}\n" for name in names)
    assert cdn.sslctl("add", "--no-wait", "--from-file", "-", stdin=text).exit_code == 0
    assert recorded(cdn, "customer") == {name: f"c{name[1:3]}" for name in names}
    result = cdn.sslctl(
        "customer", "--from-file", "-", stdin=text.replace(",c", ",d").replace("domain,d", "domain,c")
    )
    assert result.stdout.splitlines()[99:] == [
        'd0099.example.com: customer "d00"',
        "and 2400 more like these",
    ]
    assert recorded(cdn, "customer") == {name: f"d{name[1:3]}" for name in names}
    assert cdn.sslctl("audit", "verify").exit_code == 0


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (f"domain,customer\n{ONE},acme\n{ONE},globex\n", (), 'two customers, "acme" and "globex"'),
        (f"domain,customer\n{ONE},{'x' * 101}\n", (), "line 2: the customer's name has 101 characters"),
        (f"domain,customer\n{ONE},\u202e\n", (), "line 2: the customer's name has no visible character"),
        (f"domain,customer,customer\n{ONE},a,b\n", (), 'the column "customer" more than once'),
        (f"domain,customer\n{ONE},acme\n", ("--customer", "acme"), "cannot be combined with --customer"),
        (ONE, ("--customer", "x" * 101), "has 101 characters"),
    ],
)
def test_customer_that_cannot_be_used_is_refused_and_nothing_is_recorded(
    cdn: Cdn, text: str, options: tuple[str, ...], message: str
) -> None:
    cdn.sslctl("init")
    result = cdn.sslctl("add", "--no-wait", "--from-file", "-", *options, stdin=text)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert recorded(cdn, "customer") == {}


def test_dry_run_prints_the_customers_that_would_be_recorded(cdn: Cdn) -> None:
    cdn.sslctl("add", "--no-wait", "--customer", "acme", ONE, TWO)
    text = f"domain,customer\n{ONE},acme\n{TWO},globex\n{THREE},initech\n"
    result = cdn.sslctl("add", "--dry-run", "--from-file", "-", stdin=text)
    assert result.stdout.splitlines() == [
        f"{ONE}: managed already",
        f"{TWO}: would be changed, customer globex",
        f"{THREE}: would be recorded, customer initech",
        "Nothing was recorded: 1 new, 1 to change, 1 managed already, 0 refused.",
    ]
    plan = cdn.sslctl("add", "--dry-run", "--json", "--from-file", "-", stdin=text).json["would_record"]
    assert [(each["action"], each["customer"]) for each in plan] == [
        ("none", None),
        ("change", "globex"),
        ("add", "initech"),
    ]
    assert recorded(cdn, "customer") == {ONE: "acme", TWO: "acme"}


def test_customer_reads_the_customers_of_a_list(fleet: Cdn) -> None:
    text = f"domain,customer\n{ONE},acme\n{TWO},globex\n"
    result = fleet.sslctl("customer", "--from-file", "-", stdin=text)
    assert (result.exit_code, result.stdout) == (0, f'{ONE}: customer "acme"\n{TWO}: customer "globex"\n')
    result = fleet.sslctl("customer", "--from-file", "-", stdin=f"domain,customer\n{ONE},x\n{TWO},\n")
    assert (result.exit_code, f"line 3: {TWO} has no customer in the list" in result.stderr) == (2, True)
    result = fleet.sslctl("customer", "--from-file", "-", stdin="domain,customer\nunknown.example.com,x\n")
    assert result.exit_code == 9
    assert recorded(fleet, "customer") == {ONE: "acme", TWO: "globex", THREE: None}


def test_other_commands_ignore_the_customers_of_a_list_with_a_note(fleet: Cdn) -> None:
    result = fleet.sslctl("assign", "--to", "bob", "--from-file", "-", stdin=f"domain,customer\n{ONE},acme\n")
    assert (result.exit_code, "they are ignored" in result.stderr) == (0, True)
    assert recorded(fleet, "customer")[ONE] is None
