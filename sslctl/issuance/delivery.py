"""Upload a certificate to C4 and verify that C4 serves it.

The intent is stored before the upload and the outcome after it. If a pass is killed in between, the next one uploads
again; the same upload twice is harmless.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from sslctl.certificates.trust import TrustedRoots
from sslctl.control_plane import (
    NOTHING,
    Changed,
    ControlPlane,
    ControlPlaneError,
    Installed,
    Record,
    State,
    TextCertificatePresent,
    Unanswered,
    UnknownDomain,
)
from sslctl.issuance.changes_on_c4 import OutcomeUnknown, remove, upload
from sslctl.issuance.claims import require_claim
from sslctl.issuance.compromised_keys import has_compromised_key
from sslctl.issuance.delivery_errors import refused, refused_pair
from sslctl.issuance.edge_proof import EdgeProof
from sslctl.issuance.maintenance import require_no_pause
from sslctl.issuance.observation import Observation, find_version, is_one_of, retry_after
from sslctl.issuance.pass_ended import PassEnded
from sslctl.issuance.upload_counts import counting_failures
from sslctl.rules.model import Bundle, Certificate, Domain, Source
from sslctl.rules.pass_result import Step
from sslctl.rules.poll_pauses import poll_pauses
from sslctl.rules.reasons import Code
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.replacement import TRUST_LOST, find_loss
from sslctl.rules.status import queued_finding
from sslctl.rules.versions import is_expired, is_usable
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.history import History
from sslctl.store.interface.maintenance_pauses import MaintenancePauses
from sslctl.store.interface.revocations import Revocations
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions
from sslctl.wording import C4

# The longest pause between two looks at a certificate that is being activated.
_LONGEST_PAUSE = 0.5
# Before each further attempt while nothing is installed, in seconds, and the longest Retry-After that is waited for then.
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
_LONGEST_WAIT = 30.0


@dataclass(frozen=True, slots=True)
class ReplacementRules:
    """What decides whether a certificate may replace another.

    `renewal` says when one is due, `trusted` whom browsers trust. `is_private_ca` is whether the configured CA is known to
    this machine by a bundle of its own, so that browsers need not trust what is in service.
    """

    renewal: RenewalRule = field(default_factory=RenewalRule)
    trusted: TrustedRoots = field(default_factory=TrustedRoots)
    is_private_ca: bool = False


class _Store(Claims, Domains, History, MaintenancePauses, Revocations, Transactions, Versions, Protocol):
    """What delivery reads and writes."""


class Delivery:
    """The steps of a pass at C4, and at the edges if there is an `edge_proof`. Every method may raise `PassEnded`."""

    def __init__(
        self,
        store: _Store,
        control_plane: ControlPlane,
        observation: Observation,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        activation_seconds: float,
        on_step: Callable[[Domain, str], None],
        rules: ReplacementRules,
        edge_proof: EdgeProof | None = None,
    ) -> None:
        self._store = store
        self._c4 = control_plane
        self._observation = observation
        self._clock = clock
        self._sleep = sleep
        self._activation_seconds = activation_seconds
        self._on_step = on_step
        self._rules = rules
        self._edge_proof = edge_proof

    def deliver(
        self, domain: Domain, certificate: Certificate, record: Record, *, force: bool = False
    ) -> None:
        """Upload `certificate` unless C4 has it already, then wait until C4 serves it.

        Raise `PassEnded` if something would get worse on the edge, unless `force` is true, while uploads are paused, and if its
        key is marked as compromised.
        """
        if not is_one_of(record.certificate, certificate):
            if has_compromised_key(self._store, certificate):
                raise PassEnded(Code.KEY_COMPROMISED, f"version {certificate.version}")
            self._require_no_loss(domain, certificate, record.certificate, force=force)
            self._require_no_pause(domain, record.certificate)
            self._on_step(domain, f"uploading to {C4}")
            self._store.mark_uploading(certificate)
            with counting_failures(self._store):
                domain = self._put(domain, certificate, record.certificate)
            self._store.mark_uploaded(certificate)
        self._on_step(domain, f"reading back from {C4}")
        self._read_back(domain, certificate)

    def _require_no_loss(
        self, domain: Domain, certificate: Certificate, installed: Installed | None, *, force: bool
    ) -> None:
        """Raise `PassEnded` if `certificate` is worse than what is installed; then the domain keeps that one.

        If it was pasted over a managed domain, raise `PairRefused`: source, wanted certificate and renewal are as before.
        """
        if installed is None:
            return
        loss = self._find_loss(domain, certificate, installed)
        if loss and force:
            self._store.record_event(domain, "forced", loss, certificate.version)
            self._on_step(domain, f"replacing it although {loss}")
        elif loss:
            better = "a certificate that browsers trust and that lasts at least as long"
            if certificate.source is Source.TEXT:
                is_new = certificate.verified_at is None
                if is_new and self._store.withdraw_pair(domain, certificate, loss) is not None:
                    raise refused_pair(domain.name, certificate, loss)
                # There is nothing to return to: the pair is installed when it is not worse any more.
                raise PassEnded(Code.PAIR_WORSE, loss, better, step=Step.UPLOAD)
            # The next pass orders a new one.
            self._store.drop_wanted(domain, certificate, loss)
            raise PassEnded(Code.CERT_WORSE, loss, better)

    def _require_no_pause(self, domain: Domain, installed: Installed | None) -> None:
        """Raise `PassEnded` while an operator has paused all changes on C4. `installed` is what C4 has for `domain`.

        If the edge served `domain` before and serves nothing valid now, that is an Emergency.
        """
        now = self._clock()
        try:
            require_no_pause(self._store, now, Step.UPLOAD)
        except PassEnded as ended:
            is_dark = installed is None or is_expired(installed, now)
            if is_dark and self._was_served(domain):
                ended.problem = replace(ended.problem, code=Code.UPLOAD_PAUSED)
            raise

    def _was_served(self, domain: Domain) -> bool:
        """Return whether C4 had a certificate of `domain` before: one of ours, or one that sslctl began to replace."""
        if any(one.verified_at is not None for one in self._store.certificates(domain)):
            return True
        return any(event.kind == "replacing" for event in self._store.events(domain))

    def _find_loss(self, domain: Domain, certificate: Certificate, installed: Installed) -> str:
        """Return what gets worse if `certificate` replaces what is installed, in words; empty if nothing does."""
        now = self._clock()
        if is_expired(installed, now):
            return ""
        known = find_version(self._store, domain, installed)
        is_trust_lost = self._is_trust_lost(certificate, known)
        if installed.source is Source.TEXT and certificate.source is Source.C4:
            # Whoever asked for a certificate of the CA in place of one by text knows that it is renewed from then on.
            return TRUST_LOST if is_trust_lost else ""
        if known is None:
            is_due = installed.not_after - self._rules.renewal.before <= now
        else:
            is_due = known.revoked_at is not None or self._rules.renewal.renew_at(known) <= now
            is_due |= any(each.certificate.id == known.id for each in self._store.open_revocations(domain))
        return find_loss(certificate, installed, now, may_end_sooner=is_due, is_trust_lost=is_trust_lost)

    def _is_trust_lost(self, certificate: Certificate, known: Certificate | None) -> bool:
        """Return whether browsers trust what is installed (`known`, None if it is foreign), and not `certificate`."""
        now, trusted = self._clock(), self._rules.trusted
        if not trusted.exist or trusted.trust(self._store.bundle(certificate), now):
            return False
        if known is None:
            # Its chain is not known. With the CA of a test or of a company, it is most likely of that CA.
            return not self._rules.is_private_ca
        return trusted.trust(self._store.bundle(known), now)

    def _put(self, domain: Domain, certificate: Certificate, installed: Installed | None) -> Domain:
        """Upload `certificate` over `installed`, and return the domain; if a text certificate was replaced, it serves nothing yet."""
        bundle = self._store.bundle(certificate)
        require_claim(self._store, domain.name)
        self._require_no_pause(domain, installed)
        try:
            expected = NOTHING if installed is None else installed.fingerprint
            upload(self._c4, domain.name, bundle, certificate, expected)
        except TextCertificatePresent:
            return self._replace_text(domain, certificate, bundle, installed)
        except Changed as error:
            raise self._changed(domain) from error
        except ControlPlaneError as error:
            state = ""
            if installed is None and not isinstance(error, Unanswered):
                # An earlier pass may have been killed after it removed the text certificate.
                state = self._restore(domain, self._last_served_text(domain))
            raise refused(error, state) from error
        return domain

    def _insist(self, domain: Domain, certificate: Certificate, bundle: Bundle) -> ControlPlaneError | None:
        """Upload `certificate` while nothing is installed, and try again for a short time if C4 does not answer.

        Return None if C4 has it, or the last error. This touches only C4, so that a busy database does not delay it.
        """
        for pause in (*_PAUSES, None):
            try:
                upload(self._c4, domain.name, bundle, certificate, NOTHING)
            except Unanswered as error:
                wait = 0.0 if error.retry_at is None else (error.retry_at - self._clock()).total_seconds()
                if pause is None or wait > _LONGEST_WAIT:
                    return error
                self._sleep(max(pause, wait))
            except ControlPlaneError as error:
                return error
            else:
                break
        return None

    def _changed(self, domain: Domain) -> PassEnded:
        """Return the end of a pass that met another certificate on C4 than it had seen there. Nothing was changed."""
        was_changed = domain.finding is not None and domain.finding.code in (
            Code.C4_CHANGED,
            Code.C4_REJECTED,
        )
        domain, record = self._observation.look_up(domain)
        self._observation.require_replaceable(domain, renew=True)
        found = "nothing" if record.certificate is None else record.certificate.fingerprint[:16]
        if was_changed:
            # Nobody is that fast twice: C4 contradicts itself, and the certificate is not on the edge.
            return PassEnded(
                Code.C4_REJECTED, f"it has another certificate than its record shows ({found}), again"
            )
        return PassEnded(Code.C4_CHANGED, found)

    def _replace_text(
        self, domain: Domain, certificate: Certificate, bundle: Bundle, seen: Installed | None
    ) -> Domain:
        """Remove the text certificate from C4 and upload `certificate`; install the text certificate again if that fails.

        1. Look at C4 again: the text certificate must be the one that was `seen`. Read everything that is needed later.
        2. Commit the intent: if this process is killed, the next tick uploads at once.
        3. `DELETE` that certificate, and `PUT` ours. Nothing touches the store in between: it may be busy or full.
        4. Record the outcome.
        """
        domain, installed = self._look_at_text(domain, seen)
        text = find_version(self._store, domain, installed)
        old = None if text is None or not self._may_put_back(text) else self._store.bundle(text)
        domain = self._begin_replacement(domain, installed, text)
        unknown = self._remove_text(domain, certificate, installed, text)
        failed = self._insist(domain, certificate, bundle)
        if failed is not None:
            is_taken = isinstance(failed, (Changed, TextCertificatePresent))
            if is_taken and unknown is None:
                self._record_removed(domain, text)
                raise self._changed(domain) from failed
            restored = text is not None and old is not None and self._insist(domain, text, old) is None
            raise self._end_replacement(domain, text if restored else None, failed, unknown) from failed
        self._record_removed(domain, text)
        return domain

    def _look_at_text(self, domain: Domain, seen: Installed | None) -> tuple[Domain, Installed]:
        """Return the domain, and the text certificate that C4 has now: the one that was `seen`, and that may be replaced."""
        try:
            installed = self._c4.domain(domain.name).certificate
        except ControlPlaneError as error:
            raise refused(error, "; the text certificate is still installed") from error
        domain = self._observation.reconcile(domain, installed)
        self._observation.require_replaceable(domain, renew=True)
        is_seen = installed is not None and seen is not None and installed.fingerprint == seen.fingerprint
        if installed is None or not is_seen or installed.source is not Source.TEXT:
            raise self._changed(domain)
        return domain, installed

    def _remove_text(
        self, domain: Domain, certificate: Certificate, installed: Installed, text: Certificate | None
    ) -> OutcomeUnknown | None:
        """Remove the text certificate `installed`; return the error if C4 may or may not have done so."""
        try:
            remove(self._c4, domain.name, installed.fingerprint)
        except OutcomeUnknown as error:
            return error
        except Changed as error:
            raise self._changed(domain) from error
        except ControlPlaneError as error:
            if text is not None:
                self._store.mark_serving(domain, text, wanted=certificate)
            raise refused(error, "; the text certificate is still installed") from error
        return None

    def _record_removed(self, domain: Domain, text: Certificate | None) -> None:
        version = text.version if text else None
        self._store.record_event(domain, "removed", f"the text certificate, from {C4}", version)

    def _end_replacement(
        self,
        domain: Domain,
        restored: Certificate | None,
        failed: ControlPlaneError,
        unknown: OutcomeUnknown | None,
    ) -> PassEnded:
        """Record that the upload `failed` after the removal, and that `restored` is installed again, if given.

        Return the end of the pass. `unknown` is the error if C4 may or may not have removed the text certificate.
        """
        with self._store.transaction():
            if unknown is None:
                self._record_removed(domain, restored)
            if restored is not None:
                self._record_restored(domain, restored)
                return refused(failed, "; the text certificate is installed again")
            if unknown is not None:
                return refused(unknown, "; whether the text certificate is still installed is unknown")
            self._observation.record_not_serving(domain, None, f"{C4} has no certificate")
            self._store.record_event(domain, "nothing installed", str(failed))
        if isinstance(failed, UnknownDomain):
            return refused(failed, "")
        return PassEnded(Code.NOTHING_INSTALLED, str(failed), retry_after=retry_after(failed))

    def _begin_replacement(self, domain: Domain, installed: Installed, text: Certificate | None) -> Domain:
        """Commit that the text certificate is about to be removed; return the domain, which serves nothing now."""
        with self._store.transaction():
            # Not again before the upload: what is removed must be replaced.
            require_claim(self._store, domain.name)
            self._require_no_pause(domain, installed)
            if domain.serving is not None:
                domain = self._store.mark_not_serving(domain, "the text certificate is being replaced")
            self._store.record_event(
                domain,
                "replacing",
                f"the text certificate {installed.fingerprint[:16]} on {C4}",
                text.version if text else None,
            )
            # Due at once if this process is killed; the end of the pass replaces it.
            return self._store.record_finding(domain, queued_finding(self._clock()))

    def _last_served_text(self, domain: Domain) -> Certificate | None:
        """Return the version that C4 served last, if it is a text certificate that is still usable."""
        versions = self._store.certificates(domain)
        served = [one for one in versions if one.verified_at is not None and one.replaced_at is None]
        last = max(served, key=lambda one: (one.verified_at, one.version), default=None)
        if last is None or last.source is not Source.TEXT:
            return None
        return last if is_usable(last, domain.names, self._clock()) and self._may_put_back(last) else None

    def _may_put_back(self, text: Certificate) -> bool:
        """Return whether the key of `text` is stored and not marked as compromised."""
        return text.key_destroyed_at is None and not has_compromised_key(self._store, text)

    def _restore(self, domain: Domain, text: Certificate | None) -> str:
        """Upload the removed certificate `text` again if we have it; return what is installed now, in words."""
        if text is None:
            return "; nothing is installed now"
        error = self._insist(domain, text, self._store.bundle(text))
        if error is not None:
            return f"; nothing is installed now, because the text certificate could not be restored: {error}"
        with self._store.transaction():
            self._record_restored(domain, text)
        return "; the text certificate is installed again"

    def _record_restored(self, domain: Domain, text: Certificate) -> None:
        self._store.mark_serving(domain, text, wanted=domain.wanted)
        self._store.record_event(domain, "put back", f"the text certificate is on {C4} again", text.version)

    def _read_back(self, domain: Domain, certificate: Certificate) -> None:
        """Wait until C4 and the edges serve exactly `certificate`: an upload is a Success only after it is verified."""
        for pause in (0.0, *poll_pauses(self._activation_seconds, _LONGEST_PAUSE)):
            self._sleep(pause)
            try:
                active = self._c4.certificate(domain.name)
            except ControlPlaneError as error:
                raise PassEnded(
                    Code.C4_UNANSWERED, str(error), retry_after=retry_after(error), step=Step.READ_BACK
                ) from error
            if active is not None and active.state is State.ACTIVE and is_one_of(active, certificate):
                domain = self._store.mark_serving(domain, certificate, wanted=certificate)
                if self._edge_proof is not None and self._edge_proof.edges:
                    self._on_step(domain, "asking the edges")
                    self._edge_proof.require(domain, certificate)
                return
        _, record = self._observation.look_up(domain)
        if is_one_of(record.certificate, certificate):
            raise PassEnded(
                Code.C4_ACTIVATING, f"uploaded, not active after {self._activation_seconds:g} seconds"
            )
        found = "nothing" if record.certificate is None else record.certificate.fingerprint[:16]
        raise PassEnded(Code.C4_MISMATCH, found, certificate.leaf.fingerprint[:16])
