"""The table of reasons: why a domain is not in Success, who must act, and the next step.

docs/reasons.md is generated from this table. The codes are part of the JSON: codes are added and never renamed.
"""

from __future__ import annotations

from sslctl.rules.codes import Code
from sslctl.rules.standing import Owner, Reason, Status

__all__ = ("FINDINGS", "REASONS", "Code", "Owner", "Reason", "Status", "codes_of")

_FAILURE, _PENDING, _EMERGENCY = Status.FAILURE, Status.PENDING, Status.EMERGENCY

REASONS: dict[Code, Reason] = {
    Code.CNAME_MISSING: Reason(
        _FAILURE,
        Owner.CUSTOMER,
        "The domain has no CNAME to the CDN: found {found}, wanted {wanted}.",
        "The customer must set the CNAME; an apex domain needs the CDN's addresses instead.",
    ),
    Code.CNAME_ELSEWHERE: Reason(
        _FAILURE,
        Owner.CUSTOMER,
        "The CNAME does not point at the CDN: found {found}, wanted {wanted}.",
        "The customer must point the CNAME at the CDN.",
    ),
    Code.NXDOMAIN: Reason(
        _FAILURE,
        Owner.CUSTOMER,
        "The name does not exist in DNS: found {found}, wanted {wanted}.",
        "The customer must create the DNS record.",
    ),
    Code.TARGET_MISSING: Reason(
        _FAILURE,
        Owner.CDN,
        "The domain points at the CDN, but the target there has no address: found {found}, wanted {wanted}.",
        "The CDN must publish an address for the target.",
    ),
    Code.AAAA_ELSEWHERE: Reason(
        _FAILURE,
        Owner.CUSTOMER,
        "The IPv6 address is not one of the CDN's, and the CA prefers IPv6: found {found}, wanted {wanted}.",
        "The customer must remove the AAAA record, or point it at the CDN.",
    ),
    Code.CAA_FORBIDS: Reason(
        _FAILURE,
        Owner.CUSTOMER,
        "A CAA record does not allow the CA to issue: found {found}, wanted {wanted}.",
        "The customer must allow the CA in the CAA record, or remove the record.",
    ),
    Code.TARGET_CAA_FORBIDS: Reason(
        _FAILURE,
        Owner.CDN,
        "The domain points at the CDN, and a CAA record there does not allow the CA to issue: found {found}, wanted {wanted}.",
        "The CDN must allow the CA in the CAA record of the target, or remove the record.",
    ),
    Code.DNSSEC_BOGUS: Reason(
        _FAILURE,
        Owner.CUSTOMER,
        "DNSSEC validation of the domain's records fails, so the CA does not use them: found {found}, wanted {wanted}.",
        "The customer must repair the signatures of the zone, or have the DS record at the parent zone removed.",
    ),
    Code.PORT_80_CLOSED: Reason(
        _FAILURE,
        Owner.CDN,
        "Port 80 does not answer, so the CA cannot read the HTTP challenge: found {found}, wanted {wanted}.",
        "The CDN must open port 80 for the domain.",
    ),
    Code.PORT_443_CLOSED: Reason(
        _FAILURE,
        Owner.CDN,
        "Port 443 does not answer, so a certificate could not be used: found {found}, wanted {wanted}.",
        "The CDN must open port 443 for the domain.",
    ),
    Code.PORTS_NOT_ENABLED: Reason(
        _FAILURE,
        Owner.CUSTOMER,
        "The domain does not use both port 80 and port 443 on the CDN: found {found}, wanted {wanted}.",
        "The customer must enable both ports for the domain on the CDN.",
    ),
    Code.CHALLENGE_FAILED: Reason(
        _FAILURE,
        Owner.CDN,
        "The CA could not validate the HTTP challenge: found {found}, wanted {wanted}.",
        "The CDN must route /.well-known/acme-challenge/ to sslctl's webroot or port; in stateless mode the edge must have the lines of `sslctl acme thumbprint`.",
    ),
    Code.CHALLENGE_UNREACHABLE: Reason(
        _FAILURE,
        Owner.CDN,
        "A token of sslctl cannot be read through the domain's port 80, so the CA could not validate it: found {found}, wanted {wanted}.",
        "The CDN must route /.well-known/acme-challenge/ to sslctl's webroot or port; in stateless mode the edge must have the lines of `sslctl acme thumbprint`; before a cutover, the customer's old host must redirect it. If many domains have this reason at once, check acme.webroot, or the edges, first.",
    ),
    Code.EDGE_THUMBPRINT: Reason(
        _PENDING,
        Owner.CDN,
        "An edge does not answer challenges with the thumbprint of the account key, so no order is placed: found {found}, wanted {wanted}.",
        "The CDN must give this edge the lines that `sslctl acme thumbprint` prints for it; if the account key is being replaced, all edges need those of `sslctl acme rotate`, and `sslctl acme rotate --switch` ends the wait. `sslctl doctor` asks each edge.",
    ),
    Code.NAME_REFUSED: Reason(
        _FAILURE,
        Owner.CA,
        "The CA refuses to issue for this name: {found}.",
        "Ask the CA why it refuses this name; the customer can use another name meanwhile.",
    ),
    Code.CA_PAUSED: Reason(
        _FAILURE,
        Owner.OPERATOR,
        "The CA has paused the name, because too many validations in a row failed: {found}.",
        "Solve what made them fail, open the CA's link, which `sslctl view DOMAIN` shows, and run `sslctl recheck DOMAIN`.",
    ),
    Code.QUEUED: Reason(
        _PENDING,
        Owner.NOBODY,
        "The domain is recorded; no attempt was made yet.",
        "The next tick makes the first attempt; `sslctl recheck DOMAIN` makes it at once.",
    ),
    Code.CA_VALIDATING: Reason(
        _PENDING,
        Owner.NOBODY,
        "The CA has not decided yet: {found}.",
        "The next tick checks the same order again.",
    ),
    Code.CA_RATE_LIMITED: Reason(
        _PENDING,
        Owner.CA,
        "The CA's rate limit is reached: {found}.",
        "The tick tries again when the CA allows it.",
    ),
    Code.CA_UNAVAILABLE: Reason(
        _PENDING,
        Owner.CA,
        "The CA is not available: {found}.",
        "The next tick tries again.",
    ),
    Code.CA_REFUSED: Reason(
        _PENDING,
        Owner.OPERATOR,
        "The CA refused the request, not the name: {found}.",
        "Check the ACME account, the e-mail address and the profile in the configuration.",
    ),
    Code.ISSUER_FAILED: Reason(
        _PENDING,
        Owner.OPERATOR,
        "certbot failed: {found}.",
        "Fix the problem it names. The next tick tries again.",
    ),
    Code.CLOCK_WRONG: Reason(
        _PENDING,
        Owner.OPERATOR,
        "The new certificate is not valid by this machine's clock: the clock shows {found}, the certificate is valid from {wanted}.",
        "Set the clock, if it is wrong; the next tick then collects the same certificate. If the CA dated it wrongly, sslctl waits until it is valid, or orders a new one in a few days, before what is served expires.",
    ),
    Code.BUDGET_HELD: Reason(
        _PENDING,
        Owner.NOBODY,
        "The order waits, because the CA would not accept it now: {found}.",
        "The tick places the order as soon as the limits allow it. `sslctl pauses` lists what the CA asked for.",
    ),
    Code.MAINTENANCE: Reason(
        _PENDING,
        Owner.NOBODY,
        "Orders and uploads are paused {found}.",
        "The first tick after the pause goes on. `sslctl resume` ends the pause now.",
    ),
    Code.DNS_UNANSWERED: Reason(
        _PENDING,
        Owner.CUSTOMER,
        "DNS gave no usable answer: {found}.",
        "The next tick asks again. If the problem persists, the customer must fix the domain's name servers.",
    ),
    Code.TARGET_UNANSWERED: Reason(
        _PENDING,
        Owner.CDN,
        "The domain points at the CDN, but DNS gave no usable answer about the target there: {found}.",
        "The next tick asks again. If the problem persists, the CDN must fix the name servers of the target.",
    ),
    Code.RESOLVERS_DISAGREE: Reason(
        _PENDING,
        Owner.OPERATOR,
        "The resolvers in dns.resolvers do not agree about the domain: found {found}.",
        "The next tick asks again, because a change of DNS takes time to reach every resolver. If the problem persists, find out which resolver is wrong.",
    ),
    Code.C4_UNANSWERED: Reason(
        _PENDING,
        Owner.C4,
        "C4 gave no usable answer: {found}.",
        "The next tick asks again.",
    ),
    Code.C4_TOKEN_REFUSED: Reason(
        _PENDING,
        Owner.OPERATOR,
        "C4 refused sslctl's token, so the domain's record on C4 is unknown: {found}.",
        "Put a valid token into the file that c4.token_file names.",
    ),
    Code.C4_ACTIVATING: Reason(
        _PENDING,
        Owner.NOBODY,
        "C4 has the certificate and is still activating it: {found}.",
        "The next tick checks whether C4 serves it.",
    ),
    Code.C4_UNKNOWN_DOMAIN: Reason(
        Status.DISCARD,
        Owner.OPERATOR,
        "C4 has no such domain.",
        "Delete it here, or create it in C4 and run `sslctl recheck DOMAIN`.",
    ),
    Code.FOREIGN_TEXT: Reason(
        _PENDING,
        Owner.OPERATOR,
        "C4 has a valid text certificate that sslctl did not install, so it is not replaced: found {found}.",
        "Replace it with `sslctl add`, or keep it with `sslctl adopt`. It is replaced when it has expired.",
    ),
    Code.TEXT_MISSING: Reason(
        _FAILURE,
        Owner.OPERATOR,
        "C4 has no certificate for the domain any more, and sslctl has no copy of the adopted text certificate.",
        "Get one from the CA with `sslctl add`, or ask the customer to install theirs again.",
    ),
    Code.CERT_WORSE: Reason(
        _FAILURE,
        Owner.OPERATOR,
        "The new certificate is worse than the one in service, so it was not installed: {found}.",
        "Find out why the CA issues such a certificate. `sslctl recheck DOMAIN --force-renew --force` installs one all the same.",
    ),
    Code.PAIR_WORSE: Reason(
        _FAILURE,
        Owner.OPERATOR,
        "The pasted certificate is worse than the one in service, so it was not installed: {found}.",
        "Add a better pair, or get one from the CA with `sslctl add`. `sslctl add DOMAIN --cert … --key … --force` installs this one all the same.",
    ),
    Code.KEY_COMPROMISED: Reason(
        _FAILURE,
        Owner.OPERATOR,
        "The private key of the certificate is marked as compromised, so it was not uploaded: {found}.",
        "The tick orders one with a new key after the CA revoked this one. `sslctl add DOMAIN` replaces one by text.",
    ),
    Code.CERT_EXPIRED: Reason(
        Status.EXPIRED,
        Owner.OPERATOR,
        "The certificate expired on {found}.",
        "The tick renews a certificate of source c4. One of source text is replaced with `sslctl add`, with or without a new pair.",
    ),
    Code.C4_UPLOAD_FAILED: Reason(
        _EMERGENCY,
        Owner.C4,
        "The certificate is issued, but its upload to C4 failed: {found}.",
        "A tick uploads the same certificate again, without a new order.",
    ),
    Code.C4_REJECTED: Reason(
        _EMERGENCY,
        Owner.C4,
        "The certificate is issued, but C4 rejected it: {found}.",
        "Ask the C4 team why it refuses this pair. Ticks upload it again.",
    ),
    Code.C4_UNAUTHORIZED: Reason(
        _EMERGENCY,
        Owner.OPERATOR,
        "The certificate is issued, but C4 refused sslctl's token for the upload: {found}.",
        "Put a valid token into the file that c4.token_file names.",
    ),
    Code.C4_MISMATCH: Reason(
        _EMERGENCY,
        Owner.C4,
        "After the upload, C4 has another certificate: found {found}, wanted {wanted}.",
        "Ticks upload it again. If the problem persists, find out who else writes to C4.",
    ),
    Code.C4_CHANGED: Reason(
        _PENDING,
        Owner.OPERATOR,
        "Somebody changed the certificate on C4 while sslctl worked on the domain, so nothing was uploaded: found {found}.",
        "A tick looks again within minutes. If the problem persists, find out who else writes to C4.",
    ),
    Code.NOTHING_INSTALLED: Reason(
        _EMERGENCY,
        Owner.C4,
        "The edge serves nothing: sslctl removed the text certificate from C4, and C4 did not take the new one: {found}.",
        "The next tick uploads it again. Ask the C4 team why C4 does not take it, and run `sslctl recheck DOMAIN` at once.",
    ),
    Code.UPLOAD_PAUSED: Reason(
        _EMERGENCY,
        Owner.OPERATOR,
        "The edge serves no valid certificate any more, and the upload of one is paused {found}.",
        "If C4 can take it, upload it now with `sslctl resume` and `sslctl recheck DOMAIN`. Otherwise the first tick after the pause does.",
    ),
}

