"""The Protocol of the checks before an order: a name points at the CDN, CAA allows the CA, and the ports are open.

The checks run first because each failed validation counts against the CA's rate limits. `checks.Preflight` implements
`Prober` with the real DNS: `lookup` makes one DNS lookup (`datagram` is its fast path, `dnssec` explains a failure), `pointing`
finds where a name points, `records` what cures it, `caa` evaluates CAA records, and `ports` connects.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.pass_result import Step
from sslctl.rules.reasons import Code


class PreflightError(Exception):
    """A name is not ready for an order. `code` is the reason; `found` was observed, `wanted` is needed (both cleaned).

    `step` is that of `code` unless it is given: DNS may also not answer at the check of CAA. `records` are the DNS records
    that cure it.
    """

    def __init__(
        self,
        code: Code,
        found: str,
        wanted: str,
        *,
        step: Step | None = None,
        records: tuple[DnsRecord, ...] = (),
    ) -> None:
        super().__init__(f"{code}: found {found}, wanted {wanted}")
        self.code = code
        self.found = found
        self.wanted = wanted
        self.step = step
        self.records = records


@dataclass(frozen=True, slots=True)
class PreflightWarning:
    """Something is wrong with a name, but an order would succeed. The fields are those of `PreflightError`."""

    code: Code
    found: str
    wanted: str = ""
    records: tuple[DnsRecord, ...] = ()


class Publisher(Protocol):
    """What answers the CA's challenges."""

    def published(self, token: str) -> AbstractContextManager[str]:
        """Return a context manager that yields what is answered to a challenge `token` while it lasts."""


class Prober(Protocol):
    """A check that names are ready for an order."""

    def check(
        self,
        names: tuple[str, ...],
        cname_target: str,
        *,
        http_expected: bool,
        publisher: Publisher | None = None,
    ) -> PreflightWarning | None:
        """Return the first warning about `names` (normalised), None if there is none.

        Raise `PreflightError` for the first problem that would make an order of `names` fail; its records are those of each
        name with the same problem, as far as DNS answers. `cname_target` is the domain's name on the CDN, from C4's record.
        With `http_expected` the HTTP port must be open already. With `publisher` a token that it serves is fetched through each
        name, unless that is switched off; its errors are passed on. Codes `DNS_UNANSWERED`, `TARGET_UNANSWERED` and
        `RESOLVERS_DISAGREE` mean that nothing is known about the name.
        """

    def check_before_cutover(
        self, names: tuple[str, ...], cname_target: str, *, publisher: Publisher | None = None
    ) -> PreflightWarning | None:
        """Return the warning `BEFORE_CUTOVER` about the first of `names` that does not point at the CDN yet, None if all do.

        Raise `PreflightError` as `check` does, except for a name that points elsewhere. With `publisher` a token that it serves must be
        fetched through each name: the old host must redirect or answer it.
        """

    def check_pointing(self, names: tuple[str, ...], cname_target: str) -> None:
        """Raise `PreflightError` unless `names` point at the CDN, as in `check`. CAA and ports are not looked at.

        `cname_target` is the target that C4 named, empty if it is not known: then only the configuration of the CDN counts.
        """

    def check_caa(self, names: tuple[str, ...], cname_target: str, ca: str) -> None:
        """Raise `PreflightError` unless CAA allows the CA with the directory `ca` to issue for each of `names`, as in `check`."""
