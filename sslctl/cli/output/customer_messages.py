"""The messages to customers as text, and the domains for which a customer has nothing to do."""

from __future__ import annotations

from collections.abc import Sequence

from sslctl.cli.output.stdout import write_line
from sslctl.rules.customer_message import CustomerMessage, LeftOut
from sslctl.rules.reasons import Owner

_RULE = "-" * 8


def write_messages(messages: Sequence[CustomerMessage]) -> None:
    """Write `messages`, each with its subject first. If there are several, a line before each names the customer."""
    for number, message in enumerate(messages):
        if len(messages) > 1:
            whose = f"customer {message.customer}" if message.customer else message.domains[0]
            write_line(("\n" if number else "") + f"{_RULE} {whose} {_RULE}\n")
        write_line(f"Subject: {message.subject}\n\n{message.body}")


def describe_left_out(others: Sequence[LeftOut]) -> list[str]:
    """Return a line for each of `others`: who must act instead. Several in Success without a warning share a line."""
    well = [each for each in others if each.code is None]
    lines = [_describe_well(well)] if well else []
    return lines + [_describe(each) for each in others if each.code is not None]


def _describe(left_out: LeftOut) -> str:
    yet = " yet" if left_out.owner is Owner.CUSTOMER else ""
    return (
        f"{left_out.name} ({left_out.status}, {left_out.code}): nothing for the customer to do{yet};"
        f" next ({left_out.owner}): {left_out.next_step}"
    )


def _describe_well(well: Sequence[LeftOut]) -> str:
    if len(well) == 1:
        return f"{well[0].name} ({well[0].status}): nothing for the customer to do; a valid certificate is served"
    return f"{len(well):,} domains in Success: nothing for the customers to do; valid certificates are served"
