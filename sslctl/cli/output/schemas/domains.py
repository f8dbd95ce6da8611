"""The definitions about domains: reasons, DNS records, certificates, events, and a domain itself."""

from __future__ import annotations

from sslctl import errors
from sslctl.cli.output.schemas.archives import ARCHIVED
from sslctl.cli.output.schemas.words import (
    Fields,
    Schema,
    array,
    array_of,
    boolean,
    choice,
    fingerprint,
    integer,
    number,
    or_null,
    ref,
    shape,
    string,
    time,
)
from sslctl.fleet.removal import OnC4
from sslctl.rules.certificate_choice import KEY_TYPES
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code, Owner, Status
from sslctl.rules.renewal import Trigger
from sslctl.rules.versions import VersionState

_ERRORS = [each for each in vars(errors).values() if isinstance(each, type)]
_ERROR_CODES = sorted(
    {each.code for each in _ERRORS if issubclass(each, errors.SslctlError)}
    | {errors.WRONG_USAGE, errors.INTERRUPTED}
)

WORDS: dict[str, Schema] = {
    "status": choice(Status, "derived for this moment"),
    "code": choice(Code, "one of the codes in docs/reasons.md"),
    "owner": choice(Owner, "who must act; `nobody` if waiting is all that is needed"),
    "source": choice(Source, "`c4` (from the CA) or `text` (pasted)"),
    "error_code": choice(_ERROR_CODES, "the code of an error"),
}
"""The definitions that are no objects."""

_DOMAIN: Fields = {
    "domain": string("the name, as A-labels"),
    "sans": array(string("a name"), "the other names in its certificate"),
    "status": or_null(ref("status", "derived for this moment; `null` for a deleted domain")),
    "source": ref("source", "`c4` (from the CA) or `text` (pasted)"),
    "created_at": time("when it was added; after a deletion, when it was added again"),
    "deleted_at": or_null(time("when it was deleted; `null` while it is managed")),
    "checked_at": or_null(time("when the last pass ended; `null` before the first")),
    "expires_at": or_null(
        time("`not_after` of the certificate that is served, or, if none is, of the one to be uploaded")
    ),
    "days_left": or_null(
        integer(
            "whole days until then, rounded down; after the expiry the days since then as a negative number, at most -1"
        )
    ),
    "serving": or_null(ref("serving", "what C4 was last seen to serve of ours; `null` if nothing of ours")),
    "reason": or_null(ref("reason", "why it is not in Success; `null` for Success and for a deleted domain")),
    "observed": or_null(ref("observed", "what C4 was last seen to have; `null` before its record was read")),
    "unconfirmed": or_null(
        ref(
            "unconfirmed",
            "the step that did not answer, so that the rest could not be confirmed; `null` if all was answered",
        )
    ),
    "warnings": array_of("warning", "the warnings about it; it may be in `Success` all the same"),
    "abandoned": boolean(
        "whether it never had a certificate, was added 30 days ago or earlier, and is in Failure because of the customer"
    ),
    "customer": or_null(
        string(
            "whose domain it is: the customer that a person recorded, otherwise the one that C4 last named; `null` without one"
        )
    ),
    "note": or_null(string("what people noted; `null` without a note")),
    "assignee": or_null(string("who takes care of it; `null` if nobody is assigned")),
    "snoozed_until": or_null(
        time("until when people snoozed it; `null` if it is not, or the snooze is not in force")
    ),
}
_CHANGED: Fields = _DOMAIN | {
    "error": or_null(
        ref(
            "error_code",
            "why nothing was done (`BAD_INPUT`, `BUSY`, `STATE_BUSY`, `NOT_MANAGED`, `TRY_LATER`, `PAIR_WORSE`, `CONFIG`, `BUG`); `null` if it was done",
        )
    )
}
_DELETED: Fields = _CHANGED | {
    "certificate_on_c4": or_null(
        choice(
            OnC4,
            "`none` if C4 had none; `kept` with `--keep-on-c4`; `kept_foreign` if sslctl did not install it; `null` if the domain was not deleted",
        )
    )
}
_VIEWED: Fields = _DOMAIN | {
    "certificates": array_of("certificate", "every version of its certificate, newest first"),
    "events": array_of("event", "its history, oldest first"),
    **ARCHIVED,
    "before_cutover_since": or_null(
        time(
            "since when a certificate is wanted although DNS points elsewhere; `null` if the domain is not before its cutover"
        )
    ),
    "customer_recorded": or_null(
        string("the customer that a person recorded; `null` without one. It counts, whatever C4 names")
    ),
    "choice": ref("choice", "what was chosen for its next certificates, in place of the configuration"),
    "renewal": or_null(
        ref(
            "renewal",
            "when it is next due for a new certificate, and by which rule; `null` if none is planned",
        )
    ),
}
_EVENT: Fields = {
    "at": time("when"),
    "actor": string("who: the user, and in brackets the terminal, `tick` or `script`"),
    "kind": string(
        "what: `added`, `changed`, `found`, `ordered`, `issued`, `imported`, `pasted`, `uploaded`, `serving`, `not serving`, `replacing`, "
        "`removed`, `nothing installed`, `kept on C4`, `put back`, `forced`, `not installed`, `adopted`, `foreign`, `consent`, "
        "`unconfirmed`, `suspected`, `suspicion ended`, `warned`, `warning ended`, `note`, `assigned`, `customer`, `snoozed`, `chosen`, "
        "`taken up again`, `key downloaded`, `key destroyed`, `claim broken`, `revocation requested`, `revoked`, `not revoked`, "
        "`before cutover`, `cutover ended`, `other CA`, `deleted`, and about all domains "
        "`account key`, `history archived`, `paused`, `resumed` and `state moved`"
    ),
    "detail": string("details, for people"),
    "version": or_null(number("the version of the certificate that it is about; otherwise `null`", 1)),
}
_SENTENCE = string("what was found and what was wanted, for people")
_NEXT_STEP = string("what the owner must do, for people")
_RECORDS = "the DNS records that cure it; empty if no DNS record does, or none is known"

