"""The process that suffers power cuts: `python -m tests.torture.power_worker STATE WORK NUMBER [PRAGMA...]`.

It acknowledges every result at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sslctl.certificates import x509
from sslctl.rules.claim_names import domain_claim
from sslctl.rules.model import Domain, Finding, Order, Source
from sslctl.rules.reasons import Code
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.store import SqliteStore
from tests.support.fakes import Clock, FakeIssuer
from tests.torture.disk_trace import ACKNOWLEDGED

_AT_A_TIME = 8


def _acknowledge(name: str, what: str) -> None:
    os.write(1, ACKNOWLEDGED + json.dumps([name, what]).encode() + b"\n")


class _Fleet:
    """Performs the writes of passes, with certificates of the fake CA."""

    def __init__(self, store: SqliteStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._issuer = FakeIssuer(clock)

    def add(self, name: str) -> None:
        domain = self._store.add_domain(name, (), Source.C4)
        _acknowledge(name, "added")
        self.serve(domain)

    def add_many(self, names: list[str]) -> None:
        self._store.add_domains(names)
        for name in names:
            _acknowledge(name, "added")

    def fail(self, name: str) -> None:
        """Add a domain for which the CA issues nothing."""
        domain = self._store.add_domain(name, (), Source.C4)
        _acknowledge(name, "added")
        order = self._open(domain)
        self._store.close_order(order, "CHALLENGE_FAILED")
        self._store.record_finding(
            domain, Finding(Code.CHALLENGE_FAILED, "404", "the token", self._clock(), None)
        )
        _acknowledge(name, "found")

    def _open(self, domain: Domain) -> Order:
        key = x509.make_key("ecdsa")
        order = self._store.open_order(domain, domain.names, key, x509.make_csr(key, domain.names))
        _acknowledge(domain.name, "order")
        return order

    def serve(self, domain: Domain) -> None:
        """Issue and deliver a certificate for `domain`."""
        store, name = self._store, domain.name
        order = self._open(domain)

        def keep(url: str) -> None:
            store.record_order_url(order, url)
            _acknowledge(name, "ordered")

        issued = self._issuer.issue(order, keep)
        leaf = x509.read_leaf(issued.certificate)
        domain = store.add_issued_certificate(domain, order, issued.certificate, issued.chain, leaf)
        _acknowledge(name, "issued")
        certificate = domain.wanted
        assert certificate is not None
        store.mark_uploading(certificate)
        store.mark_uploaded(certificate)
        _acknowledge(name, "uploaded")
        domain = store.mark_serving(domain, certificate, wanted=certificate)
        _acknowledge(name, "serving")
        with store.transaction():
            store.release([domain_claim(name)])
            store.record_finding(domain, None)
        _acknowledge(name, "well")


def _alone(fleet: _Fleet, number: int) -> None:
    for each in range(number):
        fleet.add(f"shop{each}.test")
        fleet.fail(f"away{each}.test")


def _together(fleet: _Fleet, number: int) -> None:
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        list(threads.map(fleet.add, [f"shop{each}.test" for each in range(number)]))


def _many(fleet: _Fleet, number: int) -> None:
    for turn in range(3):
        fleet.add_many([f"shop{each}.turn{turn}.test" for each in range(number)])
    fleet.add("shop.test")


def _reopen(_fleet: _Fleet, _number: int) -> None:
    """Do nothing: opening the store has recovered it."""


WORK: dict[str, Callable[[_Fleet, int], None]] = {
    "alone": _alone,
    "transaction": _together,
    "many": _many,
    "reopen": _reopen,
}


def main() -> None:
    """Do the work that the command line names."""
    os.umask(0o077)
    state, work, number, *pragmas = Path(sys.argv[1]), *sys.argv[2:]
    clock = Clock()
    store = SqliteStore(
        state / "sslctl.db",
        Keyring(state / "master.key"),
        clock=clock,
        actor="worker (torture)",
        create=True,
    )
    for pragma in pragmas:
        # For the controls: settings with which SQLite does lose commits.
        store._database._connection.execute(f"PRAGMA {pragma}")
    WORK[work](_Fleet(store, clock), int(number))
    store.close()


if __name__ == "__main__":
    main()
