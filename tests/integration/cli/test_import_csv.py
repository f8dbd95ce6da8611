"""`sslctl import csv`: domains from a spreadsheet, with what it says about them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cdn import Cdn, Result

ONE, TWO, THREE = "one.example.com", "two.example.com", "three.example.com"
WWW = "www.example.com"


def imports(cdn: Cdn, text: str, *options: str) -> Result:
    return cdn.sslctl("import", "csv", "-", *options, stdin=text)


def view(cdn: Cdn, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cdn.sslctl("view", name, "--json").json["domain"]
    return found


def managed(cdn: Cdn) -> list[str]:
    return [each["domain"] for each in cdn.sslctl("list", "--json").json["domains"]]


def rows(result: Result) -> list[tuple[str, str, list[str]]]:
    return [(each["domain"], each["action"], each["changes"]) for each in result.json["domains"]]


def test_every_column_is_recorded(cdn: Cdn) -> None:
    text = (
        "domain,sans,customer,note,assignee,key_type,profile,preferred_chain\n"
        f'{ONE},{WWW},Acme Ltd,"moves, soon",ann,p384,shortlived,ISRG Root X1\n{TWO},,,,,,,\n'
    )
    result = imports(cdn, text)
    assert (result.exit_code, result.stdout) == (0, f"{ONE}: recorded\n{TWO}: recorded\n")
    assert result.stderr.startswith("sslctl: 2 domains: 2 new\n")
    found = view(cdn, ONE)
    assert [found[key] for key in ("sans", "customer", "note", "assignee")] == [
        [WWW], "Acme Ltd", "moves, soon", "ann",
    ]  # fmt: skip
    assert found["choice"] == {
        "key_type": "p384",
        "profile": "shortlived",
        "preferred_chain": "ISRG Root X1",
    }
    assert view(cdn, TWO)["customer"] is None


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeffDomain;Customer;\r\n{ONE};Acme;\r\n{TWO};;\r\n",
        f"domain\tcustomer\n{ONE}\tAcme\n{TWO}\t\n",
        f'customer,domain\n"Acme","{ONE}"\n,{TWO}\n',
    ],
    ids=["semicolons, BOM and CRLF", "tabs", "quoted, in another order"],
)
def test_import_reads_what_spreadsheets_write(cdn: Cdn, text: str) -> None:
    assert imports(cdn, text).exit_code == 0
    assert (managed(cdn), view(cdn, ONE)["customer"]) == ([ONE, TWO], "Acme")


def test_second_run_changes_nothing(cdn: Cdn) -> None:
    text = f"domain,customer,note,key_type\n{ONE},Acme,moves,p384\n{TWO},,,\n"
    imports(cdn, text)
    before = cdn.sslctl("audit", "list", "--json").json["events"]
    result = imports(cdn, text)
    assert (result.exit_code, result.stdout) == (0, f"{ONE}: nothing to change\n{TWO}: nothing to change\n")
    assert cdn.sslctl("audit", "list", "--json").json["events"] == before


def test_edited_table_changes_what_was_edited(cdn: Cdn) -> None:
    imports(cdn, f"domain,customer,note,key_type\n{ONE},Acme,moves,p384\n{TWO},,,\n")
    result = imports(cdn, f"domain,customer,note,key_type\n{ONE},Acme,stays,default\n{TWO},,,\n", "--json")
    assert rows(result) == [(ONE, "change", ["note", "key_type"]), (TWO, "none", [])]
    assert (view(cdn, ONE)["note"], view(cdn, ONE)["choice"]["key_type"]) == ("stays", None)


def test_export_is_read_back_without_a_change(cdn: Cdn) -> None:
    cdn.add_domain(ONE, customer="named by C4")
    cdn.add_domain(TWO)
    assert cdn.sslctl("add", ONE).exit_code == 0
    assert cdn.sslctl("add", TWO, *cdn.paste(cdn.text_pair(TWO))).exit_code == 0
    cdn.sslctl("note", ONE, "=1+1")
    exported = cdn.sslctl("export", "inventory").stdout
    assert "'=1+1" in exported
    before = cdn.sslctl("audit", "list", "--json").json["events"]
    assert rows(imports(cdn, exported, "--json")) == [(ONE, "none", []), (TWO, "none", [])]
    assert cdn.sslctl("audit", "list", "--json").json["events"] == before


def test_export_makes_the_same_domains_in_a_new_state(new_cdn: Cdn) -> None:
    text = f"domain,status,source,sans,customer,note,assignee\n{ONE},Success,c4,{WWW},Acme,'=1+1,ann\n"
    result = imports(new_cdn, text)
    assert (result.exit_code, "created a new state" in result.stderr) == (0, True)
    found = view(new_cdn, ONE)
    assert [found[key] for key in ("sans", "customer", "note")] == [[WWW], "Acme", "=1+1"]


def test_text_certificate_stays_one_and_gets_remarks(cdn: Cdn) -> None:
    cdn.add_domain(ONE)
    assert cdn.sslctl("add", ONE, *cdn.paste(cdn.text_pair(ONE))).exit_code == 0
    result = imports(cdn, f"domain,note\n{ONE},theirs\n", "--json")
    assert (rows(result), view(cdn, ONE)["source"]) == ([(ONE, "change", ["note"])], "text")
    refused = imports(cdn, f"domain,note,key_type\n{ONE},ours,p384\n", "--json")
    assert (refused.exit_code, refused.json["domains"][0]["action"]) == (5, "refuse")
    assert (view(cdn, ONE)["source"], view(cdn, ONE)["note"]) == ("text", "theirs")


def test_dry_run_records_nothing(new_cdn: Cdn) -> None:
    result = imports(new_cdn, f"domain,note\n{ONE},moves\n", "--dry-run")
    assert (result.exit_code, result.stdout) == (0, f"{ONE}: would be recorded\n")
    assert result.stderr == "sslctl: 1 domain: 1 new; nothing was recorded\n"
    assert not (new_cdn.folder / "state").exists()


def test_deleted_domain_is_taken_up_again(cdn: Cdn) -> None:
    imports(cdn, f"domain\n{ONE}\n")
    cdn.sslctl("delete", ONE, "--yes", "--keep-on-c4")
    assert rows(imports(cdn, f"domain,note\n{ONE},back\n", "--json")) == [(ONE, "add", [])]
    assert view(cdn, ONE)["note"] == "back"


def test_name_in_the_certificate_of_another_domain_is_refused_and_the_rest_go_on(cdn: Cdn) -> None:
    imports(cdn, f"domain,sans\n{ONE},{WWW}\n")
    result = imports(cdn, f"domain\n{WWW}\n{TWO}\n")
    assert (result.exit_code, result.stdout) == (5, f"{TWO}: recorded\n")
    assert f"error: {WWW}: the certificate of {ONE} has the name" in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"domain,kunde,\n{ONE},Acme,\n", "line 1: unknown column kunde; nothing was done"),
        (f"{ONE}\n{TWO}\n", "has no header with the column domain"),
        ("", "has no header with the column domain"),
        ("domain,note\n", "contains no domain names"),
        (f"domain,note,note\n{ONE},a,b\n", 'the header has the column "note" more than once'),
        (f"domain,note,\n{ONE},a,lost\n", "line 2: it has a field in a column without a name"),
        (f"domain,note\n{ONE},{'x' * 501}\n", "line 2: the note has 501 characters"),
        (f"domain,key_type\n{ONE},dsa\n", 'line 2: unknown key type "dsa"'),
        (f"domain,profile\n{ONE},a b\n", "line 2: 'a b' cannot be a profile"),
        (f"domain,note\n{ONE},a\n{ONE},b\n", f'{ONE} is listed with two notes, "a" and "b"'),
        (f"domain\n{ONE}\n*.example.com\n", "line 3: "),
        ("\x00\x01\xff\xfe", "is not text in UTF-8 or UTF-16"),
    ],
)
def test_file_that_cannot_be_used_records_nothing(cdn: Cdn, text: str, message: str) -> None:
    path = cdn.folder / "table.csv"
    path.write_bytes(text.encode("latin-1" if "\xff" in text else "utf-8"))
    result = cdn.sslctl("import", "csv", str(path))
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert managed(cdn) == []


def test_every_bad_line_is_printed(cdn: Cdn) -> None:
    result = imports(cdn, f"domain,note\na_b.test,x\n{ONE},{'x' * 501}\n,y\n{TWO},\n")
    assert [line.split(":")[2].strip() for line in result.stderr.splitlines()[:3]] == [
        "<stdin>, line 2", "<stdin>, line 3", "<stdin>, line 4",
    ]  # fmt: skip
    assert result.stderr.splitlines()[3].startswith("sslctl: error: 3 names or lines cannot be used")
    assert managed(cdn) == []


def test_unknown_column_is_explained(cdn: Cdn) -> None:
    assert "the columns are domain, sans, customer, note, assignee, key_type, profile, preferred_chain" in (
        imports(cdn, f"domain;kunde\n{ONE};Acme\n").stderr
    )


def test_certificate_with_too_many_names_for_its_profile_is_an_error(cdn: Cdn) -> None:
    sans = " ".join(f"n{number}.example.com" for number in range(30))
    result = imports(cdn, f"domain,sans,profile\n{ONE},{sans},shortlived\n")
    assert (result.exit_code, "can have at most 25 names" in result.stderr, managed(cdn)) == (2, True, [])
