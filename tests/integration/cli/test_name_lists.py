"""Lists of domains (`--from-file`): plain and CSV, with every problem in them; `add --dry-run`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslctl.certificates.x509 import make_key
from tests.support.cdn import Cdn

ONE, TWO, THREE = "one.example.com", "two.example.com", "three.example.com"
WWW, M = "www.example.com", "m.example.com"


def recorded(cdn: Cdn) -> dict[str, list[str]]:
    """Return the managed domains with their other names."""
    return {each["domain"]: each["sans"] for each in cdn.sslctl("list", "--json").json["domains"]}


def add(cdn: Cdn, text: str, *options: str) -> tuple[int, str]:
    """Record the list `text`; return the exit code and the messages before the summary."""
    result = cdn.sslctl("add", "--no-wait", "--from-file", "-", *options, stdin=text)
    *messages, last = result.stderr.splitlines(keepends=True) or [""]
    return result.exit_code, "".join(messages) if " recorded" in last else result.stderr


@pytest.mark.parametrize("separator", [" ", "\t", ",", ", ", ";", " ; ", "  "], ids=ascii)
def test_add_takes_the_names_after_the_first_as_other_names(cdn: Cdn, separator: str) -> None:
    text = f"{separator.join((ONE, WWW, M))}{separator}\n{TWO} # {THREE}\n"
    assert add(cdn, text) == (0, "")
    assert recorded(cdn) == {ONE: [WWW, M], TWO: []}


def test_add_orders_one_certificate_for_the_names_on_a_line(cdn: Cdn) -> None:
    for name in (ONE, WWW, TWO):
        cdn.add_domain(name)
    assert cdn.sslctl("add", "--from-file", "-", stdin=f"{ONE} {WWW}\n{TWO}\n").exit_code == 0
    assert sorted(cdn.issuer.orders) == [(ONE, WWW), (TWO,)]


def test_add_of_a_list_changes_the_other_names_only_of_lines_that_have_some(cdn: Cdn) -> None:
    add(cdn, f"{ONE} {WWW}\n{TWO} {M}\n")
    assert add(cdn, f"{ONE} m.{ONE}\n{TWO}\n{THREE} www.{THREE}\n") == (0, "")
    assert recorded(cdn) == {ONE: [f"m.{ONE}"], TWO: [M], THREE: [f"www.{THREE}"]}


def test_add_of_a_list_restores_a_deleted_domain_with_the_other_names_of_its_line(cdn: Cdn) -> None:
    add(cdn, f"{ONE}\n{TWO}\n")
    cdn.sslctl("delete", "--yes", "--keep-on-c4", ONE)
    assert add(cdn, f"{ONE} {WWW}\n{TWO} {M}\n") == (0, "")
    assert recorded(cdn) == {ONE: [WWW], TWO: [M]}


def test_every_bad_line_of_a_list_is_printed_with_its_reason(cdn: Cdn) -> None:
    text = "".join(f"{ONE}\na_{number}.example.com\n" for number in range(60))
    code, messages = add(cdn, text)
    assert code == 2
    errors = [line for line in messages.splitlines() if line.startswith("sslctl: error: <stdin>, line ")]
    assert [int(line.split()[4].rstrip(":")) for line in errors] == list(range(2, 121, 2))
    assert all("underscore" in line for line in errors)
    assert messages.splitlines()[-1] == "sslctl: error: 60 names or lines cannot be used; nothing was done"
    assert recorded(cdn) == {}


def test_thousands_of_bad_lines_are_printed_up_to_a_hundred_and_counted(cdn: Cdn) -> None:
    code, messages = add(cdn, "".join(f"a_{number}.example.com\n" for number in range(5000)))
    lines = messages.splitlines()
    assert (code, len(lines)) == (2, 102)
    assert "<stdin>, line 100:" in lines[99]
    assert lines[100:] == [
        "sslctl: and 4900 more like these",
        "sslctl: error: 5000 names or lines cannot be used; nothing was done",
    ]


def test_every_bad_name_on_a_line_is_printed(cdn: Cdn) -> None:
    code, messages = add(cdn, f"{ONE} a_b.example.com *.example.com\n")
    assert code == 2
    assert "a_b.example.com" in messages
    assert "wildcard" in messages


def test_domain_that_is_listed_twice_is_merged_with_a_note(cdn: Cdn) -> None:
    code, messages = add(cdn, f"{ONE} {WWW}\n{TWO}\nONE.example.com. {M} {WWW}\n")
    assert code == 0
    assert messages.splitlines() == [
        'sslctl: note: <stdin>, line 3: "ONE.example.com." is given twice, first in <stdin>, line 1; the two are merged',
        f"sslctl: note: <stdin>, line 3: {WWW} is given twice for {ONE}; it is used once",
    ]
    assert recorded(cdn) == {ONE: [WWW, M], TWO: []}


def test_notes_about_thousands_of_duplicates_are_counted_too(cdn: Cdn) -> None:
    code, messages = add(cdn, f"{ONE}\n" * 3000)
    assert (code, len(messages.splitlines())) == (0, 101)
    assert messages.endswith("sslctl: and 2899 more like these\n")


@pytest.mark.parametrize("text", [f"{ONE} {WWW}\n{WWW}\n", f"{WWW}\n{ONE} {WWW}\n"], ids=["after", "before"])
def test_name_that_is_a_domain_and_another_name_in_one_list_is_refused(cdn: Cdn, text: str) -> None:
    code, messages = add(cdn, text)
    assert code == 2
    assert f"{WWW} cannot be another name of {ONE} and a domain of its own (<stdin>, line" in messages
    assert recorded(cdn) == {}


def test_other_name_of_a_managed_domain_is_refused_on_a_line_with_other_names(cdn: Cdn) -> None:
    add(cdn, f"{ONE} {WWW}\n")
    code, messages = add(cdn, f"{WWW} {M}\n{TWO} {THREE}\n")
    assert code == 5
    assert f"the certificate of {ONE} has the name {WWW} already" in messages
    assert recorded(cdn) == {ONE: [WWW], TWO: [THREE]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"https://{ONE}/path?x=1", f"it is a URL; use the name alone, {ONE}"),
        (f"HTTP://{ONE}:8080", f"it is a URL; use the name alone, {ONE}"),
        ("https://user@host/", "it is a URL; use the name alone\n"),
        (f"https://{ONE}/*", "it is a wildcard, which HTTP-01 cannot validate\n"),
        (f"{ONE}..", "it ends with more than one dot"),
        (f"{ONE}/", "it contains a path"),
        (f"{ONE}\x1f{TWO}", "it contains white space"),
        (",;", "it has separators and no name"),
    ],
    ids=ascii,
)
def test_line_that_is_no_name_is_explained(cdn: Cdn, text: str, message: str) -> None:
    code, messages = add(cdn, f"{text}\n")
    assert code == 2
    assert message in messages


# CSV


@pytest.mark.parametrize(
    "text",
    [
        f"domain,sans\n{ONE},{WWW} {M}\n{TWO},\n",
        f"\n# exported\n Domain , SANs\n{ONE},{WWW};{M}\n\n# none\n{TWO}\n",
        f'sans,domain\n"{WWW},{M}","{ONE}"\n,{TWO}\n',
        f'domain;sans\n{ONE};"{WWW};{M}"\n{TWO};\n',
        f"domain\tsans\n{ONE}\t{WWW} {M}\n{TWO}\t\n",
        f'domain,sans\n{ONE},"{WWW}\n{M}"\n{TWO},\n'.replace("\n", "\r\n").replace(f"{WWW}\r\n", f"{WWW} "),
        f'"domain","sans"\n"{ONE}", "{WWW} {M}"\n"{TWO}",""\n,\n',
    ],
    ids=["commas", "comments", "quoted", "semicolons", "tabs", "crlf", "all quoted"],
)
def test_add_reads_csv_with_a_header(cdn: Cdn, text: str) -> None:
    assert add(cdn, text) == (0, "")
    assert recorded(cdn) == {ONE: [WWW, M], TWO: []}


def test_columns_that_are_not_used_are_named(cdn: Cdn) -> None:
    code, messages = add(cdn, f"domain,sans,customer,Notes\n{ONE},,Shop & Co,\n")
    assert code == 0
    assert messages.splitlines() == [
        "sslctl: note: <stdin>, line 1: ignored columns: notes",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"domain,sans\n{ONE},{WWW},{M}\n", "line 2: it has 3 fields, and the header 2"),
        (f"domain,sans\n{ONE},\n,{WWW}\n", "line 3: it has no domain"),
        (f"domain,domain\n{ONE},{TWO}\n", 'line 1: the header has the column "domain" more than once'),
        (f'domain,sans\n{ONE},"{WWW}\n{TWO},\n', "line 2: it is not valid CSV"),
        (f'domain,"sans\n{ONE},\n', "line 1: the header is not valid CSV"),
        (f'domain,notes\n{ONE},"a\nb"\na_b.example.com,\n', "line 4: "),
        ("domain,sans\n", "<stdin> contains no domain names"),
        (f"domain,sans\n{ONE},{WWW} a_b.example.com\n", "line 2: "),
        (f"domain,notes\n{ONE},{'x' * 140000}\n", "line 2: it is not valid CSV"),
    ],
    ids=[
        "fields",
        "no domain",
        "columns",
        "open quote",
        "header",
        "line numbers",
        "header only",
        "sans",
        "huge",
    ],
)
def test_problem_in_csv_is_reported_with_its_line(cdn: Cdn, text: str, message: str) -> None:
    code, messages = add(cdn, text)
    assert code == 2
    assert message in messages
    assert recorded(cdn) == {}


# --dry-run


def test_dry_run_prints_what_would_be_recorded_and_changes_nothing(cdn: Cdn) -> None:
    add(cdn, f"{ONE} {WWW}\n{TWO} {M}\n{THREE}\n")
    before, events = recorded(cdn), cdn.sslctl("audit", "list").stdout
    requests = len(cdn.c4.requests)
    text = f"{ONE} m.{ONE}\n{TWO}\n{M}\nnew.example.com www.new.example.com\n"
    result = cdn.sslctl("add", "--dry-run", "--from-file", "-", stdin=text)
    assert result.exit_code == 5
    assert result.stdout.splitlines() == [
        f"{ONE}: would be changed, with m.{ONE}, without {WWW}",
        f"{TWO}: managed already, with {M}",
        "new.example.com: would be recorded, with www.new.example.com",
        "Nothing was recorded: 1 new, 1 to change, 1 managed already, 1 refused.",
    ]
    assert f"error: {M}: the certificate of {TWO} has the name {M} already" in result.stderr
    assert (recorded(cdn), cdn.sslctl("audit", "list").stdout) == (before, events)
    assert (len(cdn.c4.requests), cdn.issuer.orders, cdn.zone.queries) == (requests, [], [])


def test_dry_run_agrees_with_the_run_that_follows(cdn: Cdn) -> None:
    add(cdn, f"{ONE} {WWW}\n{TWO}\n")
    for name in (M, THREE):
        add(cdn, f"{name}\n")
    cdn.sslctl("delete", "--yes", "--keep-on-c4", THREE)
    text = f"{WWW}\n{TWO} x.{TWO}\n{M}\n{THREE}\n"
    planned = cdn.sslctl("add", "--dry-run", "--no-wait", "--json", "--from-file", "-", stdin=text)
    rows = {row["domain"]: row for row in planned.json["would_record"]}
    assert {name: row["action"] for name, row in rows.items()} == {
        WWW: "refuse", TWO: "change", M: "none", THREE: "add",
    }  # fmt: skip
    assert (rows[WWW]["error"], planned.json["dry_run"]) == ("BAD_INPUT", True)
    code, _ = add(cdn, text)
    assert code == planned.exit_code == 5
    after = recorded(cdn)
    assert {name: after[name] for name in rows if name in after} == {
        name: row["sans"] for name, row in rows.items() if row["error"] is None
    }


def test_dry_run_refuses_one_name_as_the_run_does(cdn: Cdn) -> None:
    add(cdn, f"{ONE} {WWW}\n")
    planned, real = (cdn.sslctl("add", WWW, *options) for options in (["--dry-run"], []))
    assert (planned.exit_code, planned.stderr) == (real.exit_code, real.stderr)


def test_dry_run_needs_no_state_and_makes_none(new_cdn: Cdn) -> None:
    result = new_cdn.sslctl("add", ONE, "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{ONE}: would be recorded\n")
    assert not (new_cdn.folder / "state").exists()


def test_key_that_is_taken_for_a_list_is_not_printed(cdn: Cdn, tmp_path: Path) -> None:
    key = make_key("ecdsa")
    for content in (key, "".join(key.splitlines()[1:-1]), "\n".join(key.splitlines()[1:-1])):
        listed = tmp_path / "list"
        listed.write_text(content)
        result = cdn.sslctl("add", "--from-file", str(listed))
        assert result.exit_code == 2
        assert not any(
            line in result.stderr + result.stdout for line in key.splitlines()[1:-1] if len(line) > 30
        )
    listed.write_text(key)
    assert "is a PEM file and no list of domains" in cdn.sslctl("recheck", "--from-file", str(listed)).stderr
