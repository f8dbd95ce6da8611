"""The reason code and the `IssueError` for a failed job: pure functions over what the CA or certbot reported."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from sslctl.issuer import IssueError
from sslctl.issuer.certbot.challenge_problems import BY_TYPE, describe_hop, find_code
from sslctl.net import retry_after
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.reasons import REASONS, Code
from sslctl.text import clean

_PREFIX = "urn:ietf:params:acme:error:"

# RFC 8555, section 6.7. Types that are not listed refuse the request, not the name.
_BY_TYPE = {**BY_TYPE, "badNonce": Code.CA_UNAVAILABLE, "orderNotReady": Code.CA_VALIDATING}
# Let's Encrypt's texts about its limits (Boulder, ratelimits/limiter.go, Decision.Result), most specific first. None: the
# limit belongs to a name that the text does not tell. Any other limit belongs to the account.
_NAMED = r'"(?P<key>[a-z0-9.-]{1,253})"'
_LIMITED = (
    (re.compile(r"too many new orders\b"), LimitKind.ORDERS),
    (re.compile(rf"too many certificates \(\d+\) already issued for {_NAMED}"), LimitKind.CERTIFICATES),
    (re.compile(r"too many certificates \(\d+\) already issued for this exact set\b"), LimitKind.DUPLICATES),
    (re.compile(rf"too many failed authorizations \(\d+\) for {_NAMED}"), LimitKind.FAILURES),
    (re.compile(r"too many (?:certificates|failed)"), None),
)
# The name is paused after many failed validations in a row; only the link in the text ends that (Boulder, wfe2, newOrder).
_PAUSED = re.compile(r"prevented from requesting certificates for\b")
_LINK = re.compile(r"https?://[!-~]+", re.ASCII)
_LONGEST_LINK = 2000
_RETRY_AFTER = re.compile(r"retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)? ?(?:UTC|Z)", re.ASCII)
_LONGEST_TEXT = 300
_FINAL_CODES = (Code.CAA_FORBIDS, Code.NAME_REFUSED)
# The CA would refuse the same CSR again, and the order would stay ready until it expires.
_FINAL_TYPES = ("badCSR", "badPublicKey")
# When another order may be placed after one that ended for a reason that the next would probably end for too.
_NEXT_ORDER = timedelta(days=1)
_LOOK_AGAIN = timedelta(minutes=10)
# The CA refuses whatever this account asks for. Boulder's text is `Account is not valid, has status "deactivated"`.
_ACCOUNT_TYPES = ("accountDoesNotExist", "userActionRequired", "externalAccountRequired")
_ACCOUNT_REFUSED = re.compile(
    r"\baccount (?:is not valid|has status|(?:is|has been) (?:deactivated|revoked))", re.IGNORECASE
)
# HTTP statuses of a certificate that the CA does not return. They concern that certificate only.
_ABSENT = (403, 404, 410)
_BUSY = 503
_WANTED = {
    Code.CHALLENGE_FAILED: "the response that certbot put there",
    Code.PORT_80_CLOSED: "a response on port 80",
    Code.CAA_FORBIDS: "a CAA record that allows the CA",
}


def to_issue_error(failure: dict[str, Any], now: datetime, *, order_placed: bool) -> IssueError:
    """Return the `IssueError` for a job's failed result.

    `order_placed` means that the CA has the order: then it is dead only if the CA said so.
    """
    kind, detail = failure["failed"], str(failure.get("detail", ""))
    retry_at = retry_after.read(failure.get("retry_after"), now) or _named_time(detail)
    problems = failure.get("problems") or []
    if kind in ("authorization", "acme") and problems:
        # With an authorization the order becomes invalid too (RFC 8555, section 7.1.6).
        code, found = _judge_challenges(problems)
        return IssueError(code, found, wanted=_WANTED.get(code, ""), retry_at=retry_at, order_dead=True)
    if kind in ("authorization", "undecided") and failure.get("retried"):
        return _may_succeed(failure["retried"], now)
    typ = _short(str(failure.get("type", "")))
    if kind == "acme" and typ == "rateLimited" and _PAUSED.search(detail):
        return _paused(detail, order_dead=not order_placed)
    code, found = _judge(kind, detail, typ)
    if code is Code.CA_RATE_LIMITED and failure.get("status") == _BUSY:
        # `Service busy; retry later.`: the CA as a whole, or its limit per IP address, and no limit of the account.
        code = Code.CA_UNAVAILABLE
    if failure.get("issued") and kind in ("acme", "network"):
        is_absent = failure.get("status") in _ABSENT
        return _not_returned(code, found, retry_at, None if is_absent else _refused_scope(code, detail))
    dead = not order_placed or code in _FINAL_CODES or typ in _FINAL_TYPES
    wanted, pause = _WANTED.get(code, ""), _refused_scope(code, detail)
    if is_account_refused(typ, detail):
        pause = Scope(LimitKind.ACCOUNT)
    if failure.get("lost") and not order_placed:
        code, found, pause = Code.CA_REFUSED, f"it accepted an order without its URL; {found}", None
    if (failure.get("lost") and not order_placed) or typ in _FINAL_TYPES:
        retry_at = max(retry_at or now, now + _NEXT_ORDER)
    return IssueError(code, found, wanted=wanted, retry_at=retry_at, pause=pause, order_dead=dead)


def _may_succeed(retried: list[dict[str, str]], now: datetime) -> IssueError:
    """Return the error for challenges that failed once and leave the order open (RFC 8555, section 8.2).

    If the CA tries again by itself, a pass looks again soon. If it waits to be asked again, that is when a failed challenge is tried again.
    """
    code, found = _judge_challenges(retried)
    waits = all(problem.get("status") == "pending" for problem in retried)
    what_next = "the next try goes on with the same order" if waits else "the CA tries again"
    return IssueError(
        code,
        f"{found}; {what_next}",
        wanted=_WANTED.get(code, ""),
        retry_at=None if waits else now + _LOOK_AGAIN,
    )


def _paused(detail: str, *, order_dead: bool) -> IssueError:
    """Return the error for a paused name; `wanted` is the link that ends the pause, empty if there is none.

    A retry before a person opened the link is in vain, whatever time the CA names.
    """
    links = [
        link for found in _LINK.finditer(detail) if len(link := found[0].rstrip(".,;)")) <= _LONGEST_LINK
    ]
    link = next((link for link in links if "unpause" in link), next(iter(links), ""))
    text = detail.partition(link)[0] if link else detail
    found = text.strip().removesuffix("Please visit:").strip()
    return IssueError(Code.CA_PAUSED, clean(found), wanted=link, order_dead=order_dead)


def _clean_whole(text: str, limit: int) -> str:
    """Return `text` as `clean` does; a link that the limit would cut stays whole, and what follows it is cut."""
    cut = clean(text, limit)
    whole = clean(text, limit + _LONGEST_LINK)
    for link in _LINK.finditer(whole):
        if link.start() < limit - 1 < link.end() and cut != whole:
            return whole[: link.end()] + ("" if link.end() == len(whole) else "…")
    return cut


def is_account_refused(typ: str, detail: str) -> bool:
    """Return whether an ACME error, by its type without the prefix and its detail, refuses every request of the account."""
    return typ in _ACCOUNT_TYPES or (typ == "unauthorized" and _ACCOUNT_REFUSED.search(detail) is not None)


def _not_returned(code: Code, found: str, retry_at: datetime | None, pause: Scope | None) -> IssueError:
    """Return the error of a CA that has issued the certificate and does not return it now.

    The order stays open, whatever the CA answered: the certificate can be downloaded later.
    """
    if code is not Code.CA_RATE_LIMITED:
        code = Code.CA_UNAVAILABLE
    return IssueError(
        code, f"it issued the certificate, but did not return it: {found}", retry_at=retry_at, pause=pause
    )


def _named_time(detail: str) -> datetime | None:
    """Return the time that the CA names only in its text, None if there is none."""
    parts = _RETRY_AFTER.search(detail)
    try:
        return None if parts is None else datetime.fromisoformat(f"{parts[1]}T{parts[2]}Z")
    except ValueError:
        return None


def _refused_scope(code: Code, detail: str) -> Scope | None:
    """Return the scope that a refusal also covers, None if it covers only the one order."""
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
        return _BY_TYPE.get(typ, Code.CA_REFUSED), _clean_whole(f"{typ}: {detail}", _LONGEST_TEXT)
    return Code.ISSUER_FAILED, clean(detail) or "it gave no reason"


def _judge_challenges(problems: list[dict[str, str]]) -> tuple[Code, str]:
    """Return the code of the worst problem, and a text about all of them."""
    codes = [find_code(p["name"].lower(), _short(p["type"]), p["detail"]) for p in problems]
    found = "; ".join(dict.fromkeys(map(_describe, problems)))
    return min(codes, key=lambda code: REASONS[code].status.rank), _clean_whole(found, 600)


def _describe(problem: dict[str, str]) -> str:
    parts = clean(problem["name"], 100), _short(problem["type"]), _clean_whole(problem["detail"], 200)
    text = ": ".join(filter(None, parts))
    hop = describe_hop(problem["name"].lower(), problem["detail"])
    return f"{text} ({_clean_whole(hop, 300)})" if hop else text


def _short(typ: str) -> str:
    return clean(typ, 80).removeprefix(_PREFIX)
