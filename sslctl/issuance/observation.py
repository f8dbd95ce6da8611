"""Read what C4 has for a domain, and record it."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from sslctl.control_plane import (
    ControlPlane,
    ControlPlaneError,
    Installed,
    Record,
    State,
    Unanswered,
    Unauthorized,
    UnknownDomain,
)
from sslctl.issuance.customers import Named, NamedCustomers
from sslctl.issuance.pass_ended import PassEnded
from sslctl.rules.model import Certificate, Domain, Source
from sslctl.rules.pass_result import CHECKED_AGAIN, Problem
from sslctl.rules.reasons import Code
from sslctl.rules.singapore import format_sgt
from sslctl.rules.versions import is_adopted, is_expired, may_replace
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions
from sslctl.wording import C4

_REQUIRED_PORTS = frozenset({80, 443})
_MOST_PORTS_SHOWN = 10


class _Store(Domains, Transactions, Versions, Protocol):
    """What observation reads and writes."""


class Observation:
    """The reading of C4's records. Every method may raise `PassEnded`."""

    def __init__(
        self,
        store: _Store,
        control_plane: ControlPlane,
        customers: NamedCustomers,
        *,
        clock: Callable[[], datetime],
        on_step: Callable[[Domain, str], None],
    ) -> None:
        self._store = store
        self._customers = customers
        self._c4 = control_plane
        self._clock = clock
        self._on_step = on_step

    def look_up(self, domain: Domain, believe: Container[Code] = CHECKED_AGAIN) -> tuple[Domain, Record]:
        """Return `domain`, updated with which certificate C4 serves, and C4's record of it.

        If C4 has another certificate than ours or none, raise `PassEnded` instead, unless `believe` has the code of that.
        """
        self._on_step(domain, f"querying {C4}")
        try:
            record = self._c4.domain(domain.name)
        except UnknownDomain as error:
            raise PassEnded(Code.C4_UNKNOWN_DOMAIN) from error
        except Unauthorized as error:
            raise PassEnded(Code.C4_TOKEN_REFUSED, str(error)) from error
        except ControlPlaneError as error:
            raise PassEnded(Code.C4_UNANSWERED, str(error), retry_after=retry_after(error)) from error
        self._customers.hear([Named(domain.name, domain.c4_customer, record.customer)])
        installed = self._correct(domain, record.certificate)
        doubt = self._find_doubt(domain, installed)
        if doubt is not None and doubt.problem.code not in believe:
            raise doubt
        return self.reconcile(domain, installed), replace(record, certificate=installed)

    def _correct(self, domain: Domain, installed: Installed | None) -> Installed | None:
        """Return `installed` with the expiry that is known of this certificate, because C4 may be wrong about it.

        Of one that sslctl did not install only C4 knows the expiry: the latest one that it gave counts.
        """
        if installed is None:
            return None
        foreign = domain.foreign
        if foreign is not None and foreign.fingerprint == installed.fingerprint:
            return replace(installed, not_after=max(installed.not_after, foreign.not_after))
        current = (domain.serving, domain.wanted)
        known = next((one for one in current if is_one_of(installed, one)), None)
        known = known or find_version(self._store, domain, installed)
        return installed if known is None else replace(installed, not_after=known.not_after)

    def _find_doubt(self, domain: Domain, installed: Installed | None) -> PassEnded | None:
        """Return that what was in service is not any more, according to C4, although it is valid.

        Return None if C4 still has it, or has one of ours.
        """
        current = domain.in_service
        if current is None or is_expired(current, self._clock()):
            return None
        if installed is None:
            return PassEnded(Code.C4_LOST)
        if installed.fingerprint == current.fingerprint and installed.source is current.source:
            return None
        if is_one_of(installed, domain.serving, domain.wanted) or find_version(
            self._store, domain, installed
        ):
            return None
        return PassEnded(Code.OTHER_CERTIFICATE, installed.fingerprint[:16], current.fingerprint[:16])

    def reconcile(self, domain: Domain, installed: Installed | None) -> Domain:
        """Record it if C4 has another certificate than before; return the domain.

        While C4 activates the wanted certificate, it still serves the previous one. An adopted domain to which C4 gives a
        certificate of the CA again is one of source c4 again: nobody else would renew it.
        """
        installed = self._correct(domain, installed)
        if installed is None:
            return self.record_not_serving(domain, None, f"{C4} has no certificate")
        is_active = installed.state is State.ACTIVE
        if is_one_of(installed, domain.serving):
            return self._not_foreign(domain)
        if not is_active and is_one_of(installed, domain.wanted):
            return self._not_foreign(domain)
        known = find_version(self._store, domain, installed)
        if known is None:
            return self.record_not_serving(domain, installed, f"{C4} has another certificate")
        if not is_active:
            return domain
        if is_adopted(domain) and known.source is Source.C4:
            with self._store.transaction():
                domain = self._store.mark_serving(domain, known, wanted=known)
                return self._store.update_domain(domain, domain.sans, Source.C4)
        return self._store.mark_serving(domain, known, wanted=domain.wanted)

    def _not_foreign(self, domain: Domain) -> Domain:
        return domain if domain.foreign is None else self._store.record_observation(domain, None)

    def record_not_serving(self, domain: Domain, foreign: Installed | None, why: str) -> Domain:
        """Record that C4 has `foreign` in place of our certificate, or none; `why` is written into the history."""
        if domain.serving is None and domain.foreign == foreign:
            return domain
        with self._store.transaction():
            if domain.serving is not None:
                domain = self._store.mark_not_serving(domain, why)
            return self._store.record_observation(domain, foreign)

    def agree_to_replace_text(self, domain: Domain) -> Domain:
        """Record a person's consent to replace the text certificate that C4 has now, if sslctl did not install it."""
        foreign = domain.foreign
        if foreign is None or foreign.source is not Source.TEXT or foreign.fingerprint == domain.text_consent:
            return domain
        return self._store.record_text_consent(domain, foreign.fingerprint)

    def require_replaceable(
        self, domain: Domain, *, renew: bool, believe: Container[Code] = CHECKED_AGAIN
    ) -> None:
        """Raise `PassEnded` if C4 has a text certificate that nobody agreed to replace, and that is valid.

        If C4 had one of ours before, the customer has replaced it: that is a warning, unless `renew` asks for an order.
        That it has expired is news of C4 and of this machine's clock: it is believed if `believe` has `OTHER_EXPIRED`.
        """
        foreign = domain.foreign
        if foreign is None or foreign.source is not Source.TEXT or is_adopted(domain):
            return
        if may_replace(domain, self._clock()):
            if foreign.fingerprint != domain.text_consent and Code.OTHER_EXPIRED not in believe:
                raise PassEnded(
                    Code.OTHER_EXPIRED, f"{foreign.fingerprint[:16]}, expired {format_sgt(foreign.not_after)}"
                )
            return
        was_ours = any(one.verified_at is not None for one in self._store.certificates(domain))
        if renew or not was_ours:
            raise PassEnded(
                Code.FOREIGN_TEXT, f"{foreign.fingerprint[:16]}, valid until {format_sgt(foreign.not_after)}"
            )


