"""Preflight: whether a name points at the CDN, the CA may issue for it, and its ports answer.

Asked before an order is placed, because a failed validation costs the customer a share of the CA's limits. `Prober`
is the seam; `checks.Preflight` asks the real DNS. `lookup` makes one DNS lookup, `caa` reads CAA records, `ports`
connects.
"""

from __future__ import annotations

from typing import Protocol

from sslctl.rules.reasons import Code


class PreflightError(Exception):
    """A name is not ready for a certificate: `code` says why, `found` and `wanted` (both cleaned) what was seen."""

    def __init__(self, code: Code, found: str, wanted: str) -> None:
        super().__init__(f"{code}: found {found}, wanted {wanted}")
        self.code = code
        self.found = found
        self.wanted = wanted


class Prober(Protocol):
    """Says whether names are ready for an order."""

    def check(self, names: tuple[str, ...], cname_target: str, *, http_expected: bool) -> None:
        """Return when every one of `names` (normalised) may be ordered.

        `cname_target` is the name that C4 gives the domain on the CDN; with `http_expected` somebody must answer on
        the HTTP port already. Raises `PreflightError` for the first trouble; `DNS_UNANSWERED` when DNS could not be
        asked, from which nothing else follows.
        """
