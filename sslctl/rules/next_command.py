"""The next command for each reason why a domain needs a person: one that can be pasted. Pure functions.

The table of reasons says in words what must be done; this is what an operator types first.
"""

from __future__ import annotations

from collections.abc import Sequence

from sslctl.rules.reasons import REASONS, Code, Owner

# The cause concerns many domains: the configuration, this machine, C4's token, or limits of the CA.
_WITHOUT_NAME = {
    Code.CA_RATE_LIMITED: "sslctl pauses",
    Code.BUDGET_HELD: "sslctl pauses",
    Code.MAINTENANCE: "sslctl pauses",
    Code.UPLOAD_PAUSED: "sslctl pauses",
    Code.CA_REFUSED: "sslctl doctor",
    Code.ISSUER_FAILED: "sslctl doctor",
    Code.CLOCK_WRONG: "sslctl doctor",
    Code.C4_TOKEN_REFUSED: "sslctl doctor",
    Code.C4_UNAUTHORIZED: "sslctl doctor",
    Code.SUFFIX_UNKNOWN: "sslctl doctor",
}
_WITH_NAME = {
    # A decision between two certificates, or a link to open: all facts first.
    Code.CA_PAUSED: "sslctl view",
    Code.CERT_WORSE: "sslctl view",
    Code.PAIR_WORSE: "sslctl view",
    Code.KEY_MISSING: "sslctl view",
    Code.FOREIGN_TEXT: "sslctl adopt",
    Code.OTHER_CERTIFICATE: "sslctl adopt",
    Code.TEXT_MISSING: "sslctl add",
    Code.RESOLVERS_DISAGREE: "sslctl check",
}
_BY_OWNER = {Owner.CDN: "sslctl check"}


def next_command(code: Code, names: Sequence[str]) -> str:
    """Return the command for the domains `names` of one customer, which need a person because of `code`, the most urgent first.

    A text to the customer is about all of them, anything else about the first one: each is a decision.
    """
    if code in _WITHOUT_NAME:
        return _WITHOUT_NAME[code]
    if REASONS[code].owner is Owner.CUSTOMER:
        return f"sslctl message {' '.join(names)}"
    command = _WITH_NAME.get(code) or _BY_OWNER.get(REASONS[code].owner, "sslctl recheck")
    return f"{command} {names[0]}"
