"""One domain, one pass: C4's record, preflight, order, store, upload, read back.

Every step is committed before the next begins, so a kill between any two leaves a state from which the next pass goes
on: with the order that is open, or with the upload that is owed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sslctl import c4, lifecycle, x509
from sslctl.c4 import ControlPlane, Installed, Record, State
from sslctl.errors import BadInput, Busy
from sslctl.issuer import Issued, IssueError, Issuer
from sslctl.model import Certificate, Domain, Finding, Order, Source
from sslctl.preflight import PreflightError, Prober
from sslctl.reasons import Code
from sslctl.store import Store

REQUIRED_PORTS = frozenset({80, 443})
_POLL_SECONDS = 0.5
# Longer than any pass: certbot's own deadline, and C4's time-outs with their retries. A dead owner's claim is void
# at once on its own host, whatever is left of this.
_CLAIM = timedelta(minutes=30)


class Stop(Exception):  # it ends a pass with a finding; that is no error of the program
    """The pass ends here, with this finding. `wish` is when somebody outside wants to be asked again."""

    def __init__(self, code: Code, found: str = "", wanted: str = "", wish: datetime | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.found = found
        self.wanted = wanted
        self.wish = wish


@dataclass(frozen=True, slots=True)
class Manner:
    """How a pass goes about its work; from the configuration."""

    webroot: bool = True
    key_type: str = "ecdsa"
    renew_before: timedelta = timedelta(days=7)
    activation_seconds: float = 10


def _quiet(_domain: Domain, _step: str) -> None:
    """Tell nobody."""


class Pipeline:
    """Takes one domain as far as it goes. Safe to use from several threads, for different domains."""

    def __init__(
        self,
        store: Store,
        control_plane: ControlPlane,
        issuer: Issuer,
        prober: Prober,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        manner: Manner,
        on_step: Callable[[Domain, str], None] = _quiet,
    ) -> None:
        self._store = store
        self._c4 = control_plane
        self._issuer = issuer
        self._prober = prober
        self._clock = clock
        self._sleep = sleep
        self._manner = manner
        self._on_step = on_step

    def run(self, name: str, *, renew: bool = False) -> Domain:
        """Make one pass over the managed domain `name` and give it as it is afterwards.

        `renew` orders a new certificate even when none is due. What goes wrong outside ends up in the finding. Raises
        `Busy` when another process works on the domain, `NotManaged`, `StateError`.
        """
        with claimed(self._store, name):
            finding = self._attempt(self._store.domain(name), renew=renew)
            return self._store.settle(self._store.domain(name), finding)

    def _attempt(self, domain: Domain, *, renew: bool) -> Finding | None:
        try:
            self._advance(domain, renew=renew)
        except Stop as stop:
            now = self._clock()
            return Finding(
                stop.code, stop.found, stop.wanted, now, lifecycle.retry_at(stop.code, now, stop.wish)
            )
        return None

    def _advance(self, domain: Domain, *, renew: bool) -> None:
        record = self._look_up(domain)
        domain, collected = self._settle_order(domain)
        if collected or not renew:
            if domain.wanted is not None and lifecycle.owes_upload(domain, self._clock()):
                self._upload(domain, domain.wanted, record)
                return
            if domain.source is Source.TEXT or not self._needs_order(domain):
                self._confirm(domain, record)
                return
        self._check_ports(record)
        self._check_dns(domain, record)
        domain = self._issue(domain)
        assert domain.wanted is not None  # noqa: S101 - just issued
        self._upload(domain, domain.wanted, record)

    def _needs_order(self, domain: Domain) -> bool:
        now, serving = self._clock(), domain.serving
        return (
            serving is None
            or serving.source is not domain.source
            or not lifecycle.usable(serving, domain.names, now)
            or lifecycle.renewal_at(serving.leaf, self._manner.renew_before) <= now
        )

    # Before the order

    def _look_up(self, domain: Domain) -> Record:
        self._on_step(domain, "asking C4")
        try:
            return self._c4.domain(domain.name)
        except c4.UnknownDomain as error:
            if domain.serving is not None:
                self._store.mark_not_serving(domain, "C4 has no such domain")
            raise Stop(Code.C4_UNKNOWN_DOMAIN) from error
        except c4.Unauthorized as error:
            raise Stop(Code.C4_TOKEN_REFUSED, str(error)) from error
        except c4.C4Error as error:
            raise Stop(Code.C4_UNANSWERED, str(error), wish=_wish(error)) from error

    def _check_ports(self, record: Record) -> None:
        if not record.ports >= REQUIRED_PORTS:
            raise Stop(Code.PORTS_NOT_ENABLED, _ports(record.ports), _ports(REQUIRED_PORTS))

    def _check_dns(self, domain: Domain, record: Record) -> None:
        self._on_step(domain, "checking DNS")
        try:
            self._prober.check(domain.names, record.cname_target, http_expected=self._manner.webroot)
        except PreflightError as error:
            raise Stop(error.code, error.found, error.wanted) from error

    # The order

    def _settle_order(self, domain: Domain) -> tuple[Domain, bool]:
        """Finish or let go an order that an earlier pass left open; say whether a certificate came of it."""
        order = self._store.order(domain)
        if order is None:
            return domain, False
        self._on_step(domain, "collecting the open order")
        try:
            issued = self._issuer.collect(order)
        except IssueError as error:
            raise self._let_go(order, error) from error
        if issued is None:
            self._store.close_order(order, "came to nothing")
            self._issuer.forget(order)
            return domain, False
        return self._keep(domain, order, issued), True

    def _issue(self, domain: Domain) -> Domain:
        self._on_step(domain, "ordering a certificate")
        key = x509.make_key(self._manner.key_type)
        order = self._store.open_order(domain, domain.names, key, x509.make_csr(key, domain.names))

        def keep_url(url: str) -> None:
            self._store.record_url(order, url)

        try:
            issued = self._issuer.issue(order, keep_url)
        except IssueError as error:
            raise self._let_go(order, error) from error
        return self._keep(domain, order, issued)

    def _let_go(self, order: Order, error: IssueError) -> Stop:
        if not error.order_open:
            self._store.close_order(order, error.code)
            self._issuer.forget(order)
        return Stop(error.code, error.found, error.wanted, error.retry_at)

    def _keep(self, domain: Domain, order: Order, issued: Issued) -> Domain:
        key = self._store.order_key(order)
        try:
            leaf = x509.read_leaf(issued.certificate)
            # A clock of ours that is a little behind the CA's is no reason to spend another order.
            now = max(self._clock(), leaf.not_before)
            x509.check_pair(issued.certificate, key, issued.chain, order.names, now)
        except BadInput as error:
            self._store.close_order(order, "unusable")
            self._issuer.forget(order)
            raise Stop(Code.ISSUER_FAILED, f"what the CA issued cannot be used: {error.message}") from error
        kept = self._store.keep_issued(domain, order, issued.certificate, issued.chain, leaf)
        self._issuer.forget(order)
        return kept

    # The upload

    def _confirm(self, domain: Domain, record: Record) -> None:
        """Compare what C4 has with what it should serve, and put that back where it differs."""
        serving = domain.serving
        if serving is None or lifecycle.is_expired(serving.leaf, self._clock()):
            return
        if record.certificate is None or record.certificate.fingerprint != serving.leaf.fingerprint:
            why = "C4 has no certificate" if record.certificate is None else "C4 has another certificate"
            domain = self._store.mark_not_serving(domain, why)
            domain = self._store.want(domain, serving)
        self._upload(domain, serving, record)

    def _upload(self, domain: Domain, certificate: Certificate, record: Record) -> None:
        if record.certificate is None or record.certificate.fingerprint != certificate.leaf.fingerprint:
            self._on_step(domain, "uploading to C4")
            self._store.mark_uploading(certificate)
            self._put(domain, certificate, record.certificate)
            self._store.mark_uploaded(certificate)
        self._on_step(domain, "reading back from C4")
        self._read_back(domain, certificate)

    def _put(self, domain: Domain, certificate: Certificate, installed: Installed | None) -> None:
        bundle = self._store.bundle(certificate)
        try:
            self._c4.upload(domain.name, bundle, certificate.source)
        except c4.TextCertificatePresent:
            self._replace_text(domain, certificate, installed)
        except c4.Unanswered as error:
            # The answer may have been lost after C4 did what it was asked.
            if not self._has(domain, certificate):
                raise _refused(error) from error
        except c4.C4Error as error:
            raise _refused(error) from error

    def _has(self, domain: Domain, certificate: Certificate) -> bool:
        try:
            record = self._c4.domain(domain.name)
        except c4.C4Error:
            return False
        return (
            record.certificate is not None and record.certificate.fingerprint == certificate.leaf.fingerprint
        )

    def _replace_text(self, domain: Domain, certificate: Certificate, installed: Installed | None) -> None:
        """Remove the `text` certificate that is in the way, upload ours, put the old one back if that fails."""
        bundle = self._store.bundle(certificate)
        try:
            self._c4.remove(domain.name)
        except c4.C4Error as error:
            raise _refused(error, "; the text certificate is still installed") from error
        self._store.record(domain, "removed", "the text certificate on C4 makes way", certificate.version)
        try:
            self._c4.upload(domain.name, bundle, certificate.source)
        except c4.C4Error as error:
            raise _refused(error, self._put_back(domain, installed)) from error

    def _put_back(self, domain: Domain, installed: Installed | None) -> str:
        """Put the removed text certificate back where we have it, and say what is installed now."""
        held = [
            version
            for version in self._store.certificates(domain)
            if installed is not None and version.leaf.fingerprint == installed.fingerprint
        ]
        try:
            if held:
                self._c4.upload(domain.name, self._store.bundle(held[0]), held[0].source)
                self._store.record(domain, "put back", "the text certificate is on C4 again", held[0].version)
                return "; the text certificate is installed again"
        except c4.C4Error as error:
            return self._bare(domain, f"; the text certificate is removed and could not be put back: {error}")
        return self._bare(domain, "; the text certificate is removed, and its key is not known here")

    def _bare(self, domain: Domain, state: str) -> str:
        now = self._store.domain(domain.name)
        if now.serving is not None:
            self._store.mark_not_serving(now, "removed from C4")
        return state

    def _read_back(self, domain: Domain, certificate: Certificate) -> None:
        """Wait until C4 serves exactly `certificate`: an upload that nobody verified is not a Success."""
        wanted = certificate.leaf.fingerprint
        for poll in range(1 + round(self._manner.activation_seconds / _POLL_SECONDS)):
            if poll:
                self._sleep(_POLL_SECONDS)
            try:
                active = self._c4.certificate(domain.name)
            except c4.C4Error as error:
                raise Stop(Code.C4_UNANSWERED, str(error), wish=_wish(error)) from error
            if active is not None and active.fingerprint == wanted and active.state is State.ACTIVE:
                self._store.mark_serving(self._store.domain(domain.name), certificate)
                return
        latest = self._look_up(domain).certificate
        if latest is not None and latest.fingerprint == wanted:
            raise Stop(
                Code.C4_ACTIVATING, f"uploaded, not active after {self._manner.activation_seconds:g} seconds"
            )
        raise Stop(Code.C4_MISMATCH, "nothing" if latest is None else latest.fingerprint[:16], wanted[:16])


@contextmanager
def claimed(store: Store, name: str) -> Iterator[None]:
    """Hold the claim on the domain `name` for the block: who changes a domain takes turns. Raises `Busy`."""
    claim = f"domain:{name}"
    if not store.claim([claim], _CLAIM):
        raise Busy(f"another sslctl works on {name}", hint="try again in a minute")
    try:
        yield
    finally:
        store.release([claim])


def _refused(error: c4.C4Error, state: str = "") -> Stop:
    found = f"{error}{state}"
    if isinstance(error, c4.UnknownDomain):
        return Stop(Code.C4_UNKNOWN_DOMAIN)
    if isinstance(error, c4.Unauthorized):
        return Stop(Code.C4_UNAUTHORIZED, found)
    if isinstance(error, c4.Unanswered):
        return Stop(Code.C4_UPLOAD_FAILED, found, wish=error.retry_at)
    return Stop(Code.C4_REJECTED, found)


def _wish(error: c4.C4Error) -> datetime | None:
    return error.retry_at if isinstance(error, c4.Unanswered) else None


def _ports(ports: frozenset[int]) -> str:
    return " and ".join(f"port {port}" for port in sorted(ports)) or "no port"
