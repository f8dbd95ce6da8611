"""The exception that ends a pass."""

from __future__ import annotations

from datetime import datetime

from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.pass_result import Problem, Step
from sslctl.rules.reasons import Code


class PassEnded(Exception):
    """The pass ends with this problem; the arguments are those of `Problem`."""

    def __init__(
        self,
        code: Code,
        found: str = "",
        wanted: str = "",
        retry_after: datetime | None = None,
        step: Step | None = None,
        *,
        records: tuple[DnsRecord, ...] = (),
    ) -> None:
        super().__init__(code)
        self.problem = Problem(code, found, wanted, retry_after, step, records=records)
