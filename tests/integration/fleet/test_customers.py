"""The customer that C4 names for a domain is recorded, if no person recorded another one and C4 does not change many at once."""

from __future__ import annotations

import pytest

from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn

NAME, OTHER = "shop.example.com", "www.example.org"


def customers(cdn: Cdn) -> dict[str, str]:
    app = cdn.app()
    try:
        return app.store.customers()
    finally:
        app.close()


def test_first_pass_records_the_customer(cdn: Cdn) -> None:
    cdn.add_domain(NAME, customer="acme")
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert customers(cdn) == {NAME: "acme"}
    assert "Customer:      acme" in cdn.sslctl("view", NAME).stdout
    assert cdn.sslctl("view", NAME, "--json").json["domain"]["customer"] == "acme"


@pytest.mark.parametrize("has_inventory", [True, False])
def test_look_records_another_customer_and_keeps_one_that_is_not_named_any_more(
    cdn: Cdn, *, has_inventory: bool
) -> None:
    if not has_inventory:
        cdn.c4.set_faults(Fault(kind=Operation.INVENTORY, status=501))
    names = [f"d{number:03}.example.com" for number in range(230 if has_inventory else 1)]
    for name in (NAME, OTHER):
        cdn.add_domain(name, customer="acme")
    assert cdn.sslctl("add", NAME, OTHER).exit_code == 0
    # So many are compared with the inventory.
    cdn.sslctl("add", "--no-wait", *names)
    cdn.c4.create_domain(NAME, cname_target=f"{NAME}.cdn.test", customer="globex")
    cdn.c4.create_domain(OTHER, cname_target=f"{OTHER}.cdn.test")
    cdn.clock.move(days=1)
    cdn.sslctl("daemon-tick")
    assert customers(cdn) == {NAME: "globex", OTHER: "acme"}


def test_customer_changes_neither_revision_nor_history(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 0
    before = cdn.sslctl("audit", "list", "--json").json["events"]
    app = cdn.app()
    revision = app.store.domain(NAME).revision
    app.store.record_customers({NAME: "acme"})
    assert app.store.domain(NAME).revision == revision
    app.close()
    assert cdn.sslctl("audit", "list", "--json").json["events"] == before


def test_customers_that_c4_changes_for_many_are_not_believed_until_they_are_cleared(cdn: Cdn) -> None:
    names = [f"d{number:03}.example.com" for number in range(7)]
    for name in names:
        cdn.add_domain(name, customer="acme")
    cdn.sslctl("add", *names)
    for name in names:
        cdn.c4.create_domain(name, cname_target=f"{name}.cdn.test", customer="globex")
    cdn.clock.move(days=1)
    tick = cdn.sslctl("daemon-tick")
    assert "C4 names another customer than before for 7 of 7 domains" in tick.stdout
    assert '"globex" for d000.example.com ("acme" before)' in tick.stdout
    assert customers(cdn) == dict.fromkeys(names, "acme")
    cdn.clock.move(days=1)
    assert cdn.sslctl("daemon-tick", "--json").json["customers_withheld"] == 7
    old = cdn.sslctl("list", "--customer", "acme", "--csv").stdout
    assert cdn.sslctl("customer", "--clear", "--from-file", "-", stdin=old).exit_code == 0
    assert customers(cdn) == {}
    event = cdn.sslctl("view", names[0], "--json").json["domain"]["events"][-1]
    assert (event["kind"], event["detail"]) == ("customer", 'removed; C4 had named "acme"')
    cdn.clock.move(days=1)
    assert cdn.sslctl("daemon-tick", "--json").json["customers_withheld"] == 0
    assert customers(cdn) == dict.fromkeys(names, "globex")


@pytest.mark.parametrize(("number", "after"), [(5, "globex"), (6, "acme")])
def test_passes_believe_few_changes_of_customers_and_not_many(cdn: Cdn, number: int, after: str) -> None:
    names = [f"d{each:03}.example.com" for each in range(number)]
    for name in names:
        cdn.add_domain(name, customer="acme", points_at="elsewhere.example.org")
    cdn.sslctl("add", *names)
    for name in names:
        cdn.c4.create_domain(name, cname_target=f"{name}.cdn.test", customer="globex")
    result = cdn.sslctl("recheck")
    assert customers(cdn) == dict.fromkeys(names, after)
    assert ("too many to be believed" in result.stderr) == (after == "acme")


def test_recorded_customer_counts_whatever_c4_names(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, "--customer", "acme")
    cdn.c4.create_domain(NAME, cname_target=f"{NAME}.cdn.test", customer="globex")
    cdn.sslctl("recheck", NAME)
    assert customers(cdn) == {NAME: "acme"}
    assert "Customer:      acme (recorded here; C4 names globex)" in cdn.sslctl("view", NAME).stdout
    assert cdn.sslctl("check", NAME).stdout.splitlines()[0].endswith(", customer acme")
    assert cdn.sslctl("customer", NAME, "--clear").stdout == f"{NAME}: customer none\n"
    cdn.sslctl("recheck", NAME)
    assert customers(cdn) == {NAME: "globex"}
