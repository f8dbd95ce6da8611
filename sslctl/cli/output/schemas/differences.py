"""The definitions about the comparison of C4's list of domains with the state."""

from __future__ import annotations

from sslctl.cli.output.schemas.words import (
    Schema,
    boolean,
    choice,
    fingerprint,
    or_null,
    ref,
    shape,
    string,
    time,
)
from sslctl.fleet.inventory import Group

SHAPES: dict[str, Schema] = {
    "difference": shape(
        "A domain that differs between C4's list and the state",
        {
            "domain": string("its name, as A-labels"),
            "group": choice(
                Group,
                "how; `unmanaged`: in C4, and never added here, `deleted`: in C4, and deleted here, `unusable`: in C4, with a name that"
                " sslctl cannot manage, `dropped`: managed, and C4 answered that it does not know it, `in_discard`: managed, not in C4,"
                " and in Discard already, `unconfirmed`: managed and not on the list, but C4 did not confirm that it does not know it,"
                " `unknown_certificate`: C4 has a certificate that sslctl does not know",
            ),
            "managed": boolean("whether the domain is managed here"),
            "customer": or_null(
                string("the customer that C4 names; `null` if it names none, or does not list the domain")
            ),
            "certificate": or_null(
                shape(
                    "the certificate that C4 has; `null` if it has none, or does not list the domain",
                    {
                        "source": ref("source", "its source"),
                        "fingerprint_sha256": fingerprint("SHA-256 of the certificate (DER), lower-case hex"),
                        "expires_at": time("its `not_after`"),
                    },
                )
            ),
        },
    ),
}
