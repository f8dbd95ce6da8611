"""What the tests of the page share: a gate that lets everybody in, a store with a domain in each state, and the site over it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from flask import Flask, g

from sslctl.app import App
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.model import (
    Caution,
    Domain,
    Finding,
    Installed,
    PassResult,
    Source,
    State,
    Suspicion,
    Unconfirmed,
)
from sslctl.rules.reasons import FINDINGS, Code
from sslctl.rules.remarks import Remarks
from sslctl.rules.snoozing import make_snooze
from sslctl.store.interface import Store
from sslctl.web.access import Gate, Person, Role
from sslctl.web.access.limits import Limiter
from sslctl.web.jobs import Jobs
from sslctl.web.site import make_site
from tests.support.fakes import START, Clock
from tests.support.store_cases import issue, serve

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{ 7*7 }}"
ELSEWHERE, UNICODE, ALIAS, DEPARTED, PAUSED = (
    "elsewhere.example.com",
    "xn--bcher-kva.example.com",
    "www.elsewhere.example.com",
    "departed.example.com",
    "ca-paused.example.com",
)
DELETED, EXPIRED, WELL = "deleted.example.com", "expired.example.com", "shop.example.com"
CNAME = DnsRecord("CNAME", ELSEWHERE, ("parking.example.net",), ("elsewhere.cdn.test",))


class OpenGate:
    """A gate that lets everybody in, with the roles `roles`."""

    def __init__(self, *roles: Role) -> None:
        self._person = Person("tester", frozenset(roles or Role))
        self._limiter = Limiter(time.monotonic)

    def install(self, site: Flask) -> None:
        """Let everybody in."""

        def enter() -> None:
            g.person, g.limiter = self._person, self._limiter

        site.before_request(enter)
        site.jinja_env.globals["csrf_token"] = lambda: "csrf"


def write_config(folder: Path) -> Path:
    """Write a configuration with the state in `folder`/state, and return its path."""
    path = folder / "config.toml"
    path.write_text(f'[state]\ndir = "{folder / "state"}"\n[cdn]\ncname_suffixes = ["cdn.test"]\n')
    return path


def site_over(folder: Path, clock: Clock, gate: Gate | None = None) -> Flask:
    """Return the site over the state in `folder`."""
    config = write_config(folder)
    site = make_site(lambda: App(config, clock), gate or OpenGate(), Jobs(config, clock))
    site.testing = True
    return site


def fill(store: Store) -> None:
    """Add a domain for each reason, and some with warnings, remarks and other names. Some have hostile texts."""
    for code in FINDINGS:
        name = f"{code.lower().replace('_', '-')}.example.net"
        _found(store, store.add_domain(name, (), Source.C4), code)
    for number, days in enumerate((0.5, 2, 6, 20, 89)):
        name = WELL if days == 20 else f"well{number}.example.com"
        served(store, store.add_domain(name, (), Source.C4), days)
    served(store, store.add_domain(UNICODE, ("xn--fiqs8s.example",), Source.C4), 60)
    elsewhere = served(store, store.add_domain(ELSEWHERE, (ALIAS,), Source.C4), 5)
    store.record_customers({ELSEWHERE: "Acme & <b>Söhne</b>", WELL: "Umbrella"})
    elsewhere = store.record_result(
        elsewhere,
        PassResult(
            Finding(Code.CNAME_ELSEWHERE, HOSTILE, "a name under cdn.test", START, START, records=(CNAME,))
        ),
    )
    store.record_remarks(elsewhere, Remarks(note=HOSTILE, assignee="<i>Mei</i>"))
    expired = served(store, store.add_domain(EXPIRED, (), Source.C4), -2)
    _found(store, expired, Code.CAA_FORBIDS)
    _found(store, store.add_domain(PAUSED, (), Source.C4), Code.CA_PAUSED, wanted="javascript:alert(3)")
    departed = served(store, store.add_domain(DEPARTED, (), Source.C4), 70)
    caution = Caution(Code.CNAME_MISSING, "nothing", "a name", START - timedelta(days=9), records=(CNAME,))
    departed = store.record_result(departed, PassResult(caution=caution))
    store.record_remarks(departed, Remarks(snooze=make_snooze(departed, START + timedelta(days=30), START)))
    suspected = served(store, store.add_domain("suspected.example.com", (), Source.C4), 40)
    suspicion = Suspicion(Code.NXDOMAIN, "NXDOMAIN", "an address", START, START)
    doubt = Unconfirmed(Code.C4_UNANSWERED, HOSTILE, START, START + timedelta(hours=1))
    store.record_result(suspected, PassResult(unconfirmed=doubt, suspicion=suspicion))
    foreign = Installed(Source.TEXT, "cd" * 32, START + timedelta(days=12), State.ACTIVE)
    adopted = store.add_domain("adopted.example.com", (), Source.C4)
    store.adopt_certificate(adopted, foreign)
    store.delete_domain(store.add_domain(DELETED, (), Source.C4))


def served(store: Store, domain: Domain, days: float) -> Domain:
    """Issue a certificate for `domain` that expires in `days`, and record that it is served."""
    found = serve(store, issue(store, domain, days=days))
    return store.record_finding(found, None)


def _found(store: Store, domain: Domain, code: Code, wanted: str = "that") -> Domain:
    finding = Finding(code, "this", wanted, START, START + timedelta(hours=1))
    return store.record_finding(domain, replace(finding, records=()))
