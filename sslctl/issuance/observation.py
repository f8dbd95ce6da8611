"""Read what C4 has for a domain, and record it."""

from __future__ import annotations

from collections.abc import Callable, Container
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
from sslctl.issuance.pass_ended import PassEnded
from sslctl.rules.model import Certificate, Domain, Source
from sslctl.rules.pass_result import CHECKED_AGAIN
from sslctl.rules.reasons import Code
from sslctl.rules.singapore import format_sgt
from sslctl.rules.versions import is_adopted, is_expired, may_replace
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions


class _Store(Domains, Transactions, Versions, Protocol):
    """What observation reads and writes."""


class Observation:
    """The reading of C4's records. Every method may raise `PassEnded`."""

    def __init__(
        self,
        store: _Store,
        control_plane: ControlPlane,
        *,
        clock: Callable[[], datetime],
        on_step: Callable[[Domain, str], None],
    ) -> None:
        self._store = store
        self._c4 = control_plane
        self._clock = clock
        self._on_step = on_step

    def look_up(self, domain: Domain, believe: Container[Code] = CHECKED_AGAIN) -> tuple[Domain, Record]:
        """Return `domain`, updated with which certificate C4 serves, and C4's record of it.

        If C4 has another certificate than ours or none, raise `PassEnded` instead, unless `believe` has the code of that.
        """
        self._on_step(domain, "querying C4")
        try:
            record = self._c4.domain(domain.name)
        except UnknownDomain as error:
            raise PassEnded(Code.C4_UNKNOWN_DOMAIN) from error
        except Unauthorized as error:
            raise PassEnded(Code.C4_TOKEN_REFUSED, str(error)) from error
        except ControlPlaneError as error:
            raise PassEnded(Code.C4_UNANSWERED, str(error), retry_after=retry_after(error)) from error
        doubt = self._find_doubt(domain, record.certificate)
        if doubt is not None and doubt.problem.code not in believe:
            raise doubt
        return self.reconcile(domain, record.certificate), record

    def _find_doubt(self, domain: Domain, installed: Installed | None) -> PassEnded | None:
        """Return that ours is not in service any more, according to C4, although it is valid; None if C4 has one of ours."""
        if domain.serving is None or is_expired(domain.serving, self._clock()):
            return None
        if installed is None:
            return PassEnded(Code.C4_LOST)
        if is_one_of(installed, domain.serving, domain.wanted) or self.find_version(domain, installed):
            return None
        return PassEnded(Code.OTHER_CERTIFICATE, installed.fingerprint[:16], domain.serving.fingerprint[:16])

    def reconcile(self, domain: Domain, installed: Installed | None) -> Domain:
        """Record it if C4 has another certificate than before; return the domain.

        While C4 activates the wanted certificate, it still serves the previous one.
        """
        if installed is None:
            return self.record_not_serving(domain, None, "C4 has no certificate")
        is_active = installed.state is State.ACTIVE
        if is_one_of(installed, domain.serving, domain.wanted if domain.serving is None else None):
            return self._not_foreign(domain)
        if not is_active and is_one_of(installed, domain.wanted):
            return self._not_foreign(domain)
        known = self.find_version(domain, installed)
        if known is None:
            return self.record_not_serving(domain, installed, "C4 has another certificate")
        if is_active:
            return self._store.mark_serving(domain, known, wanted=domain.wanted)
        return domain

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

    def require_replaceable(self, domain: Domain, *, renew: bool) -> None:
        """Raise `PassEnded` if C4 has a valid text certificate that nobody agreed to replace.

        If C4 had one of ours before, the customer has replaced it: that is a warning, unless `renew` asks for an order.
        """
        foreign = domain.foreign
        if foreign is None or foreign.source is not Source.TEXT:
            return
        if is_adopted(domain) or may_replace(domain, self._clock()):
            return
        was_ours = any(one.verified_at is not None for one in self._store.certificates(domain))
        if renew or not was_ours:
            raise PassEnded(
                Code.FOREIGN_TEXT, f"{foreign.fingerprint[:16]}, valid until {format_sgt(foreign.not_after)}"
            )

    def find_version(self, domain: Domain, installed: Installed | None) -> Certificate | None:
        """Return the version in our history that is installed on C4; None if we do not have it."""
        return next((one for one in self._store.certificates(domain) if is_one_of(installed, one)), None)


def is_one_of(installed: Installed | None, *certificates: Certificate | None) -> bool:
    """Return whether the certificate that is `installed` is one of `certificates`."""
    return installed is not None and any(
        one is not None and one.leaf.fingerprint == installed.fingerprint for one in certificates
    )


def retry_after(error: ControlPlaneError) -> datetime | None:
    """Return the earliest retry that C4 asked for, None if it did not."""
    return error.retry_at if isinstance(error, Unanswered) else None
