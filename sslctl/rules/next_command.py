"""The next command for each reason why a domain needs a person: one that can be pasted. Pure functions.

The table of reasons says in words what must be done; this is what an operator types first.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime

from sslctl.rules.concerns import find_concerns
from sslctl.rules.model import Domain, Source
from sslctl.rules.reasons import REASONS, Code, Owner
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.status import derive_status

# The cause concerns many domains: the configuration, this machine, C4's token, or limits of the CA.
_WITHOUT_NAME = {
    Code.CA_RATE_LIMITED: "pauses",
    Code.BUDGET_HELD: "pauses",
    Code.MAINTENANCE: "pauses",
    Code.UPLOAD_PAUSED: "pauses",
    Code.EDGE_THUMBPRINT: "doctor",
    Code.CA_REFUSED: "doctor",
    Code.ISSUER_FAILED: "doctor",
    Code.CLOCK_WRONG: "doctor",
    Code.C4_TOKEN_REFUSED: "doctor",
    Code.C4_UNAUTHORIZED: "doctor",
    Code.SUFFIX_UNKNOWN: "doctor",
}
_WITH_NAME = {
    # A decision between two certificates, or a link to open: all facts first.
    Code.CA_PAUSED: "view",
    Code.CERT_WORSE: "view",
    Code.PAIR_WORSE: "view",
    Code.KEY_COMPROMISED: "view",
    Code.KEY_MISSING: "view",
    Code.FOREIGN_TEXT: "adopt",
    Code.OTHER_CERTIFICATE: "adopt",
    Code.TEXT_MISSING: "add",
    Code.RESOLVERS_DISAGREE: "check",
}
# Nothing renews a text certificate: a pass finds the same again.
_OF_TEXT = {Code.CERT_EXPIRED: "add", Code.C4_UNKNOWN_DOMAIN: "check"}
_BY_OWNER = {Owner.CDN: "check"}


def next_words(code: Code, names: Sequence[str], source: Source = Source.C4) -> list[str]:
    """Return the words after `sslctl` of the command for the domains `names` of one customer, which need a person because of `code`.

    The most urgent name comes first. A text to the customer is about all of them, anything else about the first one: each is
    a decision. `source` is that of the first one.
    """
    if code in _WITHOUT_NAME:
        return [_WITHOUT_NAME[code]]
    if source is Source.TEXT and code in _OF_TEXT:
        return [_OF_TEXT[code], names[0]]
    if REASONS[code].owner is Owner.CUSTOMER:
        return ["message", *names]
    return [_WITH_NAME.get(code) or _BY_OWNER.get(REASONS[code].owner, "recheck"), names[0]]


def next_command(code: Code, names: Sequence[str], source: Source = Source.C4) -> str:
    """Return the command line of `next_words`."""
    return shlex.join(["sslctl", *next_words(code, names, source)])


def next_words_for(domain: Domain, now: datetime, rule: RenewalRule) -> list[str]:
    """Return the words after `sslctl` of the next command for `domain`; empty if there is nothing to do.

    It is that of the first reason why a person is needed. What only waits can be tried again, unless the cause concerns
    many domains.
    """
    concerns, verdict = find_concerns(domain, now, rule), derive_status(domain, now)
    if concerns:
        return next_words(concerns[0].code, [domain.name], domain.source)
    if domain.deleted_at is not None or verdict.code is None:
        return []
    code = verdict.also.code if verdict.also else verdict.code
    return [_WITHOUT_NAME[code]] if code in _WITHOUT_NAME else ["recheck", domain.name]
