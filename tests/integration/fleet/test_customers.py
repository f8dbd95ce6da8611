"""The customer that C4 names for a domain is recorded; notices are routed by it."""

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
