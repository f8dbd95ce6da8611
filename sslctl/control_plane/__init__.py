"""The Protocol of a control plane: the system that knows the CDN's domains and installs certificates on its edge.

`c4.client.C4Client` implements it for C4. To add another control plane, write a class with the methods of `ControlPlane`:

1. Return only what the control plane really said. If there is no response, or not a usable one, raise `Unanswered`; never
   guess.
2. Raise `UnknownDomain` only if the control plane itself said that the domain does not exist: the domain may then become
   Discard. A 404 of a gateway is `Unanswered`.
3. Make `upload` and `remove` idempotent: both are repeated after a crash.
   Pass `expected` on to the control plane, which alone can compare and change in one step; raise `Changed` if it refuses.
   If the control plane has no such condition, ignore `expected`.
4. Refuse to replace a `text` certificate by a `c4` one: raise `TextCertificatePresent`.
5. Bound each call in time, and be safe for use by many threads.
6. Keep keys and tokens out of every message and every `__cause__`; clean each message (`text.clean`).
7. Raise `ConfigError` in the constructor if the configuration cannot work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sslctl.rules.model import Bundle, Source
from sslctl.rules.model import Installed as Installed
from sslctl.rules.model import State as State

NOTHING = ""
"""As `expected`: no certificate may be installed."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the control plane knows about a domain. `cname_target` is the name that its CNAME must point at.

    `customer` is whose domain it is, cleaned; empty if the control plane does not say.
    """

    name: str
    cname_target: str
    ports: frozenset[int]
    certificate: Installed | None
    customer: str = ""


class ControlPlaneError(Exception):
    """A request to the control plane failed. `str()` of it is cleaned text for an operator."""


class UnknownDomain(ControlPlaneError):
    """The control plane has no such domain."""


class Unauthorized(ControlPlaneError):
    """The control plane refused the token."""


class Rejected(ControlPlaneError):
    """The control plane refused the upload for good. `code` is the control plane's own, cleaned; empty if there is none."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class TextCertificatePresent(ControlPlaneError):
    """A `c4` certificate was uploaded while a `text` one is installed."""


class Changed(ControlPlaneError):
    """Another certificate than the expected one is installed. The request changed nothing."""


class NoInventory(ControlPlaneError):
    """The control plane cannot list its domains."""


class Unanswered(ControlPlaneError):
    """There was no usable response: whether the request had an effect is unknown.

    `retry_at` is the time from `Retry-After` (aware, at most a day ahead), None if there was none.
    """

    def __init__(self, message: str, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class ControlPlane(Protocol):
    """A client of a control plane. Each method but `close` may also raise `Unauthorized` and `Unanswered`."""

    def domain(self, name: str) -> Record:
        """Return the record of the domain `name`. Raise `UnknownDomain` if there is none."""

    def inventory(self) -> Iterator[Record]:
        """Yield the records of all domains, in any order, each domain once. Raise `NoInventory` if there is no such list.

        The iterator ends whatever the control plane sends. It leaves out what it cannot read, and a domain may be created
        while it runs: only `domain` can say that a domain is unknown. After `Unanswered` the list is incomplete.
        """

    def upload(self, name: str, bundle: Bundle, source: Source, expected: str | None = None) -> State:
        """Install `bundle` for the domain `name` and return its state. Idempotent.

        `expected` is the fingerprint of the certificate that may be replaced, `NOTHING` if there must be none, None without
        a condition. Raise `UnknownDomain`, `Rejected`, `TextCertificatePresent` or `Changed`.
        """

    def certificate(self, name: str) -> Installed | None:
        """Return the certificate that is installed for `name`, None if there is none. Raise `UnknownDomain`."""

    def remove(self, name: str, expected: str | None = None) -> bool:
        """Remove the certificate of `name`; return False if there was none.

        `expected` is the fingerprint of the certificate that may be removed, None without a condition. Raise
        `UnknownDomain` or `Changed`.
        """

    def health(self) -> datetime | None:
        """Check that the control plane responds and accepts the token; return its clock (aware), None if it sends none."""

    def close(self) -> None:
        """Close the connections that are kept for the next call. Raise nothing."""
