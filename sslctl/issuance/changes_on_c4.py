"""Change what C4 has for a domain. If C4's answer is lost, its record shows whether it carried out the request."""

from __future__ import annotations

from sslctl.control_plane import Changed, ControlPlane, ControlPlaneError, Record, Unanswered
from sslctl.issuance.observation import is_one_of
from sslctl.rules.model import Bundle, Certificate


class OutcomeUnknown(Unanswered):
    """C4 did not answer, and whether it carried out the request is unknown."""


def upload(
    control_plane: ControlPlane, name: str, bundle: Bundle, certificate: Certificate, expected: str
) -> None:
    """Upload `certificate` for `name` if the certificate with the fingerprint `expected`, or `NOTHING`, is installed.

    `bundle` is `certificate` with its key. Raise what `ControlPlane.upload` raises.
    """
    try:
        control_plane.upload(name, bundle, certificate.source, expected)
    except (Unanswered, Changed):
        # C4 may have carried out the request although its answer was lost.
        record = _try_record(control_plane, name)
        if record is None or not is_one_of(record.certificate, certificate):
            raise


def remove(control_plane: ControlPlane, name: str, expected: str) -> bool:
    """Remove the certificate of `name` with the fingerprint `expected` from C4; return False if there was none.

    Raise what `ControlPlane.remove` raises, and `OutcomeUnknown` if it may have been removed although C4 did not answer.
    """
    try:
        return control_plane.remove(name, expected)
    except Unanswered as error:
        # C4 may have carried out the request although its answer was lost.
        record = _try_record(control_plane, name)
        if record is None:
            raise OutcomeUnknown(str(error), error.retry_at) from error
        if record.certificate is None:
            return True
        if record.certificate.fingerprint != expected:
            raise Changed(str(error)) from error
        raise


def _try_record(control_plane: ControlPlane, name: str) -> Record | None:
    """Return C4's record of `name`; None if C4 does not return it now."""
    try:
        return control_plane.domain(name)
    except ControlPlaneError:
        return None
