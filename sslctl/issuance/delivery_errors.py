"""The errors of a delivery: what C4's refusals of an upload mean for a domain."""

from __future__ import annotations

from sslctl.control_plane import ControlPlaneError, Unanswered, Unauthorized, UnknownDomain
from sslctl.errors import PairRefused
from sslctl.issuance.pass_ended import PassEnded
from sslctl.rules.model import Certificate
from sslctl.rules.reasons import Code


def refused_pair(name: str, certificate: Certificate, loss: str) -> PairRefused:
    """Return the error of a pasted pair that was withdrawn because of `loss`."""
    return PairRefused(
        f"the pasted certificate (version {certificate.version}) was not installed, because it is worse than the one in service: "
        f"{loss}. {name} stays as it was; `sslctl add {name} --cert … --key … --force` installs it all the same"
    )


def refused(error: ControlPlaneError, state: str) -> PassEnded:
    """Return the end of a pass whose upload or removal failed with `error`; `state` says what is installed now."""
    found = f"{error}{state}"
    if isinstance(error, UnknownDomain):
        return PassEnded(Code.C4_UNKNOWN_DOMAIN)
    if isinstance(error, Unauthorized):
        return PassEnded(Code.C4_UNAUTHORIZED, found)
    if isinstance(error, Unanswered):
        return PassEnded(Code.C4_UPLOAD_FAILED, found, retry_after=error.retry_at)
    return PassEnded(Code.C4_REJECTED, found)
