"""`sslctl sync`: C4's list of domains beside the managed ones."""

from __future__ import annotations

import pytest

from sslctl.rules.model import Source
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.command_line import Terminal

NAME = "shop.example.com"
NEW = [f"n{number:02}.example.com" for number in range(21)]


@pytest.fixture
def managed(cdn: Cdn) -> Cdn:
    """Return a CDN with a domain in Success."""
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 0
    return cdn


def managed_names(cdn: Cdn) -> list[str]:
    return [each["domain"] for each in cdn.sslctl("list", "--json").json["domains"]]


def groups(cdn: Cdn, *arguments: str) -> list[tuple[str, str]]:
    return [
        (each["group"], each["domain"])
        for each in cdn.sslctl("sync", "--json", *arguments).json["differences"]
    ]


def test_sync_prints_that_nothing_differs(managed: Cdn) -> None:
    result = managed.sslctl("sync")
    assert (result.exit_code, result.stdout) == (
        0, "C4 lists 1 domain, among them 1 of the 1 managed here.\nNothing differs.\n",
    )  # fmt: skip


def test_sync_names_the_first_domains_of_each_group_and_what_to_do(managed: Cdn) -> None:
    for name in NEW[:7]:
        managed.add_domain(name)
    managed.add_domain("old.example.com")
    managed.sslctl("add", "old.example.com", "--no-wait")
    managed.sslctl("delete", "old.example.com", "--yes")
    managed.sslctl("add", "gone.example.com", "--no-wait")
    managed.app().control_plane.remove(NAME)
    managed.app().control_plane.upload(NAME, managed.text_pair(NAME), Source.TEXT)
    lines = managed.sslctl("sync").stdout.splitlines()
    assert lines == [
        "C4 lists 9 domains, among them 1 of the 2 managed here.",
        f"7 domains are in C4, and nobody manages them here: {', '.join(NEW[:5])} and 2 more",
        "  `sslctl sync --add-missing` adds them; with --dry-run it lists them",
        "1 domain is in C4, and was deleted here: old.example.com",
        "  `sslctl list --deleted` lists them; `sslctl add DOMAIN` adds one again",
        "1 domain is managed here, and C4 does not know it any more: gone.example.com",
        (
            "  ask the C4 team; `sslctl recheck DOMAIN` records it now, a tick does so within a day; `sslctl delete DOMAIN` ends the"
            " management"
        ),
        "1 domain has a certificate on C4 that sslctl does not know: shop.example.com",
        "  managed here: 1",
        "  `sslctl adopt DOMAIN` keeps that of a managed domain; `sslctl sync --json` lists all",
    ]


def test_sync_changes_nothing(managed: Cdn) -> None:
    managed.add_domain(NEW[0])
    managed.sslctl("add", "gone.example.com", "--no-wait")
    before = (
        managed.sslctl("view", "gone.example.com", "--json").json,
        managed.sslctl("audit", "list", "--json").json,
    )
    assert groups(managed) == [("unmanaged", NEW[0]), ("dropped", "gone.example.com")]
    after = (
        managed.sslctl("view", "gone.example.com", "--json").json,
        managed.sslctl("audit", "list", "--json").json,
    )
    assert after == before
    assert managed_names(managed) == ["gone.example.com", NAME]


def test_add_missing_queues_the_domains_and_orders_nothing(managed: Cdn) -> None:
    orders = len(managed.issuer.orders)
    managed.add_domain(NEW[0], customer="Acme")
    result = managed.sslctl("sync", "--add-missing")
    assert (result.exit_code, len(managed.issuer.orders)) == (0, orders)
    assert result.stdout == (
        "1 of 1 such domains in C4 that nobody managed was added. The next ticks order the certificates.\n"
    )
    listed = managed.sslctl("list", "--customer", "Acme", "--json").json["domains"]
    assert [(each["domain"], each["reason"]["code"]) for each in listed] == [(NEW[0], "QUEUED")]
    managed.sslctl("daemon-tick")
    assert managed.installed(NEW[0]) is not None
    assert managed.sslctl("sync", "--add-missing").stdout == (
        "Nothing was added: no such domain in C4 is unmanaged.\n"
    )


def test_add_missing_leaves_the_text_certificate_of_a_customer_in_service(managed: Cdn) -> None:
    managed.add_domain(NEW[0])
    managed.app().control_plane.upload(NEW[0], managed.text_pair(NEW[0], days=365), Source.TEXT)
    theirs = managed.installed(NEW[0])
    managed.sslctl("sync", "--add-missing")
    managed.sslctl("daemon-tick")
    assert managed.installed(NEW[0]) == theirs


