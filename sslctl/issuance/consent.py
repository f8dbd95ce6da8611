"""What a person agreed to with a command."""

from __future__ import annotations

from dataclasses import dataclass

from sslctl.rules.reasons import Code


@dataclass(frozen=True, slots=True)
class Consent:
    """What the person who ran the command agreed to; a tick has no consent.

    `replace_text`: replace the text certificate that C4 has now. `force`: install even what is worse than what is
    served. `believe`: the bad answers about served domains that are believed at once, by their codes.
    """

    replace_text: bool = False
    force: bool = False
    believe: frozenset[Code] = frozenset()


NO_CONSENT = Consent()
