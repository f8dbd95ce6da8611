"""The definitions about what was taken over from elsewhere."""

from __future__ import annotations

from sslctl.cli.output.schemas.words import (
    Fields,
    Schema,
    array,
    array_of,
    choice,
    number,
    or_null,
    ref,
    shape,
    string,
    time,
)
from sslctl.fleet.enrolment import Action as Enrolment
from sslctl.fleet.lineage_import import Action

LINEAGES: Fields = {
    "account": or_null(
        ref("imported_account", "the account that was taken over; `null` without `--account`")
    ),
    "lineages": array_of("lineage", "the lineages, by name"),
}
DOMAINS: Fields = {"domains": array_of("imported_domain", "the domains, in the order of the file")}
SHAPES: dict[str, Schema] = {
    "imported_domain": shape(
        "A domain of a CSV file, and what was done with it",
        {
            "domain": string("its name, as A-labels"),
            "action": choice(
                Enrolment,
                "`add`: it was not managed, `change`: something else of it changed, `none`: nothing was to be changed, `refuse`: it cannot be "
                "recorded",
            ),
            "changes": array(string("a column"), "the columns that change something of a managed domain"),
            "error": or_null(ref("error_code", "the code of the error, for `refuse`; else `null`")),
            "message": or_null(string("why, for `refuse`; else `null`")),
        },
    ),
    "imported_account": shape(
        "An account at the CA that was taken over",
        {
            "id": string("certbot's name of it"),
            "url": string("its URL at the CA"),
            "left_out": array(string("an id"), "the other accounts at this CA"),
        },
    ),
    "lineage": shape(
        "A lineage of certbot, and what was done with it",
        {
            "lineage": string("its name"),
            "domain": or_null(
                string("its domain, as A-labels; `null` if it is refused before that is known")
            ),
            "action": choice(
                Action,
                "`add`: its domain is new, `extend`: its domain gets the newer certificates, `none`: the domain has them already, "
                "`refuse`: it cannot be taken over",
            ),
            "sans": array(string("a name"), "the other names of the domain"),
            "certificates": number("how many certificates were taken over"),
            "left_out": number("how many earlier certificates cannot be used"),
            "not_after": or_null(time("when the newest of them expires; `null` if none was taken over")),
            "error": or_null(ref("error_code", "the code of the error, for `refuse`; else `null`")),
            "message": or_null(string("why, for `refuse`; else `null`")),
        },
    ),
}
