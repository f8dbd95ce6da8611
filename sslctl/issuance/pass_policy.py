"""The configuration of a pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from sslctl.issuance.delivery import ReplacementRules
from sslctl.rules.renewal import RenewalRule


@dataclass(frozen=True, slots=True)
class PassPolicy:
    """The configuration of a pass. With `http_expected` something answers on port 80 at any time."""

    http_expected: bool = True
    key_type: str = "ecdsa"
    replacement: ReplacementRules = field(default_factory=ReplacementRules)
    activation_seconds: float = 10

    @property
    def renewal(self) -> RenewalRule:
        """When a certificate is renewed."""
        return self.replacement.renewal
