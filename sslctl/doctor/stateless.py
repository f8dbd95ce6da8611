"""Checks of stateless mode: whether the edges answer challenges by themselves, and whether CAA binds them to our account."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import dns.name
from dns.rdatatype import CAA

from sslctl.config.settings import Config
from sslctl.doctor import Check, bad, ok, warn
from sslctl.edge.challenges import ChallengeAnswer, ChallengeEdges
from sslctl.issuer.certbot.directory import find_account_url
from sslctl.preflight.caa import CaaIdentity, find_refusal, read_property
from sslctl.preflight.lookup import DnsUnanswered, Resolver
from sslctl.rules.account_key import KeyRole
from sslctl.text import clean

ANSWERS = "answers of the edges"
CAA_OF_TARGETS = "CAA of the CDN's targets"
# No account of any CA: CAA that allows it allows everybody.
_ANOTHER_ACCOUNT = "https://another.invalid/account"


def edges(
    config: Config, find_thumbprint: Callable[[KeyRole], str | None], seconds: float
) -> Iterator[Check]:
    """Ask each edge for a random token, as an order does."""
    thumbprint = find_thumbprint(KeyRole.CURRENT)
    if thumbprint is None:
        hint = "`sslctl acme thumbprint --for nginx` makes it, and prints what the edges need"
        yield bad(ANSWERS, "there is no account key yet, so no edge can answer challenges", hint)
        return
    if not config.verify.edges:
        hint = "set verify.edges; before a first order, a token is also asked for at the domain itself"
        yield warn(ANSWERS, "no edge is configured, so none was asked for a token", hint)
        return
    asked = ChallengeEdges(config.verify.edges, config.cdn.http_port, seconds)
    name = next(iter(config.cdn.cname_suffixes), "example.com")
    following = find_thumbprint(KeyRole.NEXT)
    right = 0
    for each in asked.ask(name, thumbprint):
        right += each.is_right is True
        if each.is_right is False:
            yield _wrong(each, thumbprint, following)
        elif each.is_right is None:
            yield warn(ANSWERS, f"it is not known what edge {each.edge} answers: {each.found}", "repair it")
    if right:
        yield ok(ANSWERS, f"{right} {'edge answers' if right == 1 else 'edges answer'} every token")


def _wrong(answer: ChallengeAnswer, thumbprint: str, following: str | None) -> Check:
    """Return the check of an edge with a wrong answer; `following` is the thumbprint of the next account key, None without one."""
    if following is not None and following in answer.found:
        hint = "give all edges the lines of `sslctl acme rotate --for SERVER`, then run `sslctl acme rotate --switch`"
        return bad(ANSWERS, f"edge {answer.edge} answers with the next account key, so orders wait", hint)
    hint = f"give it the lines of `sslctl acme thumbprint --for SERVER`; it must answer TOKEN.{thumbprint}"
    return bad(ANSWERS, f"edge {answer.edge} answers challenges wrongly: {answer.found}", hint)


def caa(config: Config, resolver: Resolver) -> Iterator[Check]:
    """Check that CAA at the CDN's targets allows our account alone: the CA follows a domain's CNAME to them (RFC 8659, section 3).

    Nothing before there is an account.
    """
    account_url = find_account_url(config.state.acme_dir, config.acme.directory_url)
    suffix = next(iter(config.cdn.cname_suffixes), None)
    if not config.acme.caa_identities or suffix is None or not account_url:
        return
    issuers, target = config.acme.caa_identities, f"sslctl-doctor.{suffix}"
    try:
        records = resolver.look_up(dns.name.from_text(target), CAA).records
        properties = [read_property(record) for record in records]
    except (DnsUnanswered, ValueError) as error:
        yield warn(CAA_OF_TARGETS, f"not known: {clean(error)}", "look at the zone of the CDN")
        return
    if find_refusal(properties, CaaIdentity(issuers, _ANOTHER_ACCOUNT)) is not None:
        yield ok(CAA_OF_TARGETS, f"*.{clean(suffix)} does not allow other accounts")
        return
    record = f'*.{suffix} CAA 0 issue "{issuers[0]}; accounturi={account_url}"'
    yield warn(
        CAA_OF_TARGETS,
        f"any account of the CA is allowed at *.{clean(suffix)}; whoever has the account key could register another one",
        f"set {clean(record)}",
    )
