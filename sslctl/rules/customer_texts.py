"""The parts of a message to a customer, which are in one module for each language.

A customer reads these texts, so they have no internal words: no codes, no names of our programs. Under one problem several domains
may be listed, so the sentences do not depend on how many these are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sslctl.rules.reasons import Code


class Language(StrEnum):
    """A language of the messages to customers, by its ISO 639-1 code; Chinese is in simplified characters."""

    EN = "en"
    ZH = "zh"


@dataclass(frozen=True, slots=True)
class CustomerText:
    """What is wrong, and what the customer must do."""

    problem: str
    action: str


@dataclass(frozen=True, slots=True)
class Phrases:
    """The other parts of a message in one language.

    The placeholders are `{domain}`, `{readable}` (the domain in Unicode), `{number}` of domains, and the times `{at}`, `{deadline}`
    and `{expiry}` as in `time`, which has `{sgt}` and `{utc}`. `between` is what stands between two sentences.
    """

    subject: str
    subject_of_many: str
    greeting: str
    intro: str
    intro_of_many: str
    between: str
    readable: str
    time: str
    before_check: str
    before_expiry: str
    urgent: str
    expired: str
    no_certificate: str
    unreached: str
    partly_unreached: str
    type: str
    name: str
    current: str
    value: str
    added_value: str
    removed_value: str
    no_value: str
    unknown_value: str
    unknown_record: str
    checks_at: str
    checks_daily: str
    no_answer_needed: str
    thanks: str


NEEDS_RECORDS = frozenset(
    (
        Code.CNAME_MISSING,
        Code.CNAME_ELSEWHERE,
        Code.NXDOMAIN,
        Code.AAAA_ELSEWHERE,
        Code.CAA_FORBIDS,
        Code.DEPARTED,
        Code.CUTOVER_LATE,
    )
)
"""The codes whose texts ask for changes of the DNS records that follow them."""

ANSWERED = frozenset((Code.TEXT_EXPIRES, Code.DEPARTED, Code.CUTOVER_LATE))
"""The codes about which the customer is asked to write to us."""

HARMLESS = frozenset((Code.ADDRESS_UNANSWERED,))
"""The codes that do not threaten the certificate, so there is no deadline."""