def test_add_missing_does_not_add_what_a_person_deleted_here(managed: Cdn) -> None:
    managed.sslctl("delete", NAME, "--yes")
    managed.sslctl("sync", "--add-missing", "--yes")
    assert managed_names(managed) == []


def test_add_missing_adds_only_what_the_filters_select(managed: Cdn) -> None:
    for name, customer in zip(NEW[:6], ["Acme", "Bolt", "Acme", "Acme", "", "Acme"], strict=True):
        managed.add_domain(name, customer=customer)
    assert (
        managed.sslctl("sync", "--customer", "Acme", "--match", "n0[0-3].*", "--json").json["left_out"] == 3
    )
    arguments = ("sync", "--add-missing", "--customer", "Acme", "--match", "n0[0-3].*", "--limit", "2")
    planned = managed.sslctl(*arguments, "--dry-run", "--json").json["would_record"]
    assert [(each["domain"], each["action"]) for each in planned] == [(NEW[0], "add"), (NEW[2], "add")]
    assert managed_names(managed) == [NAME]
    result = managed.sslctl(*arguments, "--json")
    assert [each["domain"] for each in result.json["domains"]] == [NEW[0], NEW[2]]
    assert managed_names(managed) == [NEW[0], NEW[2], NAME]


def test_add_missing_of_many_needs_a_confirmation(managed: Cdn) -> None:
    for name in NEW:
        managed.add_domain(name)
    refused = managed.sslctl("sync", "--add-missing")
    assert (refused.exit_code, managed_names(managed)) == (2, [NAME])
    assert "there is no terminal to confirm that 21 domains (n00.example.com" in refused.stderr
    assert managed.sslctl("sync", "--add-missing", "--limit", "20").exit_code == 0
    assert len(managed_names(managed)) == 21


def test_person_who_does_not_confirm_adds_nothing(managed: Cdn) -> None:
    for name in NEW:
        managed.add_domain(name)
    with Terminal(managed, "sync", "--add-missing") as terminal:
        terminal.await_question("Add 21 domains (n00.example.com")
        terminal.type("n\n")
        assert terminal.end() == 130
    assert managed_names(managed) == [NAME]


def test_name_in_the_certificate_of_another_domain_is_refused_and_the_rest_is_added(managed: Cdn) -> None:
    managed.add_domain(f"www.{NAME}")
    managed.sslctl("add", NAME, "--san", f"www.{NAME}", "--no-wait")
    managed.add_domain(NEW[0])
    result = managed.sslctl("sync", "--add-missing")
    assert (result.exit_code, managed_names(managed)) == (5, [NEW[0], NAME])
    assert f"the certificate of {NAME} has the name www.{NAME} already" in result.stderr


@pytest.mark.parametrize("option", [("--limit", "1"), ("--yes",), ("--dry-run",), ("--customer", "")])
def test_option_that_does_not_fit_is_refused(managed: Cdn, option: tuple[str, ...]) -> None:
    assert managed.sslctl("sync", *option).exit_code == 2


def test_list_that_c4_does_not_give_ends_with_75_and_adds_nothing(managed: Cdn) -> None:
    managed.add_domain(NEW[0])
    managed.c4.set_faults(Fault(kind=Operation.INVENTORY, status=500))
    result = managed.sslctl("sync", "--add-missing", "--yes")
    assert (result.exit_code, managed_names(managed)) == (75, [NAME])
    assert "C4 did not give all of its list of domains, so nothing was compared" in result.stderr


def test_sync_ends_with_75_if_c4_does_not_answer_about_what_its_list_lacks(managed: Cdn) -> None:
    managed.sslctl("add", "gone.example.com", "--no-wait")
    managed.c4.set_faults(Fault(kind=Operation.LOOKUP, status=500), Fault(kind=Operation.HEALTH, status=500))
    result = managed.sslctl("sync")
    assert result.exit_code == 75
    assert "C4 was not asked about each domain that its list lacks: answered 500" in result.stdout
    assert "C4 did not confirm that it does not know it: gone.example.com" in result.stdout


def test_empty_list_ends_with_75(managed: Cdn) -> None:
    managed.c4.set_faults(Fault(kind=Operation.INVENTORY, body='{"domains": [], "next": null}', status=200))
    result = managed.sslctl("sync", "--json")
    assert (result.exit_code, result.json["error"]) == (75, "TRY_LATER")


def test_c4_without_a_list_is_an_error_of_its_own(managed: Cdn) -> None:
    managed.c4.features.inventory = False
    result = managed.sslctl("sync")
    assert result.exit_code == 2
    assert "this C4 cannot list its domains, so nothing was compared" in result.stderr
