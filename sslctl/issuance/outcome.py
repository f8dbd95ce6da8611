"""What became of one pass of many."""

from __future__ import annotations

from dataclasses import dataclass

from sslctl.rules.model import Domain


@dataclass(frozen=True, slots=True)
class Outcome:
    """The domain after its pass, or the `error` that prevented it: `Busy`, `NotManaged`, `StateBusy`, or a bug."""

    name: str
    domain: Domain | None = None
    error: Exception | None = None
