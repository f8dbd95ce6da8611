"""Which certificate C4 has, for commands that a person runs: an answer, or an error that ends the command."""

from __future__ import annotations

from sslctl.control_plane import (
    ControlPlane,
    ControlPlaneError,
    Installed,
    Unauthorized,
    UnknownDomain,
)
from sslctl.errors import BadInput, ConfigError, SslctlError, TryLater
from sslctl.issuance.observation import is_one_of
from sslctl.rules.model import Domain, Source
from sslctl.store.interface.versions import Versions
from sslctl.wording import C4


def read_installed(
    control_plane: ControlPlane, name: str, consequence: str, hint: str | None = None
) -> Installed | None:
    """Return the certificate that C4 has for `name`; None if there is none, or if C4 does not know the domain.

    Raise `not_answered` if C4 does not answer.
    """
    try:
        return _read(control_plane, name, consequence, hint)
    except UnknownDomain:
        return None


def require_installed(control_plane: ControlPlane, name: str, consequence: str) -> Installed:
    """Return the certificate that C4 has for `name`. Raise `BadInput` if there is none, or `not_answered`."""
    try:
        installed = _read(control_plane, name, consequence)
    except UnknownDomain as error:
        raise BadInput(
            f"{C4} has no such domain as {name}, so there is no certificate to keep; {consequence}",
            hint=f"create it in {C4}, or take it out here with `sslctl delete {name}`",
        ) from error
    if installed is None:
        raise BadInput(
            f"{C4} has no certificate for {name} that could be kept",
            hint=f"`sslctl add {name}` gets one from the CA",
        )
    return installed


def _read(
    control_plane: ControlPlane, name: str, consequence: str, hint: str | None = None
) -> Installed | None:
    """Return the certificate that C4 has for `name`, None if there is none. Raise `UnknownDomain` or `not_answered`."""
    try:
        return control_plane.domain(name).certificate
    except UnknownDomain:
        raise
    except ControlPlaneError as error:
        what = f"{C4} gave no usable answer about the certificate of {name}"
        raise not_answered(what, consequence, error, hint) from error


def not_answered(
    what: str, consequence: str, error: ControlPlaneError, hint: str | None = None
) -> SslctlError:
    """Return the error of a command for which C4 did not answer: what happened, its consequence, and a hint what to do.

    It is `ConfigError` if C4 refused the token, and `TryLater` otherwise.
    """
    if isinstance(error, Unauthorized):
        return ConfigError(f"{C4} refused our token, so {consequence}: {error}", hint="see c4.token_file")
    return TryLater(f"{what}, so {consequence}: {error}", hint=hint)


def is_ours(store: Versions, domain: Domain, installed: Installed) -> bool:
    """Return whether `installed` is one of the versions of `domain` that sslctl installed, or that the CA issued to it.

    A pasted pair that was only recorded is the customer's: if C4 has it, the customer installed it.
    """
    return any(
        one.source is Source.C4 or one.uploaded_at is not None or one.verified_at is not None
        for one in store.certificates(domain)
        if is_one_of(installed, one)
    )