def find_missing_ports(record: Record) -> Problem | None:
    """Return that `record` lacks port 80 or 443, which a certificate needs; None if it has both."""
    if record.ports >= _REQUIRED_PORTS:
        return None
    return Problem(Code.PORTS_NOT_ENABLED, _ports(record.ports), _ports(_REQUIRED_PORTS))


def _ports(ports: frozenset[int]) -> str:
    shown = [f"port {port}" for port in sorted(ports)[:_MOST_PORTS_SHOWN]]
    if len(ports) > _MOST_PORTS_SHOWN:
        shown.append(f"{len(ports) - _MOST_PORTS_SHOWN} more")
    return " and ".join(shown) or "no port"


def find_version(store: Versions, domain: Domain, installed: Installed | None) -> Certificate | None:
    """Return the version in the history of `domain` that is installed on C4; None if we do not have it."""
    return next((one for one in store.certificates(domain) if is_one_of(installed, one)), None)


def is_one_of(installed: Installed | None, *certificates: Certificate | None) -> bool:
    """Return whether the certificate that is `installed` is one of `certificates`."""
    return installed is not None and any(
        one is not None and one.leaf.fingerprint == installed.fingerprint for one in certificates
    )


def retry_after(error: ControlPlaneError) -> datetime | None:
    """Return the earliest retry that C4 asked for, None if it did not."""
    return error.retry_at if isinstance(error, Unanswered) else None
