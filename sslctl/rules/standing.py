"""The parts of a reason: the status of a domain, who must act next, and what to say about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sslctl.wording import in_words


class Status(StrEnum):
    """The status of a domain, in the CDN's terms. The members are in order of precedence, worst first."""

    DISCARD = "Discard"
    EMERGENCY = "Emergency"
    EXPIRED = "Expired"
    FAILURE = "Failure"
    PENDING = "Pending"
    SUCCESS = "Success"

    @property
    def rank(self) -> int:
        """The position in the order of precedence, from 0 for the worst status."""
        return list(Status).index(self)


class Owner(StrEnum):
    """Who must act next for a domain; nobody, if waiting is all that is needed."""

    CUSTOMER = "customer"
    CDN = "cdn"
    CA = "ca"
    C4 = "c4"
    OPERATOR = "operator"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of the table.

    `sentence` says what is wrong. It is a template with `{found}`, and with `{wanted}` if a certain value is expected.
    `advice` says what to do next, as for C4; `next_step` is what is shown.
    """

    status: Status
    owner: Owner
    sentence: str
    advice: str

    def explain(self, found: str, wanted: str) -> str:
        """Return the sentence with `found` and `wanted`, both cleaned text, filled in."""
        return in_words(self.sentence).format(
            found=found.rstrip(".") or "nothing", wanted=wanted.rstrip(".") or "nothing"
        )

    @property
    def next_step(self) -> str:
        """What to do next: a request to the operator, or what another owner must do."""
        return in_words(self.advice)
