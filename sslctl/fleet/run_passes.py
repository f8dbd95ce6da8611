"""The passes of a tick, as the composition root provides them."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Protocol

from sslctl.issuance.consent import NO_CONSENT, Consent
from sslctl.issuance.report import Report
from sslctl.issuance.work import Sharing


class RunPasses(Protocol):
    """A function that runs passes, such as `cli.run_batch.run_passes`."""

    def __call__(
        self,
        names: Sequence[str],
        report: Report,
        *,
        renew: Container[str],
        consent: Consent = NO_CONSENT,
        sharing: Sharing | None = None,
    ) -> None:
        """Run a pass over each of `names` and add each outcome to `report`.

        Domains in `renew` get a new certificate even if none is due; `consent` holds for all of them. By `sharing` some are
        left to other processes.
        """
