"""`sslctl customer`."""

from __future__ import annotations

from dataclasses import replace

import click

from sslctl.app import App
from sslctl.cli import remarks
from sslctl.cli.name_lists import read_managed_customers
from sslctl.cli.output.phrases import overruled_customer
from sslctl.rules.model import Domain
from sslctl.rules.remarks import Remarks, read_customer
from sslctl.wording import C4


@click.command("customer")
@remarks.value_arguments(
    "CUSTOMER",
    "--name",
    "The customer, if several domains are named.",
    "Remove the customers of the domains, also those that C4 named; if C4 still names one, the next look records it.",
)
def command(app: App, given: remarks.Given) -> int:
    """Record whose domain it is: sslctl customer shop.example.com "Acme Ltd".

    What is recorded counts, whatever C4 names; without it the customer that C4 named counts. With --from-file and neither
    --name nor --clear, the customers are those in the column customer of the list. Nothing else of the domain changes.
    """
    if given.file is None or given.value is not None or given.clear:
        return remarks.record_value(app, given, read_customer, _change, _describe, is_about_customer=True)
    domains, customers = read_managed_customers(app.store, given.words, given.file)
    return remarks.record_for(
        app, domains, lambda domain: _change(domain, customers[domain.name]), _describe, as_json=given.as_json
    )


def _change(domain: Domain, customer: str) -> Remarks:
    return replace(domain.remarks, customer=customer)


def _describe(domain: Domain) -> str:
    named = overruled_customer(domain)
    line = f"customer {remarks.shown(domain.customer)}"
    return f"{line}; {C4} names {remarks.shown(named)}" if named else line
