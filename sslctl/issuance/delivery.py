"""Putting a certificate that is held on C4, and seeing it there.

The intent is stored before C4 hears of it and the outcome after, so that a pass killed in between is gone on with: an
upload that is owed is made again, and the same upload twice is harmless.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from sslctl.control_plane import (
    ControlPlane,
    ControlPlaneError,
    Installed,
    Record,
    State,
    TextCertificatePresent,
    Unanswered,
    Unauthorized,
    UnknownDomain,
)
from sslctl.rules.model import Bundle, Certificate, Domain, Source
from sslctl.rules.reasons import Code
from sslctl.rules.versions import is_usable
from sslctl.store.interface.history import History
from sslctl.store.interface.versions import Versions

_POLL_SECONDS = 0.5


class Stop(Exception):  # it ends a pass with a finding; that is no error of the program
    """The pass ends here, with this finding. `wish` is when somebody outside wants to be asked again."""

    def __init__(self, code: Code, found: str = "", wanted: str = "", wish: datetime | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.found = found
        self.wanted = wanted
        self.wish = wish


class OutcomeUnknown(Unanswered):
    """Nobody can tell whether C4 did what it was asked."""


class _Store(History, Versions, Protocol):
    """What delivery reads and writes."""


class Delivery:
    """Speaks with C4 about one domain after the other. Every method may raise `Stop`."""

    def __init__(
        self,
        store: _Store,
        control_plane: ControlPlane,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        activation_seconds: float,
        on_step: Callable[[Domain, str], None],
    ) -> None:
        self._store = store
        self._c4 = control_plane
        self._clock = clock
        self._sleep = sleep
        self._activation_seconds = activation_seconds
        self._on_step = on_step

    def look_up(self, domain: Domain) -> tuple[Domain, Record]:
        """Give C4's record of `domain`, and the domain with what that tells of the certificate served."""
        self._on_step(domain, "asking C4")
        try:
            record = self._c4.domain(domain.name)
        except UnknownDomain as error:
            if domain.serving is not None:
                self._store.mark_not_serving(domain, "C4 has no such domain")
            raise Stop(Code.C4_UNKNOWN_DOMAIN) from error
        except Unauthorized as error:
            raise Stop(Code.C4_TOKEN_REFUSED, str(error)) from error
        except ControlPlaneError as error:
            raise Stop(Code.C4_UNANSWERED, str(error), wish=_wish(error)) from error
        return self._reconcile(domain, record.certificate), record

    def _reconcile(self, domain: Domain, installed: Installed | None) -> Domain:
        """Record it where C4 serves something else than it was last seen to.

        While C4 activates the wanted certificate, it goes on serving the one before.
        """
        is_active = installed is not None and installed.state is State.ACTIVE
        awaited = None if is_active else domain.wanted
        if domain.serving is None or _is_one_of(installed, domain.serving, awaited):
            return domain
        held = self._held(domain, installed) if is_active else None
        if held is not None:
            return self._store.mark_serving(domain, held, wanted=domain.wanted)
        why = "C4 has no certificate" if installed is None else "C4 has another certificate"
        return self._store.mark_not_serving(domain, why)

    def deliver(self, domain: Domain, certificate: Certificate, record: Record) -> None:
        """Upload `certificate` unless C4 has it already, and see that C4 serves it."""
        if not _is_one_of(record.certificate, certificate):
            self._on_step(domain, "uploading to C4")
            self._store.mark_uploading(certificate)
            domain = self._put(domain, certificate, record.certificate)
            self._store.mark_uploaded(certificate)
        self._on_step(domain, "reading back from C4")
        self._read_back(domain, certificate)

    def _put(self, domain: Domain, certificate: Certificate, installed: Installed | None) -> Domain:
        """Upload `certificate`; give the domain, which serves nothing now where a text certificate made way."""
        bundle = self._store.bundle(certificate)
        try:
            self._send(domain, certificate, bundle)
        except TextCertificatePresent:
            return self._replace_text(domain, certificate, bundle, installed)
        except ControlPlaneError as error:
            state = ""
            if installed is None and not isinstance(error, Unanswered):
                # A pass may have been killed after it had made way for this upload.
                state = self._put_back(domain, self._last_served_text(domain))
            raise _refused(error, state) from error
        return domain

    def _send(self, domain: Domain, certificate: Certificate, bundle: Bundle) -> None:
        try:
            self._c4.upload(domain.name, bundle, certificate.source)
        except Unanswered:
            # The answer may have been lost after C4 did what it was asked.
            record = _glance(self._c4, domain.name)
            if record is None or not _is_one_of(record.certificate, certificate):
                raise

    def _replace_text(
        self, domain: Domain, certificate: Certificate, bundle: Bundle, installed: Installed | None
    ) -> Domain:
        """Remove the `text` certificate that is in the way, upload ours, put the old one back if that fails."""
        held = self._held(domain, installed)
        if domain.serving is not None:
            domain = self._store.mark_not_serving(domain, "the text certificate makes way")
        try:
            remove(self._c4, domain.name)
        except ControlPlaneError as error:
            state = "; the text certificate is still installed"
            if isinstance(error, OutcomeUnknown):
                state = "; whether the text certificate is still installed is not known"
            if held is not None:
                self._store.mark_serving(domain, held, wanted=certificate)
            raise _refused(error, state) from error
        self._store.record_event(
            domain, "removed", "the text certificate, from C4", held.version if held else None
        )
        try:
            self._send(domain, certificate, bundle)
        except ControlPlaneError as error:
            raise _refused(error, self._put_back(domain, held)) from error
        return domain

    def _held(self, domain: Domain, installed: Installed | None) -> Certificate | None:
        """Give the version in our history that is installed on C4."""
        return next((one for one in self._store.certificates(domain) if _is_one_of(installed, one)), None)

    def _last_served_text(self, domain: Domain) -> Certificate | None:
        """Give the version that C4 served last, if it is a text one that may still be used."""
        versions = self._store.certificates(domain)
        served = [one for one in versions if one.verified_at is not None and one.replaced_at is None]
        last = max(served, key=lambda one: (one.verified_at, one.version), default=None)
        if last is None or last.source is not Source.TEXT:
            return None
        return last if is_usable(last, domain.names, self._clock()) else None

    def _put_back(self, domain: Domain, held: Certificate | None) -> str:
        """Put a removed text certificate back where we have it, and say what is installed now."""
        if held is None:
            return "; nothing is installed now"
        try:
            self._c4.upload(domain.name, self._store.bundle(held), held.source)
        except ControlPlaneError as error:
            return f"; nothing is installed now, for the text certificate could not be put back: {error}"
        self._store.mark_serving(domain, held, wanted=domain.wanted)
        self._store.record_event(domain, "put back", "the text certificate is on C4 again", held.version)
        return "; the text certificate is installed again"

    def _read_back(self, domain: Domain, certificate: Certificate) -> None:
        """Wait until C4 serves exactly `certificate`: an upload that nobody verified is not a Success."""
        for poll in range(1 + round(self._activation_seconds / _POLL_SECONDS)):
            if poll:
                self._sleep(_POLL_SECONDS)
            try:
                active = self._c4.certificate(domain.name)
            except ControlPlaneError as error:
                raise Stop(Code.C4_UNANSWERED, str(error), wish=_wish(error)) from error
            if active is not None and active.state is State.ACTIVE and _is_one_of(active, certificate):
                self._store.mark_serving(domain, certificate, wanted=certificate)
                return
        _, record = self.look_up(domain)
        if _is_one_of(record.certificate, certificate):
            raise Stop(Code.C4_ACTIVATING, f"uploaded, not active after {self._activation_seconds:g} seconds")
        found = "nothing" if record.certificate is None else record.certificate.fingerprint[:16]
        raise Stop(Code.C4_MISMATCH, found, certificate.leaf.fingerprint[:16])


