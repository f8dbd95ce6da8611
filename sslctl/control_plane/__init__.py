"""C4, the CDN's control plane, as sslctl sees it.

`ControlPlane` is the seam: `c4.client` speaks the published contract (`openapi.yaml`) over HTTPS, and another
control plane would be one more class with these methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from sslctl.rules.model import Bundle, Source


class State(StrEnum):
    """How far C4 is with a certificate it has accepted."""

    ACTIVATING = "activating"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Installed:
    """The certificate that C4 has for a domain; never its key. `fingerprint` is SHA-256 in lower-case hex."""

    source: Source
    fingerprint: str
    not_after: datetime
    state: State


@dataclass(frozen=True, slots=True)
class Record:
    """What C4 knows of a domain."""

    name: str
    cname_target: str
    ports: frozenset[int]
    certificate: Installed | None


class ControlPlaneError(Exception):
    """C4 did not do what was asked; `str()` of it is cleaned text for an operator."""


class UnknownDomain(ControlPlaneError):
    """C4 answered that it has no such domain (404 `unknown_domain`)."""


class Unauthorized(ControlPlaneError):
    """C4 refused the token (401 or 403)."""


class Rejected(ControlPlaneError):
    """C4 understood the upload and refused it (413, 422 or another 4xx). `code` is C4's own, cleaned."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class TextCertificatePresent(ControlPlaneError):
    """A `c4` certificate was sent while a `text` one is installed (409 `text_certificate_present`)."""


class Unanswered(ControlPlaneError):
    """C4 could not be asked or gave no usable answer: nothing follows from that.

    `retry_at` is C4's own wish (`Retry-After`, already capped), where it gave one.
    """

    def __init__(self, message: str, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class ControlPlane(Protocol):
    """The five things asked of C4. Each may raise `Unauthorized` and `Unanswered` besides what it names."""

    def domain(self, name: str) -> Record:
        """Give C4's record of `name`. Raises `UnknownDomain`."""

    def upload(self, name: str, bundle: Bundle, source: Source) -> State:
        """Install `bundle` for `name`; the same upload twice is harmless.

        Raises `UnknownDomain`, `Rejected` and `TextCertificatePresent`.
        """

    def certificate(self, name: str) -> Installed | None:
        """Give what is installed for `name` now, None where there is nothing. Raises `UnknownDomain`."""

    def remove(self, name: str) -> bool:
        """Remove the certificate of `name`; False where there was none. Raises `UnknownDomain`."""

    def health(self) -> datetime | None:
        """Return when C4 answers and accepts the token; give the time by its clock, where it tells it."""

    def close(self) -> None:
        """Let go of what was kept for the next call; this one raises nothing."""