# These codes are of warnings only: the domain is in Success if nothing else is wrong.
REASONS |= {
    Code.C4_LOST: Reason(
        Status.SUCCESS,
        Owner.C4,
        "C4 has no certificate for the domain any more, although sslctl installed one.",
        "The tick uploads it again.",
    ),
    Code.OTHER_CERTIFICATE: Reason(
        Status.SUCCESS,
        Owner.OPERATOR,
        "C4 has a valid text certificate that sslctl did not install: found {found}, wanted {wanted}.",
        "Keep it with `sslctl adopt`, or replace it with `sslctl add`.",
    ),
    Code.OTHER_EXPIRED: Reason(
        Status.SUCCESS,
        Owner.OPERATOR,
        "C4's text certificate, which sslctl did not install, has expired: {found}.",
        "The tick replaces it. If many expire at once, check the clock of this machine and C4 first.",
    ),
    Code.KEY_MISSING: Reason(
        Status.SUCCESS,
        Owner.OPERATOR,
        "C4 has a certificate of source c4 whose key is not stored here: found {found}, wanted {wanted}.",
        "Nothing to do: it is replaced when it is due. `sslctl recheck DOMAIN --force-renew` replaces it now.",
    ),
    Code.TEXT_EXPIRES: Reason(
        Status.SUCCESS,
        Owner.CUSTOMER,
        "The text certificate expires soon, and sslctl does not renew it: {found}.",
        "Ask the customer for a new certificate, or replace it with `sslctl add`.",
    ),
    Code.DEPARTED: Reason(
        Status.SUCCESS,
        Owner.CUSTOMER,
        "The domain has not pointed at the CDN for a week or more: found {found}, wanted {wanted}.",
        "Ask the customer whether the domain stays on the CDN; `sslctl delete` takes it out. Its certificate stays until it expires.",
    ),
    Code.ADDRESS_UNANSWERED: Reason(
        Status.SUCCESS,
        Owner.CUSTOMER,
        "DNS gives no usable answer for one address family of the domain, so the CA uses the other one: {found}.",
        "Nothing is held back. The customer must fix the domain's name servers.",
    ),
    Code.TARGET_ADDRESS_UNANSWERED: Reason(
        Status.SUCCESS,
        Owner.CDN,
        "DNS gives no usable answer for one address family of the target on the CDN, so the CA uses the other one: {found}.",
        "Nothing is held back. The CDN must fix the name servers of the target.",
    ),
    Code.SUFFIX_UNKNOWN: Reason(
        Status.SUCCESS,
        Owner.OPERATOR,
        "The CNAME is the target that C4 names, which the configured suffixes do not cover: {found}.",
        "Nothing is held back. Add the domain below which C4 names this target to cdn.cname_suffixes.",
    ),
    Code.BEFORE_CUTOVER: Reason(
        Status.SUCCESS,
        Owner.NOBODY,
        "The domain does not point at the CDN yet, as was said when it was added: found {found}, wanted {wanted}.",
        "`sslctl check DOMAIN` says when it is safe to switch DNS.",
    ),
    Code.CUTOVER_LATE: Reason(
        Status.SUCCESS,
        Owner.CUSTOMER,
        "The domain was added before its cutover 30 days ago or more, and does not point at the CDN yet: found {found}, wanted {wanted}.",
        "Ask the customer to switch DNS; `sslctl check DOMAIN` says whether it is safe. `sslctl delete` takes the domain out.",
    ),
}

FINDINGS = tuple(code for code, reason in REASONS.items() if reason.status is not Status.SUCCESS)
"""The codes that a finding can have; the others are of warnings only."""


def codes_of(status: Status) -> list[Code]:
    """Return every code of `status`, in the order of the table."""
    return [code for code, reason in REASONS.items() if reason.status is status]
