"""`sslctl customer`."""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

import click

from sslctl.app import App
from sslctl.cli import remarks
from sslctl.cli.completion_names import complete_name
from sslctl.cli.name_lists import from_file_option, read_managed_customers
from sslctl.cli.options import json_option
from sslctl.rules.model import Domain
from sslctl.rules.remarks import read_customer


@click.command("customer")
@click.argument("words", metavar="[DOMAIN]... [CUSTOMER]", nargs=-1, shell_complete=complete_name)
@click.option("--name", metavar="CUSTOMER", help="The customer, if several domains are named.")
@click.option("--clear", is_flag=True, help="Remove the recorded customers of the domains.")
@from_file_option
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    words: tuple[str, ...],
    name: str | None,
    clear: bool,
    from_file: BinaryIO | None,
    as_json: bool,
) -> int:
    """Record whose domain it is, if C4 does not say: sslctl customer shop.example.com "Acme Ltd".

    While C4 names a customer for the domain, that one counts. With --from-file and neither --name nor --clear, the customers
    are those in the column customer of the list. Nothing else of the domain changes.
    """
    if from_file is not None and name is None and not clear:
        domains, customers = read_managed_customers(app.store, words, from_file)
        return remarks.record_for(
            app,
            domains,
            lambda domain: replace(domain.remarks, customer=customers[domain.name]),
            _describe,
            as_json=as_json,
        )
    names, value = remarks.split_words(
        app, words, name, clear=clear, has_file=from_file is not None, metavar="CUSTOMER", option="--name"
    )
    customer = read_customer(value)
    return remarks.record(
        app,
        names,
        from_file,
        lambda domain: replace(domain.remarks, customer=customer),
        _describe,
        as_json=as_json,
    )


def _describe(domain: Domain) -> str:
    recorded = domain.remarks.customer
    line = f"customer {remarks.shown(domain.customer)}"
    is_other = domain.c4_customer and recorded not in ("", domain.c4_customer)
    return f"{line}, as C4 names it; {remarks.shown(recorded)} is recorded" if is_other else line
