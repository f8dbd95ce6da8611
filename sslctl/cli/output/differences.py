"""What `sslctl sync` writes: how C4's list of domains and the state differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sslctl.cli.output import json_shapes
from sslctl.cli.output.phrases import domain_or_domains
from sslctl.cli.output.stdout import write_json_list, write_line, write_lines
from sslctl.fleet.inventory import Comparison, Difference, Group
from sslctl.wording import C4, in_words

_MOST_NAMED = 5
# What is said of one domain, of several, and what to do about them; of one, DOMAIN is its name.
_SENTENCES = {
    Group.UNMANAGED: (
        "is in C4, and nobody manages it here",
        "are in C4, and nobody manages them here",
        "`sslctl sync --add-missing` adds them; with --dry-run it lists them",
    ),
    Group.DELETED: (
        "is in C4, and was deleted here",
        "are in C4, and were deleted here",
        "`sslctl list --deleted` lists them; `sslctl add DOMAIN` adds one again",
    ),
    Group.UNUSABLE: (
        "is in C4, and sslctl cannot manage a domain of this name",
        "are in C4, and sslctl cannot manage domains of these names",
        "`sslctl check DOMAIN` says why",
    ),
    Group.DROPPED: (
        "is managed here, and C4 does not know it any more",
        "are managed here, and C4 does not know them any more",
        "ask the C4 team; `sslctl recheck DOMAIN` records it now, a tick does so within a day; `sslctl delete DOMAIN` ends the management",
    ),
    Group.IN_DISCARD: (
        "is managed here, is not in C4, and is in Discard",
        "are managed here, are not in C4, and are in Discard",
        "`sslctl list --status discard` lists them; `sslctl delete DOMAIN` ends the management",
    ),
    Group.UNCONFIRMED: (
        "is managed here and not on the list, but C4 did not confirm that it does not know it",
        "are managed here and not on the list, but C4 did not confirm that it does not know them",
        "the ticks ask again; `sslctl recheck DOMAIN` asks now",
    ),
    Group.UNKNOWN_CERTIFICATE: (
        "has a certificate on C4 that sslctl does not know",
        "have certificates on C4 that sslctl does not know",
        "`sslctl adopt DOMAIN` keeps that of a managed domain; `sslctl sync --json` lists all",
    ),
}


def write(compared: Comparison, now: datetime, *, as_json: bool) -> None:
    """Write the result of a comparison."""
    if as_json:
        answer = json_shapes.envelope(at=json_shapes.instant(now), **numbers_json(compared))
        write_json_list(answer, "differences", _differences_json(compared))
        return
    write_lines(_lines(compared))


def write_added(compared: Comparison, added: int) -> None:
    """Write how many domains were `added` of those that nobody managed."""
    number = compared.number(Group.UNMANAGED)
    if not number:
        write_line(f"Nothing was added: no such domain in {C4} is unmanaged.")
        return
    write_line(
        f"{added:,} of {number:,} such domains in {C4} that nobody managed {'was' if added == 1 else 'were'} added."
        " The next ticks order the certificates."
    )


def numbers_json(compared: Comparison) -> dict[str, Any]:
    """Return the numbers of a comparison as in the JSON."""
    return {
        "listed": compared.listed,
        "managed": compared.managed,
        "numbers": {group.value: compared.number(group) for group in Group},
        "left_out": compared.left_out,
        "trouble": compared.trouble or None,
    }


def _differences_json(compared: Comparison) -> Iterator[dict[str, Any]]:
    for group, found in compared.groups.items():
        for each in found.first:
            installed = each.installed
            yield {
                "domain": each.name,
                "group": group,
                "managed": each.is_managed,
                "customer": each.customer or None,
                "certificate": installed
                and {
                    "source": installed.source,
                    "fingerprint_sha256": installed.fingerprint,
                    "expires_at": json_shapes.instant(installed.not_after),
                },
            }


def _lines(compared: Comparison) -> Iterator[str]:
    yield f"{C4:The} lists {_count(compared.listed)}, among them {compared.managed_listed:,} of the {compared.managed:,} managed here."
    for group, found in compared.groups.items():
        if found.number:
            one, many, advice = map(in_words, _SENTENCES[group])
            what = one if found.number == 1 else many
            yield f"{_count(found.number)} {what}: {describe_names(found.first, found.number)}"
            if group is Group.UNKNOWN_CERTIFICATE:
                managed = sum(each.is_managed for each in found.first)
                of_first = f" of the first {len(found.first):,}" if found.number > len(found.first) else ""
                yield f"  managed here: {managed:,}{of_first}"
            yield f"  {advice}"
    if compared.trouble:
        yield f"{C4:The} was not asked about each domain that its list lacks: {compared.trouble}"
    if compared.left_out:
        yield f"{_count(compared.left_out)} more that nobody manages, but not with this name or customer"
    if not compared.left_out and not any(found.number for found in compared.groups.values()):
        yield "Nothing differs."


def _count(number: int) -> str:
    return f"{number:,} {domain_or_domains(number)}"


def describe_names(differences: Sequence[Difference], number: int) -> str:
    """Return the names of the first of `number` domains."""
    named = ", ".join(each.name for each in differences[:_MOST_NAMED])
    left = number - min(len(differences), _MOST_NAMED)
    return f"{named} and {left:,} more" if left else named
