"""From what the CA or certbot said to a reason code: one pure function."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sslctl.issuer import IssueError
from sslctl.net import retry_after
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.reasons import REASONS, Code
from sslctl.text import clean

_PREFIX = "urn:ietf:params:acme:error:"

# RFC 8555, section 6.7. What is not listed is a refusal of the request, not of the name.
_BY_TYPE = {
    "rateLimited": Code.CA_RATE_LIMITED,
    "serverInternal": Code.CA_UNAVAILABLE,
    "badNonce": Code.CA_UNAVAILABLE,
    "orderNotReady": Code.CA_VALIDATING,
    "caa": Code.CAA_FORBIDS,
    "rejectedIdentifier": Code.NAME_REFUSED,
    "unsupportedIdentifier": Code.NAME_REFUSED,
}
_BY_CHALLENGE_TYPE = {
    "rateLimited": Code.CA_RATE_LIMITED,
    "serverInternal": Code.CA_UNAVAILABLE,
    "caa": Code.CAA_FORBIDS,
    "connection": Code.PORT_80_CLOSED,
    "rejectedIdentifier": Code.NAME_REFUSED,
    "unsupportedIdentifier": Code.NAME_REFUSED,
}
# What Let's Encrypt says of its limits (Boulder, ratelimits/limiter.go, Decision.Result), most telling first. None is
# one name's, and it cannot be told whose; whatever else is limited is the account's.
_NAMED = r'"(?P<key>[a-z0-9.-]{1,253})"'
_LIMITED = (
    (re.compile(r"too many new orders\b"), LimitKind.ORDERS),
    (re.compile(rf"too many certificates \(\d+\) already issued for {_NAMED}"), LimitKind.CERTIFICATES),
    (re.compile(r"too many certificates \(\d+\) already issued for this exact set\b"), LimitKind.DUPLICATES),
    (re.compile(rf"too many failed authorizations \(\d+\) for {_NAMED}"), LimitKind.FAILURES),
    (re.compile(r"too many (?:certificates|failed)|prevented from requesting certificates for"), None),
)
_RETRY_AFTER = re.compile(r"retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)? ?(?:UTC|Z)", re.ASCII)
# What Boulder and Pebble say of redirects that lead nowhere; they call it a trouble of the connection too.
_MISLED = re.compile(
    r"redirect loop|too many redirects|redirect target|stopped after \d+ redirects", re.IGNORECASE
)
_LAST_WORDS = (Code.CAA_FORBIDS, Code.NAME_REFUSED)
# The same CSR would be refused again, and the order would stay ready until it expires.
_HOPELESS = ("badCSR", "badPublicKey")
_WANTED = {
    Code.CHALLENGE_FAILED: "the answer that certbot put there",
    Code.PORT_80_CLOSED: "an answer on port 80",
    Code.CAA_FORBIDS: "a CAA record that allows the CA",
}


def to_issue_error(failure: dict[str, Any], now: datetime, *, order_placed: bool) -> IssueError:
    """Turn a failed result of the child into the error that the pipeline understands.

    `order_placed` says that the CA has the order: it is dead then only if the CA's own word says so.
    """
    kind, detail = failure["failed"], str(failure.get("detail", ""))
    wish = retry_after.read(failure.get("retry_after"), now) or _named_time(detail)
    problems = failure.get("problems") or []
    if kind in ("authorization", "acme") and problems:
        # With an authorization the order becomes invalid too (RFC 8555, section 7.1.6).
        code, found = _judge_challenges(problems)
        return IssueError(code, found, wanted=_WANTED.get(code, ""), retry_at=wish, order_dead=True)
    code, found = _judge(kind, detail, _short(str(failure.get("type", ""))))
    dead = not order_placed or code in _LAST_WORDS or _short(str(failure.get("type", ""))) in _HOPELESS
    wanted, pause = _WANTED.get(code, ""), _covered(code, detail)
    return IssueError(code, found, wanted=wanted, retry_at=wish, pause=pause, order_dead=dead)


def _named_time(detail: str) -> datetime | None:
    """Give the time that the CA names in its text alone."""
    parts = _RETRY_AFTER.search(detail)
    try:
        return None if parts is None else datetime.fromisoformat(f"{parts[1]}T{parts[2]}Z")
    except ValueError:
        return None


def _covered(code: Code, detail: str) -> Scope | None:
    """Give what a refusal covers beside the one order that met it."""
    if code is Code.CA_RATE_LIMITED:
        for text, kind in _LIMITED:
            if found := text.search(detail):
                return None if kind is None else Scope(kind, found.groupdict().get("key") or "")
    return Scope(LimitKind.ACCOUNT) if code in (Code.CA_RATE_LIMITED, Code.CA_UNAVAILABLE) else None


def _judge(kind: str, detail: str, typ: str) -> tuple[Code, str]:
    if kind in ("authorization", "undecided"):
        return Code.CA_VALIDATING, clean(detail) or "no decision in time"
    if kind == "network":
        return Code.CA_UNAVAILABLE, clean(detail)
    if kind == "acme":
        return _BY_TYPE.get(typ, Code.CA_REFUSED), clean(f"{typ}: {detail}")
    return Code.ISSUER_FAILED, clean(detail) or "it gave no reason"


def _judge_challenges(problems: list[dict[str, str]]) -> tuple[Code, str]:
    """Pick the worst problem to name the trouble, and tell of all."""
    codes = [_challenge_code(problem) for problem in problems]
    found = "; ".join(
        dict.fromkeys(
            f"{clean(p['name'], 100)}: {_short(p['type'])}: {clean(p['detail'], 200)}" for p in problems
        )
    )
    return min(codes, key=lambda code: REASONS[code].status.rank), clean(found, 600)


def _challenge_code(problem: dict[str, str]) -> Code:
    short = _short(problem["type"])
    if short == "dns":
        return Code.NXDOMAIN if "NXDOMAIN" in problem["detail"] else Code.DNS_UNANSWERED
    if short == "connection" and _MISLED.search(problem["detail"]):
        return Code.CHALLENGE_FAILED
    return _BY_CHALLENGE_TYPE.get(short, Code.CHALLENGE_FAILED)


def _short(typ: str) -> str:
    return clean(typ, 80).removeprefix(_PREFIX)