SHAPES: dict[str, Schema] = {
    "domain": shape("A domain", _DOMAIN),
    "changed_domain": shape("A domain of a command that changes or checks it", _CHANGED),
    "deleted_domain": shape("A domain of `delete`", _DELETED),
    "viewed_domain": shape("A domain of `view`", _VIEWED),
    "revocation": shape(
        "What became of a certificate that was to be revoked",
        {
            "domain": string("the name of its domain, as A-labels"),
            "version": number("its version", 1),
            "serial": string("its serial number in lower-case hexadecimal"),
            "state": choice(
                ("revoked", "waiting", "failed", "added_by_text"),
                "`revoked`; `waiting`: revoked by a tick once its replacement is installed; `failed`: the CA did not revoke it, and the ticks "
                "try again; `added_by_text`: it has the same compromised key, and only its owner can revoke it",
            ),
            "revoked_at": or_null(time("when the CA revoked it; `null` if it did not")),
        },
    ),
    "reason": shape(
        "Why a domain is not in Success",
        {
            "code": ref("code", "one of the codes in docs/reasons.md"),
            "also": or_null(
                ref(
                    "code",
                    "for `CERT_EXPIRED`: the code of what keeps the renewal from succeeding; otherwise `null`",
                )
            ),
            "owner": ref("owner", "who must act; `nobody` if waiting is all that is needed"),
            "sentence": _SENTENCE,
            "next_step": _NEXT_STEP,
            "records": array_of("record", _RECORDS),
            "link": or_null(
                string(
                    "a URL of the CA that a person must open, whole (`CA_PAUSED`); `null` if there is none"
                )
            ),
            "retry_at": or_null(
                time(
                    "when the tick tries again; a time in the past means its next run; `null`: the tick does not"
                )
            ),
        },
    ),
    "record": shape(
        "All DNS records of one type at one name",
        {
            "type": string("`CNAME`, `A`, `AAAA`, `CAA` or `DS`"),
            "name": string(
                "the name at which the record is, or must be set, as A-labels: not always the domain, but the name that fails, "
                "or the one whose CAA records decided"
            ),
            "current": array(
                string("a record, as in a zone file, without the dot at the end of a name"),
                "what DNS has there, as in a zone file, without the dot at the end of a name; empty if there is none; at most 20",
            ),
            "wanted": or_null(
                array(
                    string("a record, in the same form"),
                    "all that must be there, in the same form; empty: remove what is there; `null`: sslctl does not know the value, "
                    "such as an address of the CDN, or it would be more than 20",
                )
            ),
        },
    ),
    "warning": shape(
        "A warning about a domain",
        {
            "code": ref("code", "as in `reason`"),
            "owner": ref("owner", "as in `reason`"),
            "sentence": _SENTENCE,
            "next_step": _NEXT_STEP,
            "records": array_of("record", _RECORDS),
            "since": or_null(time("since when; `null` if that is not known")),
            "suspected": boolean(
                "whether this is a bad answer about a served domain that is not believed yet"
            ),
        },
    ),
    "unconfirmed": shape(
        "The step of a pass that did not answer",
        {
            "since": time("when it was first not answered"),
            "code": ref("code", "as in `reason`"),
            "owner": ref("owner", "as in `reason`"),
            "sentence": string("as in `reason`"),
            "retry_at": time("the next try"),
        },
    ),
    "observed": shape(
        "What C4 was last seen to have",
        {
            "at": time("when C4's record was last read"),
            "source": or_null(
                ref("source", "the source of the certificate that C4 had; `null` if it had none")
            ),
            "fingerprint_sha256": or_null(fingerprint("its SHA-256 (DER), lower-case hex; `null` likewise")),
            "expires_at": or_null(time("its `not_after`; `null` likewise")),
            "ours": or_null(
                boolean("whether that is a certificate that sslctl installed; `null` if C4 had none")
            ),
        },
    ),
    "serving": shape(
        "The certificate of ours that C4 serves",
        {
            "version": number("the version of the certificate", 1),
            "source": ref("source", "`c4` (from the CA) or `text` (pasted)"),
            "fingerprint_sha256": fingerprint("SHA-256 of the certificate (DER), lower-case hex"),
            "expires_at": time("its `not_after`"),
            "valid": boolean("whether it is still to come"),
        },
    ),
    "choice": shape(
        "What was chosen for the certificates of a domain",
        {
            "key_type": or_null(choice(KEY_TYPES, "the kind of its next keys; `null` for `acme.key_type`")),
            "profile": or_null(string("the CA's profile; `null` for `acme.profile`")),
            "preferred_chain": or_null(
                string("the issuer of the last certificate of the chain; `null` for `acme.preferred_chain`")
            ),
        },
    ),
    "renewal": shape(
        "When a domain is next due for a new certificate",
        {
            "due_at": time(
                "from when; `renewal.max_per_day` may move it, and after a failed pass the retry counts"
            ),
            "rule": choice(
                Trigger,
                "why then: `expiry` (`renewal.before_days` before it), `half_lifetime` (at half of the lifetime, which is later), "
                "`ca_window` or `ca_incident` (the CA's renewal information; an incident is an early window), `revoked`, "
                "`foreign_expiry` (a text certificate that sslctl did not install expires)",
            ),
        },
    ),
    "certificate": shape(
        "A version of a domain's certificate",
        {
            "version": number("counts from 1 for each domain", 1),
            "fate": choice(VersionState, "its state"),
            "source": ref("source", "`c4` (from the CA) or `text` (pasted)"),
            "names": array(string("a name, as A-labels"), "the names in it"),
            "serial": string("its serial number, lower-case hex"),
            "fingerprint_sha256": fingerprint("SHA-256 of the certificate (DER), lower-case hex"),
            "issuer": string("the issuer's name"),
            "ca": or_null(
                string("the directory of the CA that issued it on our order; `null` if it is not known")
            ),
            "key_type": string("`ECDSA P-256`, `RSA 2048`, …"),
            "not_before": time("since when it is valid"),
            "not_after": time("until when it is valid"),
            "issued_at": time("when it was stored here"),
            "uploaded_at": or_null(time("when C4 last accepted it")),
            "verified_at": or_null(time("when C4 was last seen to serve it")),
            "replaced_at": or_null(time("when another one replaced it, or the domain was deleted")),
            "revoked_at": or_null(time("when the CA revoked it")),
            "key_destroyed_at": or_null(
                time("when `keys prune` destroyed its private key; `null` while the key exists")
            ),
            "renewal_info": or_null(
                ref(
                    "renewal_info",
                    "the CA's last renewal information; `null` if it was not asked, or gave none",
                )
            ),
        },
    ),
    "renewal_info": shape(
        "The CA's renewal information (ARI, RFC 9773)",
        {
            "start_at": time("when the window begins that the CA suggests"),
            "end_at": time("when it ends"),
            "renew_at": time(
                "a random time in this window; `renewal.ari` decides how far it counts, and `renewal.due_at` of the domain is the result"
            ),
            "poll_at": time("when the CA is asked next"),
            "explanation_url": or_null(
                string("the page on which the CA explains the window; `null` if it names none")
            ),
        },
    ),
    "event": shape("An event of a domain's history", _EVENT),
    "listed_event": shape(
        "An event of `audit list`",
        {
            "id": number("its number, which counts over all domains", 1),
            "domain": or_null(string("the domain's name; `null` if it concerns all domains")),
            **_EVENT,
        },
    ),
}
"""The definitions of objects about domains, in the order of docs/json.md."""