def remove(control_plane: ControlPlane, name: str) -> bool:
    """Remove what is installed for `name`; False where nothing was.

    Raises what `ControlPlane.remove` does, and `OutcomeUnknown` where it may have been removed all the same.
    """
    try:
        return control_plane.remove(name)
    except Unanswered as error:
        # The answer may have been lost after C4 did what it was asked.
        record = _glance(control_plane, name)
        if record is None:
            raise OutcomeUnknown(str(error), error.retry_at) from error
        if record.certificate is not None:
            raise
        return True


def _glance(control_plane: ControlPlane, name: str) -> Record | None:
    """Give C4's record of `name`, None where it cannot be had just now."""
    try:
        return control_plane.domain(name)
    except ControlPlaneError:
        return None


def _is_one_of(installed: Installed | None, *certificates: Certificate | None) -> bool:
    return installed is not None and any(
        one is not None and one.leaf.fingerprint == installed.fingerprint for one in certificates
    )


def _refused(error: ControlPlaneError, state: str) -> Stop:
    found = f"{error}{state}"
    if isinstance(error, UnknownDomain):
        return Stop(Code.C4_UNKNOWN_DOMAIN)
    if isinstance(error, Unauthorized):
        return Stop(Code.C4_UNAUTHORIZED, found)
    if isinstance(error, Unanswered):
        return Stop(Code.C4_UPLOAD_FAILED, found, wish=error.retry_at)
    return Stop(Code.C4_REJECTED, found)


def _wish(error: ControlPlaneError) -> datetime | None:
    return error.retry_at if isinstance(error, Unanswered) else None
