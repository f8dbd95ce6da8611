"""The old host of a domain before its cutover to the CDN: DNS points there, and it must pass on the CA's challenges."""

from __future__ import annotations

import dns.name

from sslctl.preflight import PreflightError, PreflightWarning
from sslctl.preflight.challenge_fetch import PATH, Fetched, Outcome
from sslctl.preflight.lookup import Resolver
from sslctl.preflight.pointing import Cdn, Pointed, find_addresses
from sslctl.rules.reasons import Code
from sslctl.text import clean

# A name without any address cannot be validated either.
_POINTS_ELSEWHERE = (Code.CNAME_ELSEWHERE, Code.AAAA_ELSEWHERE)


def find_host(cdn: Cdn, resolver: Resolver, name: dns.name.Name, cname_target: str) -> Pointed:
    """Return the addresses of `name`, with the warning `BEFORE_CUTOVER` if they are those of another host.

    Raise `PreflightError` for every other problem of `Cdn.require_pointed`.
    """
    try:
        return cdn.require_pointed(resolver, name, cname_target)
    except PreflightError as error:
        if error.code not in _POINTS_ELSEWHERE:
            raise
        warning = PreflightWarning(Code.BEFORE_CUTOVER, error.found, error.wanted, error.records)
        return Pointed(find_addresses(resolver, name), warning)


def is_old_host(pointed: object) -> bool:
    """Return whether `pointed` is a `Pointed` with the warning `BEFORE_CUTOVER`."""
    warning = pointed.warning if isinstance(pointed, Pointed) else None
    return warning is not None and warning.code is Code.BEFORE_CUTOVER


def find_problem(fetched: Fetched, cname_target: str) -> PreflightError | None:
    """Return the error if the token was not fetched through the old host; None if it was.

    The CA can validate nothing else, so no answer is an error too.
    """
    if fetched.outcome is Outcome.FOUND:
        return None
    return PreflightError(Code.CHALLENGE_UNREACHABLE, fetched.found, _advise(cname_target))


def _advise(cname_target: str) -> str:
    """Return in words what the customer must set on the old host."""
    target = f"http://{clean(cname_target.strip('.'))}"
    return (
        "the token that sslctl put there, to which the customer's old host must redirect until the cutover;"
        f" nginx: location ^~ {PATH} {{ return 302 {target}$request_uri; }}"
        f" Apache: RedirectMatch 302 ^({PATH}.*)$ {target}$1"
    )
